"""A workspace keeps its promises: committed or absent, never half; pointers old or new, never torn."""

import json
import multiprocessing
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ArtifactError
from recsys.workspace import Workspace, content_id


def commit(store: Workspace, id: str = "a1", text: str = "hello") -> str:
    with store.create("things", id, inputs={"feed": "feeds/f1"}) as draft:
        (draft.path / "deep").mkdir()
        (draft.path / "deep" / "file.txt").write_text(text)
        draft.info["rows"] = 3
    return draft.committed().ref


def test_what_was_committed_is_found_and_read_also_on_another_machine(
    store: Workspace, tmp_path: Path
) -> None:
    ref = commit(store)
    other = Workspace(store.root, cache=None if store.is_local else tmp_path / "other-cache")
    for reader in (store, other):
        [manifest] = reader.list("things")
        expected = (ref, {"feed": "feeds/f1"}, {"rows": 3}, {"deep/file.txt": 5})
        assert (manifest.ref, manifest.inputs, manifest.info, manifest.files) == expected
        assert (reader.path(reader.get(ref)) / "deep" / "file.txt").read_text() == "hello"
        assert reader.find_ref(ref) == manifest
        assert [reader.find_ref(other) for other in ("things/a2", "nothing/a1", "things", "")] == [None] * 4


def test_what_is_named_is_on_stable_storage_with_every_folder_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    renamed: list[Path] = []
    honest = Path.rename

    def rename(self: Path, target: Path) -> Path:
        assert {self, self / "deep", self / "deep/file.txt"} <= set(synced)
        renamed.append(target)
        return honest(self, target)

    monkeypatch.setattr("recsys.workspace.store.fsync", synced.append)
    monkeypatch.setattr(Path, "rename", rename)
    root = tmp_path / "not" / "there"
    workspace = Workspace(root)
    assert {tmp_path, root.parent} <= set(synced)
    commit(workspace)
    assert renamed == [root / "things" / "a1"]
    assert {root, root / "things"} <= set(synced)
    workspace.write_pointer("runs/deep/tonight", {})
    assert {root / "pointers", root / "pointers/runs", root / "pointers/runs/deep"} <= set(synced)


def test_an_exception_leaves_nothing(store: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), store.create("things", "a1") as draft:  # noqa: PT012
        (draft.path / "file.txt").write_text("half")
        raise ZeroDivisionError
    assert store.find("things", "a1") is None
    assert store.list("things") == []
    assert list((store.local / ".tmp").iterdir()) == []


def test_the_first_of_two_commits_wins(store: Workspace) -> None:
    with store.create("things", "a1") as first:
        (first.path / "file.txt").write_text("first")
        commit(store, "a1", text="second")
    manifest = first.committed()
    assert manifest.files == {"deep/file.txt": 6}
    assert (store.path(manifest) / "deep" / "file.txt").read_text() == "second"


def test_files_without_a_manifest_do_not_exist(store: Workspace) -> None:
    store._fs.makedirs(f"{store._path}/things/a1", exist_ok=True)
    store._fs.pipe_file(f"{store._path}/things/a1/file.txt", b"left by a kill")
    assert store.find("things", "a1") is None
    with pytest.raises(ArtifactError, match="no committed artifact 'things/a1'"):
        store.get("things/a1")


def test_deleted_is_gone_everywhere(store: Workspace) -> None:
    ref = commit(store)
    store.path(store.get(ref))
    store.delete(store.get(ref))
    assert store.list("things") == []
    assert not (store.local / "things" / "a1").exists()


def test_pointers_are_replaced_whole(store: Workspace) -> None:
    assert store.read_pointer("catalog") is None
    store.write_pointer("catalog", {"snapshot": "snapshots/1"})
    store.write_pointer("catalog", {"snapshot": "snapshots/2"})
    assert store.read_pointer("catalog") == {"snapshot": "snapshots/2"}


def _write_pointers(root: str, worker: int) -> None:
    store = Workspace(root)
    for i in range(50):
        store.write_pointer("busy", {"worker": worker, "i": i, "padding": "x" * 20_000})


def test_readers_never_see_a_torn_pointer(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_pointers, args=(str(tmp_path), n)) for n in range(2)]
    for worker in workers:
        worker.start()
    reads = 0
    while any(worker.is_alive() for worker in workers):
        record = store.read_pointer("busy")
        if record is not None:
            assert len(record["padding"]) == 20_000
            reads += 1
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert reads > 0


def test_a_kill_before_the_commit_leaves_nothing_and_scratch_survives(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from recsys.workspace import Workspace
        store = Workspace(sys.argv[1])
        (store.scratch("things", "a1") / "step-1").write_text("done")
        with store.create("things", "a1") as draft:
            (draft.path / "file.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    store = Workspace(tmp_path)
    assert store.list("things") == []
    assert (store.scratch("things", "a1") / "step-1").read_text() == "done"
    commit(store)
    assert len(store.list("things")) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_an_id_depends_on_values_and_not_on_key_order(parts: dict[str, object]) -> None:
    shuffled = dict(reversed(list(parts.items())))
    assert content_id(parts) == content_id(shuffled) == content_id(json.loads(json.dumps(parts)))
    assert content_id({**parts, "one more": 1}) != content_id({**parts, "one more": 2})
