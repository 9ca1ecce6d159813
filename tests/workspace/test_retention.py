"""Housekeeping takes what nothing needs, never what something does, and may be killed at any moment."""

import functools
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DamagedError
from recsys.workspace import Manifest, Workspace
from recsys.workspace.checksums import seal
from recsys.workspace.retention import delete_garbage, find_garbage

NOW = datetime(2026, 7, 1, tzinfo=UTC)
SINCE, REPORTS_SINCE = NOW - timedelta(days=7), NOW - timedelta(days=365)


def put(
    store: Workspace, ref: str, *, days: float, inputs: Mapping[str, str] | None = None, **info: object
) -> str:
    """Commit an artifact of some days ago, without waiting for the disk."""
    kind, _, id = ref.partition("/")
    manifest = Manifest(
        kind=kind, id=id, created_at=(NOW - timedelta(days=days)).isoformat(),
        inputs=dict(inputs or {}), files={"file.txt": 5}, info=info,
        checksums={"file.txt": hashlib.sha256(b"hello").hexdigest()},
    )  # fmt: skip
    store._fs.makedirs(f"{store._path}/{ref}", exist_ok=True)
    store._fs.pipe_file(f"{store._path}/{ref}/file.txt", b"hello")
    store._fs.pipe_file(f"{store._path}/{ref}/manifest.json", seal(asdict(manifest)).encode())
    return ref


def gone(store: Workspace, *roots: str, delete: bool = True) -> list[str]:
    """Return the paths of what goes, and delete it."""
    garbage = find_garbage(store, roots, since=SINCE, reports_since=REPORTS_SINCE)
    if delete:
        assert delete_garbage(store, garbage, since=SINCE) == garbage
    return [item.path for item in garbage]


def shop(store: Workspace) -> None:
    """A snapshot and its vectors, and those of an encoder and a catalog that were left long ago."""
    for name in ("old", "new"):
        put(store, f"images/{name}", days=90)
        put(store, f"snapshots/{name}", days=90, image_shards=[f"images/{name}"])
        put(store, f"encoders/{name}", days=90, inputs={"snapshot": f"snapshots/{name}"})
        inputs = {"snapshot": f"snapshots/{name}", "encoder": f"encoders/{name}"}
        put(store, f"embeddings/{name}", days=90, inputs=inputs)
        put(store, f"embedding-sets/{name}", days=90, inputs=inputs, shards=[f"embeddings/{name}"])


def test_what_is_in_service_stays_with_all_it_needs_and_the_rest_goes(store: Workspace) -> None:
    shop(store)
    found = gone(store, "snapshots/new", "embedding-sets/new", "encoders/gone-long-ago")
    assert sorted(found) == [
        "embedding-sets/old", "embeddings/old", "encoders/old", "images/old", "snapshots/old"
    ]  # fmt: skip
    assert found.index("embedding-sets/old") < found.index("embeddings/old")
    assert found.index("snapshots/old") < found.index("images/old")
    assert len(list(store.refs())) == 5
    assert gone(store, "snapshots/new", "embedding-sets/new") == []


def test_what_was_made_only_from_what_stays_is_there_for_the_stage_that_looks_for_it(
    workspace: Workspace,
) -> None:
    shop(workspace)
    plan = put(workspace, "training-plans/again", days=90, inputs={"snapshot": "snapshots/new"})
    assert not {plan, "embedding-sets/new"} & {*gone(workspace, "snapshots/new", "encoders/new")}


def test_what_is_young_or_was_used_lately_stays_with_all_it_needs(store: Workspace) -> None:
    shop(store)
    put(store, "training-plans/tonight", days=6, inputs={"snapshot": "snapshots/old"})
    marker = f"{store._path}/used/embedding-sets/old"
    store.path(store.get("embedding-sets/old"))
    assert store._fs.exists(marker)
    used = store.last_used(store.get("embedding-sets/old"))
    assert abs(used - datetime.now(UTC)) < timedelta(minutes=5)  # NOW is before: it was used since
    assert {ref.partition("/")[0] for ref in gone(store)} == {
        "snapshots", "images", "encoders", "embeddings", "embedding-sets"
    }  # fmt: skip
    assert {ref for ref in store.refs() if ref.endswith("/new")} == set()
    assert len(list(store.refs())) == 6
    store.delete_ref("embedding-sets/old")
    assert not store._fs.exists(marker)


def test_reports_stay_longer_and_need_nothing(workspace: Workspace) -> None:
    shop(workspace)
    for days in (8, 400):
        put(workspace, f"reports/{days}", days=days, inputs={"snapshot": "snapshots/old"})
    found = gone(workspace, "snapshots/new", "embedding-sets/new")
    assert ("reports/400" in found, "reports/8" in found, "snapshots/old" in found) == (True, False, True)


def test_lineage_is_not_needed(workspace: Workspace) -> None:
    for n in range(3):
        put(workspace, f"snapshots/{n}", days=90)
        inputs = {"snapshot": f"snapshots/{n}"} | ({"initial": f"encoders/{n - 1}"} if n else {})
        put(workspace, f"encoders/{n}", days=90, inputs=inputs)
        inputs = {"challenger": f"encoders/{n}"} | ({"previous": f"evaluations/{n - 1}"} if n else {})
        put(workspace, f"evaluations/{n}", days=90, inputs=inputs, anchor={"ref": "encoders/0"})
        put(workspace, f"splits/{n}", days=90, inputs={"previous": f"splits/{n - 1}"} if n else {})
    found = gone(workspace, "evaluations/2", "splits/2")
    assert set(found) == {"encoders/1", "evaluations/1", "snapshots/1"}  # splits/0: read through splits/2


