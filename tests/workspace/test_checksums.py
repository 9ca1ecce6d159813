"""What is damaged on disk or in a store is found, named, and where it is a cache made again."""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.errors import DamagedError
from recsys.workspace import Workspace, checksums
from tests.workspace.test_store import commit


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = Workspace(tmp_path)
    ref = commit(store)
    damage(tmp_path / ref / "deep" / "file.txt")
    for reader in (store, Workspace(tmp_path)):
        with pytest.raises(DamagedError, match=r"things/a1 is damaged: deep/file.txt .*\n.*scrub --delete"):
            reader.path(reader.get(ref))


def test_a_damaged_object_is_refused_on_download(store: Workspace, tmp_path: Path) -> None:
    ref = commit(store, text="hello")
    store._fs.pipe_file(f"{store._path}/{store.get(ref).folder}/deep/file.txt", b"hallo")
    other = store if store.is_local else Workspace(store.root, cache=tmp_path / "other")
    with pytest.raises(DamagedError, match=r"things/a1 is damaged: deep/file.txt has another SHA-256"):
        other.path(other.get(ref))


def test_a_damaged_copy_of_an_object_is_fetched_again(
    s3_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Workspace(f"{s3_url}/{tmp_path.name}", cache=tmp_path / "cache")
    manifest = store.get(commit(store))
    flip(store.path(manifest) / "deep" / "file.txt")
    assert (store.path(manifest) / "deep" / "file.txt").read_text() == "hello"
    assert "things/a1" in caplog.text
    assert "fetched again" in caplog.text


def test_every_flipped_bit_of_a_manifest_is_seen(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    ref = commit(store)
    path, whole = tmp_path / ref / "manifest.json", store.get(ref)
    data = path.read_bytes()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with contextlib.suppress(DamagedError):  # or the text means the same, such as another blank
            assert store.get(ref) == whole


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "things"}', '{"a": 1e999999}'])
def test_one_bad_manifest_is_named_and_blocks_no_other(
    store: Workspace,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = commit(store, "a1"), commit(store, "a2")
    store._fs.pipe_file(f"{store._path}/{bad}/manifest.json", text.encode())
    with pytest.raises(DamagedError, match="things/a1"):
        store.get(bad)
    with caplog.at_level(logging.WARNING):
        assert [manifest.ref for manifest in store.list("things")] == [good]
    assert "things/a1" in caplog.text


def test_a_manifest_in_another_artifacts_place_is_refused(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    for id in ("a1", "a2"):
        commit(store, id)
    (tmp_path / "things/a1/manifest.json").write_bytes((tmp_path / "things/a2/manifest.json").read_bytes())
    with pytest.raises(DamagedError, match=r"things/a1.*things/a2"):
        store.get("things/a1")


@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_damaged_pointer_is_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store = Workspace(tmp_path)
    store.write_pointer("catalog", {"snapshot": "snapshots/1", "counts": {"10": 1, "9": 2}})
    assert store.read_pointer("catalog") == {"snapshot": "snapshots/1", "counts": {"10": 1, "9": 2}}
    damage(tmp_path / "pointers" / "catalog.json")
    with pytest.raises(DamagedError, match=r"pointers/catalog.json in .* is damaged: .*\n.*Delete"):
        store.read_pointer("catalog")


def test_a_record_without_its_checksum_is_refused(tmp_path: Path) -> None:
    store = Workspace(tmp_path)
    path = tmp_path / commit(store) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha257"'))
    store.write_pointer("catalog", {"snapshot": "snapshots/1"})
    (tmp_path / "pointers/catalog.json").write_text('{"snapshot": "snapshots/1"}')
    with pytest.raises(DamagedError, match="has no sha256 of itself"):
        store.get("things/a1")
    with pytest.raises(DamagedError, match="has no sha256 of itself"):
        store.read_pointer("catalog")


def test_a_file_is_read_for_its_checksum_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(
        checksums, "sha256", lambda path, real=checksums.sha256: hashed.append(path) or real(path)
    )
    store = Workspace(tmp_path)
    ref = commit(store)
    assert len(hashed) == 1
    for reader in (store, Workspace(tmp_path)):
        reader.path(reader.get(ref))
    assert len(hashed) == 1
    file = tmp_path / ref / "deep" / "file.txt"
    os.utime(file, ns=(0, 0))
    store.path(store.get(ref))
    assert len(hashed) == 2


@pytest.mark.parametrize("name", ["deep/file.txt", "manifest.json"])
def test_damage_in_a_cache_makes_room_for_what_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    store = Workspace(tmp_path)
    damaged, good = commit(store, "a1"), commit(store, "a2")
    flip(tmp_path / damaged / name)
    assert [manifest.ref for manifest in store.list_intact("things")] == [good]
    assert "made again: things/a1 is damaged: " in caplog.text
    assert store.find_ref(damaged) is None
    assert store.path(store.get(commit(store, "a1"))).is_dir()


@pytest.mark.parametrize("name", ["deep/file.txt", "manifest.json"])
def test_who_looks_for_what_can_be_made_again_finds_it_whole_or_not_at_all(
    store: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    manifest = store.get(commit(store))
    other = store if store.is_local else Workspace(store.root, cache=tmp_path / "other")
    assert store.find_intact("things", "a1") == manifest
    folder = manifest.ref if name == "manifest.json" else manifest.folder
    store._fs.pipe_file(f"{store._path}/{folder}/{name}", b"{")
    assert other.find_intact("things", "a1") is None
    assert "made again: things/a1 is damaged: " in caplog.text
    assert (list(store.refs()), store.find_ref(commit(store))) != ([], None)
    assert other.find_intact("things", "a1") is not None
