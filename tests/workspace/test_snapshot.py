"""A snapshot is read in id order, in parts or whole, with the images it refers to."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import KIND, PRODUCTS_FILE, REJECTED_FILE, Snapshot

SHA = [bytes([i]) * 32 for i in range(3)]


def _shard(path: Path, *hashes: bytes) -> None:
    writer = ImageShardWriter(path)
    for sha256 in hashes:
        writer.add(sha256=sha256, phash=sha256[0], width=4, height=3, jpeg=b"jpeg" + sha256[:1])
    writer.close()


@pytest.fixture
def snapshot(workspace: Workspace) -> Snapshot:
    for name, hashes in (("one", SHA[:2]), ("two", SHA[2:])):
        with workspace.create("images", name) as draft:
            _shard(draft.path / FILE, *hashes)
    with workspace.create(KIND, "s") as draft:
        rows = [
            {
                "id": f"p{i}",
                "title": f"Mug {i}",
                "attributes": [("split", "train")],
                "images": [SHA[i % 3]],
                "content_hash": b"c" * 16,
                "payload_hash": b"p" * 16,
            }
            for i in range(7)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), draft.path / PRODUCTS_FILE)
        pq.write_table(pa.Table.from_pylist([], schema=REJECTED), draft.path / REJECTED_FILE)
        draft.info["image_shards"] = ["images/one", "images/two"]
    return Snapshot.open(workspace, draft.committed().ref)


def test_batches_cover_the_products_in_order(snapshot: Snapshot) -> None:
    batches = list(snapshot.batches(["id"], batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [id for batch in batches for id in batch.column("id").to_pylist()] == [f"p{i}" for i in range(7)]
    assert batches[0].schema.names == ["id"]
    assert snapshot.num_products == 7


def test_images_of_all_its_shards(snapshot: Snapshot) -> None:
    store = snapshot.images()
    assert list(store) == SHA
    assert len(store) == 3
    assert [store.jpeg(sha256)[-1:] for sha256 in SHA] == [sha256[:1] for sha256 in SHA]
    assert store.size(SHA[1]) == (4, 3)
    assert SHA[2] in store
    assert b"\x09" * 32 not in store