def test_working_files_go_when_nobody_wrote_to_them_for_long(workspace: Workspace) -> None:
    put(workspace, "snapshots/kept", days=1)
    old: list[Path] = []
    new: list[Path] = []
    for paths, days in ((old, 8), (new, 6)):
        for name in (".tmp/draft", "scratch/encoders/e", "state/autocomplete/s", "things/left-by-a-kill"):
            paths.append(workspace.local / f"{name}-{days}" / "deep" / "file")
        paths.append(workspace.local / "pointers" / "runs" / f"{days}.json")
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
            os.utime(path, (at := (NOW - timedelta(days=days)).timestamp(), at))
    kept = workspace.local / "state" / "autocomplete" / "kept.sqlite"
    kept.write_text("")
    os.utime(kept, (0, 0))
    assert len(gone(workspace)) == len(old)
    assert [path.exists() for path in [*old, *new, kept]] == [False] * len(old) + [True] * (len(new) + 1)


def test_a_damaged_manifest_stops_it_before_anything_is_deleted(workspace: Workspace) -> None:
    shop(workspace)
    (workspace.local / "snapshots" / "new" / "manifest.json").write_text("{")
    with pytest.raises(DamagedError, match=r"snapshots/new .*\n.*scrub --delete"):
        gone(workspace)


def test_it_ends_where_something_came_into_use_meanwhile(workspace: Workspace) -> None:
    shop(workspace)
    garbage = find_garbage(workspace, (), since=SINCE, reports_since=REPORTS_SINCE)
    order = [item.path for item in garbage]
    workspace.path(workspace.get("embeddings/old"))
    deleted = delete_garbage(workspace, garbage, since=SINCE)
    assert [item.path for item in deleted] == order[: order.index("embeddings/old")]
    assert workspace.find("embeddings", "old")


Graph = list[tuple[str, float, dict[str, int], list[int]]]
ROLES = ("snapshot", "encoder", "previous", "initial", "base")
KINDS = ("snapshots", "encoders", "evaluations", "embeddings", "splits", "reports", "things")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Artifacts, each with a kind, days, and earlier ones that its inputs and its info name."""
    found: Graph = []
    for n in range(draw(st.integers(1, 14))):
        earlier = st.integers(0, n - 1) if n else st.nothing()
        inputs = draw(st.dictionaries(st.sampled_from(ROLES), earlier, max_size=3)) if n else {}
        named = draw(st.lists(earlier, max_size=2)) if n else []
        found.append((draw(st.sampled_from(KINDS)), draw(st.sampled_from((1.0, 30.0, 400.0))), inputs, named))
    return found


@settings(max_examples=60)
@given(graph=graphs(), data=st.data())
def test_nothing_reachable_is_deleted_whatever_the_workspace_and_wherever_it_is_killed(
    graph: Graph, data: st.DataObject
) -> None:
    refs = [f"{kind}/{n}" for n, (kind, *_) in enumerate(graph)]
    roots = data.draw(st.sets(st.integers(0, len(graph) - 1), max_size=3))

    @functools.cache
    def reach(n: int) -> set[int]:  # only edges that some stage follows
        kind, _, inputs, named = graph[n]
        origins = {
            "encoders": {"initial"}, "evaluations": {"previous"},
            "embeddings": {"snapshot"}, "splits": {"snapshot"},
        }.get(kind, set())  # fmt: skip
        ends = [] if kind == "reports" else [*named, *(m for r, m in inputs.items() if r not in origins)]
        return {n}.union(*map(reach, ends))

    young = {n for n, (kind, days, *_) in enumerate(graph) if days < (365 if kind == "reports" else 7)}
    reachable: set[int] = set[int]().union(*map(reach, roots | young))
    with TemporaryDirectory() as folder:
        store = Workspace(folder)
        for ref, (_, days, inputs, named) in zip(refs, graph, strict=True):
            made_from = {role: refs[m] for role, m in inputs.items()}
            put(store, ref, days=days, inputs=made_from, named=[{"deep": refs[m]} for m in named])
        garbage = find_garbage(store, [refs[n] for n in roots], since=SINCE, reports_since=REPORTS_SINCE)
        doomed = {int(item.path.partition("/")[2]) for item in garbage}
        assert not doomed & reachable
        stays: set[int] = set()
        more = reachable
        while stays != more:  # and what was made only from what stays
            stays = more
            made = {n for n, (kind, _, inputs, _) in enumerate(graph) if kind != "reports" and inputs}
            more = stays.union(*(reach(n) for n in made if set(graph[n][2].values()) <= stays))
        assert doomed == set(range(len(graph))) - stays
        killed_after = data.draw(st.integers(0, len(garbage)))
        delete_garbage(store, garbage[:killed_after], since=SINCE)
        there = {int(ref.partition("/")[2]) for ref in store.refs()}
        assert all(reach(n) <= there for n in there)


def test_a_kill_in_the_middle_of_a_deletion_leaves_no_half_artifact(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    ref = put(store, "things/a1", days=90)
    script = textwrap.dedent(
        """
        import os, shutil, signal, sys
        from recsys.workspace import Workspace
        shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        Workspace(sys.argv[1]).delete_ref("things/a1")
        """
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == -9
    assert list(store.refs()) == []
    assert put(store, ref, days=0) == ref  # it can be made again
    assert json.loads((store.local / ref / "manifest.json").read_text())["id"] == "a1"
