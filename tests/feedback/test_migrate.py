from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from recsys.errors import ConfigError
from recsys.feedback import database
from recsys.feedback.database import Database, create_engine, parse_url
from recsys.feedback.store import FeedbackStore

WHEN = "2026-07-01 00:00:00.000000"
RULE = (
    "INSERT INTO rules (action, target, target_value, scope, scope_value, strength, position, reason, author,"
    f" created_at, changed_at) VALUES ('pin', 'product', 'P1', 'everywhere', '', 0.1, 0, '', 'Maria',"
    f" '{WHEN}', '{WHEN}')"
)
AUDIT = (
    "INSERT INTO audit (at, author, action, rule_id, after, note)"
    f""" VALUES ('{WHEN}', 'Maria', 'rule.add', 1, '{{"position": 0}}', '')"""
)
JUDGEMENT = (
    "INSERT INTO judgements (left_id, right_id, label, author, created_at, changed_at)"
    f" VALUES ('a', 'b', 'similar', 'Maria', '{WHEN}', '{WHEN}')"
)
WRITTEN_AT = {"0001": (RULE, AUDIT), "0002": (RULE, AUDIT, JUDGEMENT)}
"""What somebody may have had in a database at each revision."""
REVISIONS = [s.revision for s in ScriptDirectory.from_config(database.settings()).walk_revisions()][::-1]


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = create_engine(parse_url(url))
    yield made
    made.dispose()


def test_the_migrations_make_what_the_tables_say(engine: sa.Engine) -> None:
    database.upgrade(engine)
    with engine.connect() as connection:
        command.check(database.settings(connection))


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_every_earlier_revision_nothing_is_lost(engine: sa.Engine, url: str, revision: str) -> None:
    database.upgrade(engine, revision)
    with engine.begin() as connection:
        for statement in WRITTEN_AT[revision]:
            connection.execute(sa.text(statement.replace(":00", r"\:00").replace('": ', r'"\: ')))
    with closing(FeedbackStore(Database(url))) as store:
        (rule,), (entry,) = store.rules(), store.audit()
        assert (rule.target_value, entry.after) == ("P1", {"position": 0})
        assert len(store.judgements()) == sum(s is JUDGEMENT for s in WRITTEN_AT[revision])
        store.retire_rule(rule.id, "Tom")
        store.judge("x", "y", "similar", "Tom")


def _columns(engine: sa.Engine) -> dict[Any, list[str]]:
    found = sa.inspect(engine).get_multi_columns()
    return {table: [c["name"] for c in columns] for table, columns in found.items()}


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE judgements (id INTEGER)"))  # in the way of 0002
    before = _columns(engine)
    with pytest.raises(sa.exc.DBAPIError):
        database.upgrade(engine)
    assert _columns(engine) == before
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE judgements"))
    database.upgrade(engine)


def test_a_database_of_a_newer_version_is_left_alone(engine: sa.Engine, url: str) -> None:
    database.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="'9999'"):
        Database(url)
