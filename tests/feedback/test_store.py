import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from recsys.config import Config
from recsys.errors import ConfigError, InputError, NotFoundError, TransientError
from recsys.feedback import rule_cache
from recsys.feedback.database import Database, audit, parse_url
from recsys.feedback.rules import Rule
from recsys.feedback.store import FILE, FeedbackStore, database_url
from recsys.workspace import Workspace
from tests.feedback.conftest import Clock

PIN = Rule(action="pin", target="product", target_value="P1", reason="season", position=2)
BURY = Rule(
    action="bury", target="brand", target_value="Acme", scope="category", scope_value="Home", strength=0.3
)


def test_a_rule_comes_back_as_it_was_given(store: FeedbackStore, clock: Clock) -> None:
    berlin = timezone(timedelta(hours=2))
    starts = datetime(2026, 7, 2, 2, 0, 0, 123456, tzinfo=berlin)
    made = store.add_rule(
        replace(BURY, starts_at=starts, expires_at=datetime(2026, 8, 1, tzinfo=UTC)), "Maria"
    )
    assert made == store.rule(made.id)
    assert (made.action, made.scope_value, made.strength, made.author) == ("bury", "Home", 0.3, "Maria")
    assert made.starts_at == starts
    assert made.starts_at.utcoffset() == timedelta(0)
    assert made.created_at == made.changed_at == clock.now
    assert (made.retired_at, made.retired_by) == (None, None)


def test_active_rules_follow_the_clock_and_what_was_retired(store: FeedbackStore, clock: Clock) -> None:
    tomorrow = clock.now + timedelta(days=1)
    always = store.add_rule(PIN, "Maria")
    coming = store.add_rule(replace(BURY, starts_at=tomorrow), "Maria")
    ending = store.add_rule(replace(BURY, expires_at=tomorrow), "Maria")
    assert [r.id for r in store.active_rules(clock.now)] == [always.id, ending.id]
    assert [r.id for r in store.rules()] == [ending.id, coming.id, always.id]
    clock.forward(days=1)
    assert [r.id for r in store.active_rules(clock.now)] == [always.id, coming.id]
    assert [r.id for r in store.rules()] == [coming.id, always.id]
    assert [r.id for r in store.rules(include_past=True)] == [ending.id, coming.id, always.id]
    clock.forward(hours=1)
    store.retire_rule(always.id, "Tom", "summer is over")
    assert [r.id for r in store.active_rules(clock.now)] == [coming.id]


def test_rules_of_a_product_are_those_about_it_and_those_on_its_page(store: FeedbackStore) -> None:
    about = store.add_rule(PIN, "Maria")
    page = store.add_rule(
        Rule(action="block", target="product", target_value="P2", scope="product", scope_value="P1"), "Maria"
    )
    store.add_rule(Rule(action="boost", target="brand", target_value="P1"), "Maria")
    assert [r.id for r in store.rules(product_id="P1")] == [page.id, about.id]
    assert [r.id for r in store.rules(product_id="P2")] == [page.id]
    assert [r.id for r in store.rules(limit=1, offset=1)] == [page.id]


def test_a_changed_rule_stays_its_makers_and_the_audit_says_who_changed_it(store: FeedbackStore) -> None:
    made = store.add_rule(PIN, "Maria")
    changed = store.change_rule(made.id, "Tom", position=0, reason="first")
    assert (changed.position, changed.reason, changed.author) == (0, "first", "Maria")
    retired = store.retire_rule(made.id, "Tom", "sold out")
    assert retired.retired_by == "Tom"
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
    for call in (store.rule, store.judgement):
        with pytest.raises(NotFoundError, match=str(id)):
            call(id)
    with pytest.raises(NotFoundError):
        store.change_rule(id, "Tom", position=1)
    with pytest.raises(NotFoundError):
        store.retire_rule(id, "Tom")
    with pytest.raises(NotFoundError):
        store.withdraw(id, "Tom")
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
    with pytest.raises(InputError):
        replace(BURY, **{"target": "product", "target_value": "P1", **wrong})
    made = store.add_rule(BURY, "Maria")
    with pytest.raises(InputError):
        store.change_rule(made.id, "Tom", **{"target": "product", "target_value": "P1", **wrong})
    assert store.rule(made.id) == made
    assert len(store.audit()) == 1


def test_who_made_a_rule_and_its_history_cannot_be_changed(store: FeedbackStore) -> None:
    made = store.add_rule(PIN, "Maria")
    for changes in ({"created_at": None}, {"retired_by": "Tom"}):
        with pytest.raises(InputError, match="cannot be changed"):
            store.change_rule(made.id, "Tom", **changes)
    with pytest.raises(InputError, match="author"):
        store.add_rule(PIN, " ")
    with pytest.raises(InputError, match="reason"):
        store.retire_rule(made.id, "Tom", "x" * 2001)
    assert store.rule(made.id) == made


