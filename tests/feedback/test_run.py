"""Judgements as an artifact."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Config
from recsys.feedback.judgements import Judgement, aggregate
from recsys.feedback.run import run
from recsys.feedback.store import FILE, FeedbackStore
from recsys.workspace import Workspace
from recsys.workspace.judgements import latest, read_judgements

LABELS = ("similar", "not_similar", "duplicate")
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def said(*labels: str, pair: tuple[str, str] = ("a", "b")) -> list[Judgement]:
    return [
        Judgement(
            id=i + 1, left_id=pair[0], right_id=pair[1], label=label, author=f"person {i}", context=None,
            created_at=NOW, changed_at=NOW,
        )
        for i, label in enumerate(labels)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        (["similar"], ("similar", 1.0)),
        (["duplicate"], ("duplicate", 1.0)),
        (["similar", "duplicate"], ("similar", 1.0)),
        (["duplicate", "duplicate", "similar"], ("duplicate", 1.0)),
        (["not_similar", "not_similar", "similar"], ("not_similar", 1 / 3)),
        (["not_similar", "similar", "duplicate"], ("similar", 1 / 3)),
        (["similar", "not_similar"], None),
        (["duplicate", "not_similar", "similar", "not_similar"], None),
    ],
)
def test_several_people_are_put_together(labels: list[str], verdict: tuple[str, float] | None) -> None:
    rows, counts = aggregate(said(*labels))
    assert [(r["label"], pytest.approx(r["weight"])) for r in rows] == ([verdict] if verdict else [])
    assert counts["judgements"] == len(labels)
    assert counts["ties"] == (verdict is None)


@given(st.lists(st.lists(st.sampled_from(LABELS), min_size=1, max_size=9), max_size=5))
def test_weights_lie_between_nothing_and_full_agreement(pairs: list[list[str]]) -> None:
    everything = [j for i, labels in enumerate(pairs) for j in said(*labels, pair=(f"{i}", "x"))]
    rows, counts = aggregate(everything)
    assert len(rows) + counts["ties"] == len(pairs)
    assert sum(counts[label] for label in LABELS) == counts["pairs"] == len(rows)
    for row in rows:
        against = [label == "not_similar" for label in pairs[int(row["left_id"])]]
        assert 0 < row["weight"] <= 1
        assert (row["weight"] == 1, row["num_judges"]) == (len(set(against)) == 1, len(against))


def test_nobody_judged_is_an_empty_artifact_and_makes_no_database(workspace: Workspace) -> None:
    made = run(Config(), workspace)
    assert made.info["num_pairs"] == 0
    assert not (workspace.local / FILE).exists()
    assert run(Config(), workspace) == made
    remote = Workspace("memory://nobody-judged", cache=workspace.local / "cache")
    assert run(Config(), remote).id == made.id


def test_what_stands_is_exported_and_what_was_withdrawn_is_not(workspace: Workspace, url: str) -> None:
    config = Config.model_validate({"search": {"database": url}})
    with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
        store.judge("a", "b", "similar", "Maria")
        store.judge("b", "a", "not_similar", "Tom")
        store.judge("a", "b", "similar", "Ann")
        store.judge("z", "y", "duplicate", "Maria")
        gone = store.judge("c", "d", "similar", "Maria")
        first = run(config, workspace)
        store.withdraw(gone.id, "Maria")
        second = run(config, workspace)
    assert first.id != second.id
    pairs = read_judgements(workspace, second.ref)
    assert pairs == [("a", "b", pytest.approx(1 / 3), False), ("y", "z", 1.0, True)]
    assert second.info["counts"] == {
        "judgements": 4, "pairs": 2, "similar": 1, "not_similar": 0, "duplicate": 1, "disputed": 1, "ties": 0,
    }  # fmt: skip
    assert latest(workspace) == second.ref
