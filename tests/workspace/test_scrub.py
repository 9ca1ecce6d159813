"""A scrub finds the damage that nothing else would meet."""

import os
from pathlib import Path

import pytest

from recsys.errors import ArtifactError
from recsys.workspace import Workspace
from recsys.workspace.scrub import scrub
from tests.workspace.test_checksums import flip
from tests.workspace.test_store import commit


def flip_unseen(path: Path) -> None:
    """As a disk does it: the file's times say nothing."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_scrub_finds_what_no_use_has_met(store: Workspace) -> None:
    whole, damaged, unreadable = (commit(store, id) for id in ("a1", "a2", "a3"))
    if store.is_local:
        flip_unseen(store.local / damaged / "deep" / "file.txt")
        store.path(store.get(damaged))  # its times say that it was read before
    else:
        store._fs.pipe_file(f"{store._path}/{store.get(damaged).folder}/deep/file.txt", b"hallo")
    store._fs.pipe_file(f"{store._path}/{unreadable}/manifest.json", b"{")
    fresh = scrub(store, older_than_s=3600)
    assert (fresh.num_read, list(fresh.damaged)) == (0, [unreadable])
    found = scrub(store)
    assert (found.num_read, found.size_bytes, list(found.damaged)) == (2, 10, [damaged, unreadable])
    assert found.damaged[damaged].endswith("deep/file.txt has another SHA-256 than its manifest says.")
    for ref in found.damaged:
        store.delete_ref(ref)
        with pytest.raises(ArtifactError, match="no committed artifact"):
            store.get(ref)
    assert [manifest.ref for manifest in store.list("things")] == [whole]
    assert scrub(store).damaged == {}


def test_what_was_scrubbed_lately_waits_its_turn(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    commit(store, "a1")
    assert scrub(store).num_read == 1
    commit(store, "a2")
    marker = tmp_path / "state" / "scrubbed" / "things" / "a1"
    os.utime(marker, (0, 0))
    assert [scrub(store, older_than_s=3600).num_read for _ in range(2)] == [1, 0]


def test_other_folders_of_a_workspace_are_no_artifacts(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    commit(store)
    store.write_pointer("catalog", {"snapshot": "snapshots/1"})
    store.scratch("things", "a2")
    (tmp_path / "search.db").write_bytes(b"rules")
    assert list(store.refs()) == ["things/a1"]
