"""Qdrant Edge's generations: what is shared, what is copied, what a reader and a writer may count on."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys.config import Config, IndexConfig
from recsys.errors import ArtifactError, DamagedError, TransientError
from recsys.index import open_index
from recsys.index.base import Point
from recsys.index.edge import EdgeIndex
from recsys.index.edge_files import EdgeFiles, Entry, copy_generation, copy_sparse
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import make_points, products, publish_inputs, similar
from tests.index.processes import publish_nights
from tests.index.test_contract import META, name_of, publish
from tests.workers import Worker
from tests.workspace.test_checksums import truncate


@pytest.fixture
def engine() -> str:
    return "edge"


def change(index: EdgeIndex, name: str, points: Iterable[Point]) -> None:
    with index.change(name, pending="x") as writer:
        writer.upsert(points)
        writer.commit(META)


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config(indexing_threshold_kb=10)  # so that a few hundred products get a graph


def files_under(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_change_shares_the_large_files_and_leaves_the_old_generation_alone(index: EdgeIndex) -> None:
    name = publish(index, make_points(300))
    first = index.files.folder(name, "g000001")
    before = files_under(first)
    graph = [p for p in before if p.endswith(("matrix.dat", "quantized.data", "graph.bin"))]
    assert len(graph) == 3
    points = make_points(300)
    with index.change(name, pending="x") as writer:
        writer.upsert(p._replace(vector=points[0].vector) for p in points[:100])
        writer.set_payloads((p.id, {"id": p.id}) for p in points[100:150])
        writer.delete(p.id for p in points[150:170])
        writer.commit(META)
    second = index.files.folder(name, "g000002")
    assert files_under(first) == before
    for path in graph:
        assert (first / path).samefile(second / path)
    assert index.open().count() == 280


def test_a_generation_that_readers_open_is_never_written_again(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while its writer closes: a reader that copies it then would miss a file."""
    named: dict[str, dict[Path, tuple[int, int]]] = {}

    def states(entry: Entry) -> dict[Path, tuple[int, int]]:
        found = ((p, p.stat()) for p in index.files.folder(name, entry.generation).rglob("*"))
        return {p: (s.st_ino, s.st_mtime_ns) for p, s in found}

    def write_entry(files: EdgeFiles, name: str, entry: Entry) -> None:
        if entry.generation:
            named.setdefault(entry.generation, states(entry))
        real(files, name, entry)

    real = EdgeFiles.write_entry
    monkeypatch.setattr(EdgeFiles, "write_entry", write_entry)
    name = name_of(index)
    publish(index, make_points(300))
    change(index, name, make_points(40, first=280))
    assert set(named) == {"g000001", "g000002"}
    for generation, before in named.items():
        entry = index.files.read_entry(name)
        assert entry is not None
        assert states(replace(entry, generation=generation)) == before


def test_the_engine_would_be_caught_writing_to_a_shared_file(index: EdgeIndex) -> None:
    name = publish(index, make_points(300))
    with index.change(name, pending="x") as writer:
        shared = next(index.files.folder(name, "g000002").rglob("matrix.dat"))
        os.utime(shared, ns=(1, 1))
        with pytest.raises(ArtifactError, match="was written to"):
            writer.commit(META)
    assert index.files.read_entry(name).generation == "g000001"  # type: ignore[union-attr]


def test_a_reader_writes_to_nothing_that_others_read(index: EdgeIndex) -> None:
    name = publish(index, make_points(300))
    change(index, name, make_points(1, first=900))

    def states() -> dict[Path, tuple[int, int, int]]:
        found = ((p, p.stat()) for p in index.files.folder(name, "g000002").rglob("*"))
        return {p: (s.st_ino, s.st_mtime_ns, s.st_size) for p, s in found}

    before = states()
    reader = EdgeIndex(index.files.root, index.config, lock=index.lock)
    opened = reader.open()
    assert len(similar(opened, "sku-00001", limit=5)) == 5
    assert len(list(opened.records(["title"], with_vectors=True))) == 301
    opened.shard.close()
    assert states() == before
    assert list((index.files.root / "readers").iterdir()) == []


def test_copies_of_killed_readers_are_swept_up(index: EdgeIndex) -> None:
    killed, opening = (index.files.root / "readers" / name for name in ("killed", "opening"))
    for folder in (killed, opening):
        folder.mkdir(parents=True)
    os.utime(killed, (1, 1))
    publish(index, make_points(5))
    assert (killed.exists(), opening.exists()) == (False, True)