def test_the_longest_that_is_allowed_fits_every_index(store: FeedbackStore) -> None:
    rng = random.Random(0)
    long = ["".join(chr(rng.randrange(0x20000, 0x2A000)) for _ in range(n)) for n in (256, 256, 100, 500)]
    made = store.judge(long[0], long[1], "similar", long[2])
    assert store.judgements(product_id=long[0]) == [made]
    with pytest.raises(InputError, match="left_id"):
        store.judge(long[0] + "x", long[1], "similar", "Maria")
    rule = Rule(action="boost", target="brand", target_value=long[3], scope="category", scope_value=long[3])
    assert store.add_rule(rule, long[2]).target_value == long[3]
    pin = Rule(action="pin", target="product", target_value=long[0], scope="product", scope_value=long[1])
    assert store.add_rule(pin, "Maria").scope_value == long[1]


def test_a_judgement_is_of_an_unordered_pair_and_judging_again_replaces(
    store: FeedbackStore, clock: Clock
) -> None:
    first = store.judge("b", "a", "similar", "Maria", context={"query": ["b"], "rank": 3, "name": "Ö\0"})
    assert (first.left_id, first.right_id, first.replaced) == ("a", "b", None)
    assert store.judgement(first.id).context == {"query": ["b"], "rank": 3, "name": "Ö\0"}
    clock.forward(minutes=1)
    second = store.judge("a", "b", "not_similar", "Maria")
    assert (second.id, second.replaced, second.context) == (first.id, "similar", None)
    assert (second.created_at, second.changed_at) == (first.created_at, clock.now)
    other = store.judge("a", "b", "similar", "Tom")
    assert other.id != first.id
    assert [(j.author, j.label) for j in store.judgements()] == [("Tom", "similar"), ("Maria", "not_similar")]
    assert [j.author for j in store.judgements(author="Maria")] == ["Maria"]
    assert store.judge("a", "b", "not_similar", "Maria").replaced == "not_similar"
    assert [e.action for e in store.audit() if e.judgement_id == first.id] == [
        "judgement.change",
        "judgement.add",
    ]


def test_a_withdrawn_judgement_is_gone_until_it_is_made_again(store: FeedbackStore) -> None:
    made = store.judge("a", "b", "duplicate", "Maria")
    store.judge("c", "a", "similar", "Maria")
    assert len(store.judgements(product_id="a")) == 2
    assert store.withdraw(made.id, "Tom").withdrawn_at is not None
    assert store.withdraw(made.id, "Tom") == store.judgement(made.id)
    assert [j.left_id + j.right_id for j in store.judgements()] == ["ac"]
    assert [j.right_id for j in store.all_judgements()] == ["c"]
    again = store.judge("a", "b", "duplicate", "Maria")
    assert (again.id, again.replaced, again.withdrawn_at) == (made.id, None, None)
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
    assert [r.id for r in here.active_rules(now)] == [made.id]
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)
    assert [r.id for r in there.active_rules(now)] == [made.id]
    there.retire_rule(made.id, "Tom")
    assert there.active_rules(now) == ()
    assert here.active_rules(now) == ()


def test_active_rules_query_the_database_once_a_second(
    store: FeedbackStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    sa.event.listen(store._database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 1e9)
    store.add_rule(PIN, "Maria")
    store.active_rules(clock.now)
    asked.clear()
    for _ in range(100):
        assert len(store.active_rules(clock.now)) == 1
    assert asked == []


def test_rules_go_on_where_the_database_falls_silent(
    store: FeedbackStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = store.add_rule(PIN, "Maria")
    assert store.active_rules(clock.now) == (made,)
    working = store._database.reading

    def silent() -> None:
        raise TransientError("no answer", fix="wait")

    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)
    monkeypatch.setattr(store._database, "reading", silent)
    assert store.active_rules(clock.now) == (made,)
    assert "out of date" in caplog.text
    monkeypatch.setattr(store._database, "reading", working)
    store.retire_rule(made.id, "Tom")
    assert store.active_rules(clock.now) == ()


def test_where_the_store_lives(tmp_path: Path, workspace: Workspace) -> None:
    with_url = Config.model_validate({"search": {"database": "sqlite:///elsewhere.db"}})
    assert database_url(with_url, workspace) == "sqlite:///elsewhere.db"
    store = FeedbackStore.open(Config(), workspace)
    store.judge("a", "b", "similar", "Maria")
    store.close()
    assert (workspace.local / FILE).is_file()
    again = FeedbackStore.open(Config(), workspace)
    assert len(again.judgements()) == 1
    again.close()
    remote = Workspace("memory://bucket", cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match="database"):
        database_url(Config(), remote)


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense secret", "redis://x:secret@y"])
def test_a_database_url_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def test_any_postgresql_url_gets_our_driver() -> None:
    for url in ("postgresql://h/d", "postgres://h/d", "postgresql+psycopg2://h/d"):
        assert str(parse_url(url)) == "postgresql+psycopg://h/d"


def test_a_silent_server_is_worth_a_retry_and_its_password_stays_hidden(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        Database(f"postgresql://u:secret@/d?host={tmp_path}")
    assert "secret" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)
