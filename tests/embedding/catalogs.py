"""Small real snapshots for the encoder's and the embedding stage's tests."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, KIND, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE


def make_image(seed: int, *, height: int = 60, width: int = 48) -> bytes:
    """A JPEG of smooth colours."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 3, 3), np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 3 // width
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(coarse[rows][:, columns]), 92))


def sha(seed: int) -> bytes:
    """The source hash of ``make_image(seed)``."""
    return hashlib.sha256(str(seed).encode()).digest()


def product(
    id: str, *, title: str | None = None, images: Sequence[int] = (), **columns: Any
) -> dict[str, Any]:
    """A row of the product schema; ``images`` are seeds of images."""
    row: dict[str, Any] = dict.fromkeys(PRODUCTS.names)
    row |= {"id": id, "title": title, "attributes": [], "images": [sha(i) for i in images], **columns}
    row |= {"content_hash": bytes(16), "payload_hash": bytes(16)}
    return row


def store_images(workspace: Workspace, seeds: Sequence[int], id: str = "images") -> str:
    """Write an image shard that holds some images; return its ref."""
    with workspace.create(KIND, id) as draft:
        writer = ImageShardWriter(draft.path / FILE)
        for seed in seeds:
            writer.add(sha256=sha(seed), phash=seed, width=48, height=60, jpeg=make_image(seed))
        writer.close()
    return draft.committed().ref


def store_snapshot(
    workspace: Workspace, rows: Sequence[dict[str, Any]], image_shards: Sequence[str], id: str = "night-1"
) -> str:
    """Write a snapshot of some rows, in row groups of seven; return its ref."""
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["id"].encode()), schema=PRODUCTS)
    with workspace.create("snapshots", id) as draft:
        pq.write_table(table, draft.path / PRODUCTS_FILE, row_group_size=7)
        pq.write_table(REJECTED.empty_table(), draft.path / REJECTED_FILE)
        draft.info = {"image_shards": list(image_shards), "counts": {"products": len(rows)}}
    return draft.committed().ref
