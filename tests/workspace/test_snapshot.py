"""A snapshot is read in id order, in parts or whole, with the images it refers to."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

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


def test_products_come_in_order_and_images_from_all_shards(workspace: Workspace) -> None:
    for name, hashes in (("one", SHA[:2]), ("two", SHA[2:])):
        with workspace.create("images", name) as draft:
            _shard(draft.path / FILE, *hashes)
    hashes_of = {"content_hash": b"c" * 16, "payload_hash": b"p" * 16}
    rows = [{"id": f"p{i}", "attributes": [], "images": [SHA[i % 3]], **hashes_of} for i in range(7)]
    with workspace.create(KIND, "s") as draft:
        pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), draft.path / PRODUCTS_FILE)
        pq.write_table(pa.Table.from_pylist([], schema=REJECTED), draft.path / REJECTED_FILE)
        draft.info["image_shards"] = ["images/one", "images/two"]
    snapshot = Snapshot.open(workspace, draft.committed().ref)
    batches = list(snapshot.batches(["id"], batch_size=3))
    assert [batch.column("id").to_pylist() for batch in batches] == [
        ["p0", "p1", "p2"],
        ["p3", "p4", "p5"],
        ["p6"],
    ]
    assert (snapshot.num_products, snapshot.rejected().num_rows) == (7, 0)
    assert snapshot.table().schema.equals(PRODUCTS)
    store = snapshot.images()
    assert list(store) == SHA
    assert [store.jpeg(sha256)[-1:] for sha256 in SHA] == [sha256[:1] for sha256 in SHA]
    assert b"\x09" * 32 not in store
