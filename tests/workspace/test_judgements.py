"""Judgements as an artifact: named by what was said, found again, empty without a difference."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

from recsys.workspace import Workspace
from recsys.workspace.judgements import SCHEMA, commit, latest, nonempty, path_of, read_judgements

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def row(left: str, right: str, label: str = "similar", weight: float = 1.0) -> dict[str, Any]:
    pair = {"left_id": left, "right_id": right, "label": label, "weight": weight}
    return pair | {"num_judges": 1, "updated_at": NOW}


def test_what_was_said_names_it_and_not_when_or_in_which_order(workspace: Workspace) -> None:
    rows = [row("b", "c", "not_similar", 0.5), row("a", "b", "duplicate")]
    made = commit(workspace, rows, {"counts": {}})
    later = [r | {"updated_at": NOW + timedelta(days=1)} for r in reversed(rows)]
    assert commit(workspace, later, {"counts": {}}) == made
    assert made.info["num_pairs"] == 2
    assert pq.read_schema(path_of(workspace, made.ref)).equals(SCHEMA)
    assert read_judgements(workspace, made.ref) == [("a", "b", 1.0, True), ("b", "c", -0.5, False)]
    changed = commit(workspace, [row("a", "b", "duplicate"), row("b", "c", "not_similar", 0.4)], {})
    assert changed.id != made.id


def test_the_latest_is_what_was_exported_last_even_where_it_was_there_before(workspace: Workspace) -> None:
    assert latest(workspace) is None
    first = commit(workspace, [row("a", "b")], {})
    second = commit(workspace, [row("a", "b"), row("a", "c")], {})
    assert latest(workspace) == second.ref
    commit(workspace, [row("a", "b")], {})
    assert latest(workspace) == first.ref


def test_none_and_an_empty_artifact_tell_the_same(workspace: Workspace) -> None:
    empty = commit(workspace, [], {})
    assert nonempty(workspace, None) is None
    assert nonempty(workspace, empty.ref) is None
    assert read_judgements(workspace, empty.ref) == read_judgements(workspace, None) == []
    some = commit(workspace, [row("a", "b")], {})
    assert nonempty(workspace, some.ref) == some.ref
