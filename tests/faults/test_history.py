"""The checker sees each thing that must not be."""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.history import Begins, Ends, Held, History, Ingested, Seen, violations

A = {"p1": (1, 5.0), "p2": (2, 6.0)}
B = {"p2": (2, 6.0), "p3": (3, 7.0)}
OLD, NEW = ("encoders/e1", "snapshots/a"), ("encoders/e2", "snapshots/b")
BACK = ("encoders/e1", "snapshots/b")


def answer(shown: tuple[str, str], **changes: Any) -> Seen:
    products = A if shown[1] == "snapshots/a" else B
    return Seen({
        "collection": f"products__{shown[0]}", "encoder": shown[0], "snapshot": shown[1],
        "products": {id: list(row) for id, row in products.items()}, "wrong": [], "found": sorted(products),
        **changes,
    })  # fmt: skip


def history() -> History:
    """Two nights, a rollback that crashed and was seen, and a lift."""
    return [
        Ingested("snapshots/a", A),
        Begins("publish", {OLD}),  # 1
        Ends("done", OLD),
        answer(OLD),  # 3
        Ingested("snapshots/b", B),
        Begins("publish", {NEW}),  # 5
        answer(OLD),
        answer(NEW),  # 7
        Ends("done", NEW),
        answer(NEW),  # 9
        Held(set()),
        Begins("rollback", {BACK}, may_free="encoders/e1", holds=True),  # 11
        Ends("crashed"),
        answer(BACK),  # 13
        Held({"encoders/e2"}),
        Begins("publish", {NEW}),  # 15
        Ends("refused"),
        answer(BACK),  # 17
        Begins("lift", may_free="encoders/e2"),
        Ends("done"),  # 19
        Held(set()),
        Begins("publish", {NEW}),  # 21
        Ends("crashed"),
        answer(BACK),  # 23
        Begins("publish", {NEW}),
        Ends("done", NEW),  # 25
        answer(NEW),
    ]


def test_what_went_well_is_right() -> None:
    assert violations(history()) == []


@pytest.mark.parametrize(
    ("at", "event", "says"),
    [
        (9, answer(NEW, products={"p2": [2, 6.0]}), "does not hold the products of snapshots/b"),
        (9, answer(NEW, products={"p2": [2, 6.0], "p3": [3, 1.0]}), "does not hold the products"),
        (9, answer(NEW, wrong=["p2"]), "vectors that are not encoders/e2's"),
        (9, answer(NEW, found=["p1", "p2", "p3"]), "a search finds"),
        (9, answer(OLD), "it could only be"),
        (9, answer(OLD), "older than what they saw"),
        (9, Seen("There is no collection"), "no answer"),
        (8, Ends("done", BACK), "publish says that it shows"),
        (17, answer(NEW), "encoders/e2 is live again and on hold"),
        (14, Held(set()), "rolled back from encoders/e2, which is not on hold"),
        (18, Begins("housekeeping"), "on hold no more, and nobody lifted it: {'encoders/e2'}"),
        (22, Ends("done", NEW), "readers see ('encoders/e1', 'snapshots/b'); it could only be"),
    ],
)
def test_what_must_not_be_is_seen(at: int, event: Any, says: str) -> None:
    events = history()
    assert type(events[at]) is type(event)
    found = violations([*events[:at], event, *events[at + 1 :]])
    assert any(says in violation for violation in found), found


def test_after_a_crash_the_first_answer_decides() -> None:
    crashed = [*history()[:11], Begins("publish", {BACK}), Ends("crashed"), answer(BACK), answer(NEW)]
    assert len(violations(crashed)) == 1
    assert violations([*crashed[:-1], answer(BACK)]) == []
    seen = replace(crashed[-2], answer={**crashed[-2].answer, "found": ["p2"]})
    assert len(violations([*crashed[:-2], seen])) == 1