@pytest.fixture
def free_mb(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the disk is said to have free."""
    free = {"mb": 1 << 20}
    monkeypatch.setattr(
        "recsys.index.edge_files.shutil.disk_usage", lambda path: SimpleNamespace(free=free["mb"] << 20)
    )
    return free


def test_a_full_disk_stops_writers_before_they_begin_and_readers_keep_what_they_have(
    index: EdgeIndex,
    config: Config,
    workspace: Workspace,
    free_mb: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    refs = publish_inputs(workspace, products(300))
    run(config, workspace, *refs)
    before = index.open()
    change(index, before.name, make_points(1, first=900))
    free_mb["mb"] = 64
    assert index.open() is index.open() is before
    assert caplog.text.count("readers stay with") == 1
    with pytest.raises(TransientError, match=r"is full: 64 MB are free, \d+ MB are needed"):
        EdgeIndex(index.files.root, config.index, lock=index.lock).open()
    with pytest.raises(TransientError, match="is full"):
        index.change(before.name, pending="x")
    with pytest.raises(TransientError, match="is full"):
        run(config, workspace, *publish_inputs(workspace, products(300), encoder="e2"))
    assert [c.name for c in index.collections()] == [before.name]
    free_mb["mb"] = 1 << 20
    assert index.open().count() == before.count() + 1


@pytest.mark.parametrize("step", ["upsert", "index"])
def test_a_disk_that_fills_during_a_build_ends_it_and_the_next_one_resumes(
    index: EdgeIndex, free_mb: dict[str, int], step: str
) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        writer.upsert(make_points(300))
        free_mb["mb"] = 64
        with pytest.raises(TransientError, match="is full"):
            writer.upsert(make_points(1, first=900)) if step == "upsert" else writer.index()
    free_mb["mb"] = 1 << 20
    with index.build(name, META) as writer:
        assert writer.count() == 300


@pytest.mark.parametrize(
    ("size_mb", "expected"), [(128, ["no space"] * 3), (145, None), (272, None), (420, None),
                              (1024, ["build", "incremental", "build"])]
)  # fmt: skip
def test_a_small_disk_takes_a_publication_or_refuses_it_and_no_signal_ends_the_process(
    tmp_path: Path, size_mb: int, expected: list[str] | None
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this system lets nobody here mount a file system")
    try:
        outcomes = Worker(publish_nights, str(tmp_path / "workspace")).result()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    assert outcomes == (expected or outcomes)


def test_a_generation_is_on_stable_storage_before_its_record_names_it(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(index, make_points(300))
    synced: list[Path] = []
    monkeypatch.setattr("recsys.workspace.store.fsync", synced.append)
    honest = index.files.write_entry

    def write_entry(name: str, entry: Entry) -> None:
        folder = index.files.folder(name, entry.generation)
        assert {*folder.rglob("*"), folder, *folder.parents[:4]} <= set(synced)
        honest(name, entry)

    monkeypatch.setattr(index.files, "write_entry", write_entry)
    change(index, name, make_points(1, first=900))
    assert index.open().count() == 301


def test_only_the_current_generation_and_the_one_before_are_kept(index: EdgeIndex) -> None:
    name = publish(index, make_points(20))
    for night in range(4):
        change(index, name, make_points(1, first=900 + night))
    folder = index.files.root / "collections" / name
    assert sorted(p.name for p in folder.iterdir()) == ["g000004", "g000005"]
    assert index.open().count() == 24


def test_a_removal_that_was_killed_half_way_is_swept_up(index: EdgeIndex) -> None:
    name = publish(index, make_points(5), number=1)
    publish(index, make_points(5), number=2)
    index.files.entry_path(name).unlink()
    assert index.files.folder(name, "g000001").exists()
    publish(index, make_points(5), number=3)
    assert not index.files.folder(name, "g000001").exists()
    assert index.open().count() == 5


def test_a_change_that_was_left_is_thrown_away(index: EdgeIndex) -> None:
    name = publish(index, make_points(20))
    with index.change(name, pending="x") as writer:
        writer.delete(p.id for p in make_points(20))
    with index.change(name, pending="x") as writer:
        assert (writer.count(), index.open().count()) == (20, 20)


def test_an_open_collection_survives_the_removal_of_its_files(index: EdgeIndex) -> None:
    publish(index, make_points(300), number=1)
    old = index.open()
    publish(index, make_points(10), number=2)
    index.drop(name_of(index, 1))
    assert old.count() == 300
    assert len(similar(old, "sku-00001", limit=5)) == 5
    assert len(list(old.records(["title"]))) == 300


def test_an_open_index_is_not_opened_again_by_any_thread(index: EdgeIndex) -> None:
    name = publish(index, make_points(300))
    with ThreadPoolExecutor(8) as pool:
        before, *others = pool.map(lambda _: index.open(), range(8))
    assert all(collection is before for collection in (*others, index.open(name)))
    index.describe(name, replace(before.metadata, published_at="now"))
    after = index.open()
    assert (after.metadata.published_at, after.shard is before.shard) == ("now", True)


def test_a_second_writer_waits_and_then_says_why(
    index: EdgeIndex, config: Config, workspace: Workspace
) -> None:
    name = publish(index, make_points(5))
    other = EdgeIndex(
        workspace.local / "index", config.index, lock=workspace.lock("index-edge", timeout_s=0.1)
    )
    with index.change(name, pending="x"), pytest.raises(TransientError, match="Another process"):
        other.change(name, pending="x")
    with other.change(name, pending="x") as writer:
        assert writer.count() == 5


def test_a_generation_that_cannot_be_read_is_an_error_that_names_it(index: EdgeIndex) -> None:
    name = publish(index, make_points(5))
    (index.files.folder(name, "g000001") / "edge_config.json").write_text("{")
    with pytest.raises(ArtifactError, match="g000001 cannot be opened"):
        index.open()


def flip(path: Path) -> None:
    """Flip a bit in a record's first value."""
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_damaged_record_is_named_and_publishing_mends_it(
    config: Config, workspace: Workspace, damage: Callable[[Path], None]
) -> None:
    refs = publish_inputs(workspace, products(20))
    name = run(config, workspace, *refs).info["collection"]
    root = workspace.local / "index"
    for path in (root / "aliases" / f"{config.index.alias}.json", root / "collections" / f"{name}.json"):
        damage(path)
        with closing(open_index(config, workspace)) as index:
            with pytest.raises(DamagedError, match=rf"{path.name} is damaged.*\n.*recsys publish"):
                index.open()
            path.unlink()
        mended = run(config, workspace, *refs).info["collection"]
        assert (mended == name) == (path.parent.name == "aliases")
        with closing(open_index(config, workspace)) as index:
            assert index.open().count() == 20


def test_a_damaged_record_of_an_earlier_collection_blocks_nothing(
    index: EdgeIndex, caplog: pytest.LogCaptureFixture
) -> None:
    earlier, live = (publish(index, make_points(5), number=number) for number in (1, 2))
    truncate(index.files.entry_path(earlier))
    assert [c.name for c in index.collections()] == [live]
    assert f"{earlier}.json is damaged" in caplog.text


def test_a_build_whose_files_were_damaged_starts_again(index: EdgeIndex) -> None:
    name = name_of(index)
    with index.build(name, META) as writer:
        writer.upsert(make_points(20))
    (index.files.folder(name, "g000001") / "edge_config.json").write_text("{")
    with index.build(name, META) as writer:
        assert writer.count() == 0


def test_a_reader_that_opens_while_generations_pass_opens_the_newest(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(index, make_points(20))
    honest = index.files.read_entry
    nights = list(range(900, 903))

    def read_entry(asked: str) -> Entry | None:
        entry = honest(asked)
        while nights:
            change(index, name, make_points(1, first=nights.pop()))
        return entry

    reader = EdgeIndex(index.files.root, index.config, lock=index.lock)
    monkeypatch.setattr(reader.files, "read_entry", read_entry)
    assert reader.open(name).count() == 23


def test_copies_keep_their_holes(tmp_path: Path) -> None:
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(5 << 20)
        file.write(b"middle")
        file.truncate(9 << 20)
    (tmp_path / "empty").touch()
    for original in (source, tmp_path / "empty"):
        copy = original.with_suffix(".copy")
        copy_sparse(original, copy)
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_blocks <= original.stat().st_blocks


def test_a_file_system_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = tmp_path / "g1/segments/s"
    segment.mkdir(parents=True)
    (segment / "id_tracker.mappings").write_text("x")
    (segment / "matrix.dat").write_bytes(b"vectors")
    assert list(copy_generation(tmp_path / "g1", tmp_path / "g2")) == ["segments/s/matrix.dat"]

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert copy_generation(tmp_path / "g1", tmp_path / "g3") == {}
    assert (tmp_path / "g3/segments/s/matrix.dat").read_bytes() == b"vectors"


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no collection name"):
        EdgeFiles(tmp_path).entry_path("../../etc/passwd")


def test_the_graph_is_used_and_found_good(config: Config, workspace: Workspace) -> None:
    manifest = run(config, workspace, *publish_inputs(workspace, products(600)))
    assert min(manifest.info["audit"]["recall"].values()) > 0.95
    with closing(open_index(config, workspace)) as index:
        assert index.open().shard.info().indexed_vectors_count == 600  # type: ignore[attr-defined]


def test_products_that_look_the_same_do_not_fail_the_audit(config: Config, workspace: Workspace) -> None:
    catalog = [p.but(look=1) for p in products(300)]
    manifest = run(config, workspace, *publish_inputs(workspace, catalog))
    assert set(manifest.info["audit"]["checks"].values()) == {"ok"}


def test_settings_are_checked() -> None:
    for alias in ("a__b", ""):
        with pytest.raises(ValueError, match="alias"):
            IndexConfig(alias=alias)
    assert "secret" not in repr(IndexConfig(api_key="secret"))
