from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.config.encoder import EncoderConfig
from recsys.embedding.cache import Cache, content_keys
from recsys.encoder.template import ContentReader
from recsys.workspace import Workspace
from recsys.workspace.embeddings import SHARD_FILE, SHARD_KIND, ShardWriter, Vectors
from recsys.workspace.snapshot import Snapshot
from tests.embedding.catalogs import product, store_snapshot
from tests.workspace.test_checksums import flip


def store_shard(workspace: Workspace, id: str, keys: list[bytes]) -> None:
    ones = np.ones((len(keys), 2), np.float32)
    with workspace.create(SHARD_KIND, id, inputs={"encoder": "encoders/e"}) as draft:
        writer = ShardWriter(draft.path / SHARD_FILE, 2)
        flags = np.ones(len(keys), np.bool_)
        writer.write(keys, Vectors(ones, ones, flags, flags))
        writer.close()


key = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=3).map(lambda b: b.ljust(16, b"\0")),  # numpy must not take trailing NULs for padding
)


@given(st.lists(st.lists(key, unique=True, max_size=6), max_size=3), st.lists(key, max_size=6))
@settings(deadline=None, max_examples=30)
def test_every_key_is_found_where_it_is(
    tmp_path_factory: object, shards: list[list[bytes]], others: list[bytes]
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("cache"))  # type: ignore[attr-defined]
    for i, keys in enumerate(shards):
        store_shard(workspace, f"e-{i}", keys)
    store_shard(workspace, "f-0", others)  # another encoder's
    cache = Cache(workspace, "encoders/e")
    assert [m.ref for m in cache.shards] == [f"{SHARD_KIND}/e-{i}" for i in range(len(shards))]
    keys_to_find = [k for keys in shards for k in keys] + others
    places = cache.locate(np.array(keys_to_find, "S16"))
    for k, found, shard, row in zip(keys_to_find, *places, strict=True):
        assert found == any(k in keys for keys in shards)
        if found:
            assert shards[shard][row] == k


def damage_here(workspace: Workspace, ref: str) -> None:
    flip(workspace.local / ref / SHARD_FILE)


def damage_there(workspace: Workspace, ref: str) -> None:
    path = f"{workspace._path}/{workspace.get(ref).folder}/{SHARD_FILE}"
    workspace._fs.pipe_file(path, b"x" + workspace._fs.cat_file(path)[1:])


@pytest.mark.parametrize("damage", [damage_here, damage_there])
def test_a_damaged_shard_holds_nothing(
    machine: Callable[..., Workspace], tmp_path: Path, damage: Callable[[Workspace, str], None]
) -> None:
    workspace = Workspace(tmp_path / "local") if damage is damage_here else machine("one")
    for name, byte in (("e-a", b"a"), ("e-b", b"b")):
        store_shard(workspace, name, [byte * 16])
    damage(workspace, f"{SHARD_KIND}/e-a")
    found, _, _ = Cache(workspace, "encoders/e").locate(np.array([b"a" * 16, b"b" * 16], "S16"))
    assert found.tolist() == [False, True]
    store_shard(workspace, "e-a", [b"a" * 16])
    assert Cache(workspace, "encoders/e").locate(np.array([b"a" * 16], "S16"))[0].all()


def test_of_a_key_twice_the_oldest_shard_counts(workspace: Workspace) -> None:
    store_shard(workspace, "e-b", [b"k" * 16])
    store_shard(workspace, "e-a", [b"x" * 16, b"k" * 16])
    cache = Cache(workspace, "encoders/e")
    _, shard, _ = cache.locate(np.array([b"k" * 16], "S16"))
    assert cache.shards[shard[0]].ref == f"{SHARD_KIND}/e-b"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Forty products in row groups of seven."""
    workspace = Workspace(tmp_path_factory.mktemp("rows"))
    rows = [product(f"p{i:02d}", title=f"title {i % 30}") for i in range(40)]
    return Snapshot.open(workspace, store_snapshot(workspace, rows, []))


@given(positions=st.sets(st.integers(0, 39)))
@settings(deadline=None, max_examples=30)
def test_rows_at_positions_wherever_row_groups_end(snapshot: Snapshot, positions: set[int]) -> None:
    wanted = np.array(sorted(positions), np.int64)
    found = snapshot.rows_at(wanted, ["id", "title"])
    assert list(found) == [{"id": f"p{i:02d}", "title": f"title {i % 30}"} for i in wanted]


def test_keys_follow_the_content_and_nothing_else(snapshot: Snapshot) -> None:
    keys = content_keys(snapshot, ContentReader(EncoderConfig()))
    assert keys.shape == (40,)
    assert len(np.unique(keys)) == 30
    assert keys[3] == keys[33]
    other = content_keys(snapshot, ContentReader(EncoderConfig(text_parts=("{brand}",))))
    assert len(np.unique(other)) == 1  # nothing of these products is read
