import itertools
import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa

from recsys.config import Config
from recsys.errors import ConfigError, InputError, NotFoundError, TransientError
from recsys.feedback import rule_cache
from recsys.feedback.database import Database, audit, parse_url
from recsys.feedback.rules import Rule, StoredRule
from recsys.feedback.store import FILE, FeedbackStore, database_url
from recsys.workspace import Workspace
from tests.feedback.conftest import Clock

PIN = Rule(action="pin", target="product", target_value="P1", reason="season", position=2)
BURY = Rule(
    action="bury", target="brand", target_value="Acme", scope="category", scope_value="Home", strength=0.3
)


def test_a_rule_comes_back_as_it_was_given(store: FeedbackStore, clock: Clock) -> None:
    starts = datetime(2026, 7, 2, 2, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    given = replace(BURY, starts_at=starts, expires_at=datetime(2026, 8, 1, tzinfo=UTC))
    made = store.add_rule(given, "Maria")
    stamps = {"author": "Maria", "created_at": clock.now, "changed_at": clock.now}
    assert store.rule(made.id) == made == StoredRule(**vars(given) | stamps | {"id": made.id})
    assert made.starts_at.isoformat() == "2026-07-02T00:00:00.123456+00:00"


def test_active_rules_follow_the_clock_and_what_was_retired(store: FeedbackStore, clock: Clock) -> None:
    tomorrow = clock.now + timedelta(days=1)
    given = (PIN, replace(BURY, starts_at=tomorrow), replace(BURY, expires_at=tomorrow))
    always, coming, ending = (store.add_rule(rule, "Maria") for rule in given)
    assert store.active_rules(clock.now) == (always, ending)
    assert store.rules() == [ending, coming, always]
    clock.forward(days=1)
    assert store.active_rules(clock.now) == (always, coming)
    assert store.rules() == [coming, always]
    assert store.rules(include_past=True) == [ending, coming, always]
    clock.forward(hours=1)
    store.retire_rule(always.id, "Tom", "summer is over")
    assert store.active_rules(clock.now) == (coming,)


def test_rules_of_a_product_are_those_about_it_and_those_on_its_page(store: FeedbackStore) -> None:
    on_page = Rule(action="block", target="product", target_value="P2", scope="product", scope_value="P1")
    brand = Rule(action="boost", target="brand", target_value="P1")
    about, page, _ = (store.add_rule(rule, "Maria") for rule in (PIN, on_page, brand))
    assert store.rules(product_id="P1") == [page, about]
    assert store.rules(product_id="P2") == store.rules(limit=1, offset=1) == [page]


def test_a_changed_rule_stays_its_makers_and_the_audit_says_who_changed_it(store: FeedbackStore) -> None:
    made = store.add_rule(PIN, "Maria")
    changed = store.change_rule(made.id, "Tom", position=0, reason="first")
    assert changed == replace(made, position=0, reason="first")
    assert store.retire_rule(made.id, "Tom", "sold out").retired_by == "Tom"
    with pytest.raises(InputError, match="retired"):
        store.change_rule(made.id, "Tom", position=1)
    assert store.restore_rule(made.id, "Maria").retired_at is None
    trail = store.audit(rule_id=made.id)
    assert [(e.action, e.author, e.note) for e in trail] == [
        ("rule.restore", "Maria", ""),
        ("rule.retire", "Tom", "sold out"),
        ("rule.change", "Tom", ""),
        ("rule.add", "Maria", ""),
    ]
    assert trail[-1].before is None
    assert all(newer.before == older.after for newer, older in itertools.pairwise(trail))
    assert (trail[2].before["position"], trail[2].after["position"]) == (2, 0)


def test_what_changes_nothing_leaves_no_entry(store: FeedbackStore) -> None:
    made = store.add_rule(PIN, "Maria")
    assert store.change_rule(made.id, "Tom", position=made.position) == made
    assert store.restore_rule(made.id, "Tom") == made
    once = store.retire_rule(made.id, "Tom")
    assert store.retire_rule(made.id, "Maria") == once
    assert len(store.audit()) == 2


@pytest.mark.parametrize("id", [0, -1, 7])
def test_an_unknown_id_is_not_found(store: FeedbackStore, id: int) -> None:
    for call, arguments in (
        (store.rule, {}),
        (store.judgement, {}),
        (store.change_rule, {"author": "Tom", "position": 1}),
        (store.retire_rule, {"author": "Tom"}),
        (store.withdraw, {"author": "Tom"}),
    ):
        with pytest.raises(NotFoundError, match=str(id)):
            call(id, **arguments)
    assert store.audit() == []


WRONG: list[dict[str, Any]] = [
    {"target_value": "a\0b"},
    {"target_value": "\ud800"},
    {"target_value": "x" * 257},
    {"target": "brand", "target_value": "ü" * 1001},
    {"reason": "x" * 2001},
    {"position": -1},
    {"position": 2**40},
    {"strength": 5.0},
    {"starts_at": datetime(2026, 1, 1)},
    {"expires_at": datetime(1, 1, 1, tzinfo=UTC)},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_value_that_no_database_keeps_is_refused(store: FeedbackStore, wrong: dict[str, Any]) -> None:
    values = {"target": "product", "target_value": "P1", **wrong}
    made = store.add_rule(BURY, "Maria")
    for refused in (partial(replace, BURY), partial(store.change_rule, made.id, "Tom")):
        with pytest.raises(InputError):
            refused(**values)
    assert (store.rule(made.id), len(store.audit())) == (made, 1)


def test_who_made_a_rule_and_its_history_cannot_be_changed(store: FeedbackStore) -> None:
    made = store.add_rule(PIN, "Maria")
    for says, refused in (
        ("cannot be changed", partial(store.change_rule, made.id, "Tom", created_at=None)),
        ("cannot be changed", partial(store.change_rule, made.id, "Tom", retired_by="Tom")),
        ("author", partial(store.add_rule, PIN, " ")),
        ("reason", partial(store.retire_rule, made.id, "Tom", "x" * 2001)),
    ):
        with pytest.raises(InputError, match=says):
            refused()
    assert store.rules() == [made]


def test_the_longest_that_is_allowed_fits_every_index(store: FeedbackStore) -> None:
    rng = random.Random(0)
    long = ["".join(chr(rng.randrange(0x20000, 0x2A000)) for _ in range(n)) for n in (256, 256, 100, 500)]
    made = store.judge(long[0], long[1], "similar", long[2])
    assert store.judgements(product_id=long[0]) == [made]
    with pytest.raises(InputError, match="left_id"):
        store.judge(long[0] + "x", long[1], "similar", "Maria")
    boost = Rule(action="boost", target="brand", target_value=long[3], scope="category", scope_value=long[3])
    pin = Rule(action="pin", target="product", target_value=long[0], scope="product", scope_value=long[1])
    assert [store.add_rule(rule, long[2]) for rule in (boost, pin)] == store.rules()[::-1]


def test_a_judgement_is_of_an_unordered_pair_and_judging_again_replaces(
    store: FeedbackStore, clock: Clock
) -> None:
    context = {"query": ["b"], "rank": 3, "name": "Ö\0"}
    first = store.judge("b", "a", "similar", "Maria", context=context)
    assert (first.left_id, first.right_id, first.replaced, first.context) == ("a", "b", None, context)
    assert store.judgement(first.id) == first
    clock.forward(minutes=1)
    second = store.judge("a", "b", "not_similar", "Maria")
    new = {"label": "not_similar", "context": None, "changed_at": clock.now}
    assert second == replace(first, **new, replaced="similar")
    other = store.judge("a", "b", "similar", "Tom")
    assert store.judgements() == [other, replace(first, **new)]
    assert store.judgements(author="Maria") == [replace(first, **new)]
    assert store.judge("a", "b", "not_similar", "Maria").replaced == "not_similar"
    assert [e.action for e in store.audit() if e.judgement_id == first.id] == [
        "judgement.change",
        "judgement.add",
    ]


def test_a_withdrawn_judgement_is_gone_until_it_is_made_again(store: FeedbackStore) -> None:
    made = store.judge("a", "b", "duplicate", "Maria")
    store.judge("c", "a", "similar", "Maria")
    assert len(store.judgements(product_id="a")) == 2
    assert store.withdraw(made.id, "Tom") == store.withdraw(made.id, "Tom") == store.judgement(made.id)
    assert [j.right_id for j in store.judgements()] == [j.right_id for j in store.all_judgements()] == ["c"]
    assert store.judge("a", "b", "duplicate", "Maria") == made
    trail = [e for e in store.audit() if e.judgement_id == made.id]
    assert [(e.action, e.author) for e in trail] == [
        ("judgement.change", "Maria"),
        ("judgement.withdraw", "Tom"),
        ("judgement.add", "Maria"),
    ]


def test_a_judgement_that_is_wrong_is_refused(store: FeedbackStore) -> None:
    for left, right, label, context in (
        ("a", "a", "similar", None),
        ("", "a", "similar", None),
        ("a", "b", "same", None),
        ("a", "b", "similar", {"x": float("nan")}),
        ("a", "b", "similar", {"x": "y" * 20_001}),
        ("a", "b", "similar", {"x": object()}),
    ):
        with pytest.raises(InputError):
            store.judge(left, right, label, "Maria", context=context)
    assert store.audit() == []


def test_the_audit_trail_is_read_in_pages_and_cannot_be_changed(store: FeedbackStore) -> None:
    for position in range(5):
        store.add_rule(replace(PIN, position=position), "Maria")
    newest = store.audit(limit=2)
    older = store.audit(limit=10, before_id=newest[-1].id)
    assert [e.after["position"] for e in (*newest, *older)] == [4, 3, 2, 1, 0]
    for statement in (sa.update(audit).values(author="nobody"), sa.delete(audit)):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), store._database.writing() as connection:
            connection.execute(statement)
    assert store.audit(limit=10) == [*newest, *older]


def test_what_this_process_changed_shows_at_once_and_another_within_a_second(
    opened: Callable[[], FeedbackStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = opened(), opened()
    now = datetime.now(UTC)
    assert here.active_rules(now) == there.active_rules(now) == ()
    made = here.add_rule(PIN, "Maria")
    assert here.active_rules(now) == (made,)
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)
    assert there.active_rules(now) == (made,)
    there.retire_rule(made.id, "Tom")
    assert there.active_rules(now) == here.active_rules(now) == ()


def test_active_rules_query_the_database_once_a_second(
    store: FeedbackStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    sa.event.listen(store._database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 1e9)
    made = store.add_rule(PIN, "Maria")
    store.active_rules(clock.now)
    asked.clear()
    assert {store.active_rules(clock.now) for _ in range(100)} == {(made,)}
    assert asked == []


def test_rules_go_on_where_the_database_falls_silent(
    store: FeedbackStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = store.add_rule(PIN, "Maria")
    assert store.active_rules(clock.now) == (made,)
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(store._database, "reading", Mock(side_effect=TransientError("no answer", fix="wait")))
        assert store.active_rules(clock.now) == (made,)
    assert "out of date" in caplog.text
    store.retire_rule(made.id, "Tom")
    assert store.active_rules(clock.now) == ()


def test_where_the_store_lives(tmp_path: Path, workspace: Workspace) -> None:
    with_url = Config.model_validate({"search": {"database": "sqlite:///elsewhere.db"}})
    assert database_url(with_url, workspace) == "sqlite:///elsewhere.db"
    for count in (1, 2):
        with closing(FeedbackStore.open(Config(), workspace)) as store:
            store.judge("a", "b", "similar", f"person {count}")
            assert len(store.judgements()) == count
    assert (workspace.local / FILE).is_file()
    remote = Workspace("memory://bucket", cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match="database"):
        database_url(Config(), remote)


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense secret", "redis://x:secret@y"])
def test_a_database_url_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://h/d", "postgres://h/d", "postgresql+psycopg2://h/d"])
def test_any_postgresql_url_gets_our_driver(url: str) -> None:
    assert str(parse_url(url)) == "postgresql+psycopg://h/d"


def test_a_silent_server_is_worth_a_retry_and_its_password_stays_hidden(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        Database(f"postgresql://u:secret@/d?host={tmp_path}")
    assert "secret" not in str(caught.value)
