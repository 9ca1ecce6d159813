"""A catalog snapshot of made-up photographs and words, for benchmarks of what reads snapshots.

Images are as the catalog stage normalises them: longest side 384, quality 90. Every photograph is unique
in its bytes; they are crops of a few large ones, which are slow to make.

Does not know: what is measured.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg

from benchmarks.photos import photo
from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, KIND, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE

IMAGES_PER_PRODUCT = 1.5
SIDE, QUALITY = 384, 90
_WORDS = (
    "shirt", "shoe", "lamp", "table", "oak", "cotton", "wool", "blue", "green", "red", "soft", "warm",
    "light", "strong", "classic", "modern", "kitchen", "garden", "summer", "winter", "outdoor",
    "leather", "steel", "glass", "handmade", "washable", "breathable", "slim", "wide", "comfort",
    "everyday", "design",
)  # fmt: skip


def make_shop(workspace: Workspace, num_products: int, *, seed: int = 0) -> str:
    """Write images and a snapshot of ``num_products``; return the snapshot's ref."""
    rng = np.random.default_rng(seed)
    sources = [photo(640, seed + i) for i in range(6)]
    hashes = []
    with workspace.create(KIND, f"shop-{num_products}") as draft:
        writer = ImageShardWriter(draft.path / FILE)
        for i in range(int(num_products * IMAGES_PER_PRODUCT)):
            top, left = rng.integers(0, 640 - SIDE, 2)
            crop = np.ascontiguousarray(sources[i % len(sources)][top : top + SIDE, left : left + SIDE])
            jpeg = simplejpeg.encode_jpeg(crop, QUALITY, colorsubsampling="420")
            hashes.append(hashlib.sha256(i.to_bytes(8, "big")).digest())
            writer.add(sha256=hashes[-1], phash=i, width=SIDE, height=SIDE, jpeg=jpeg)
        writer.close()
    rows = []
    for i in range(num_products):
        words = rng.choice(_WORDS, 60)
        row = dict.fromkeys(PRODUCTS.names) | {
            "id": f"p{i:07d}",
            "title": f"{' '.join(words[:6])} {i}",
            "brand": str(words[6]),
            "product_type": " > ".join(words[7:10]),
            "color": "blue",
            "material": str(words[10]),
            "description": " ".join(words[11 : 11 + int(rng.integers(5, 45))]),
            "attributes": [],
            "images": hashes[int(i * IMAGES_PER_PRODUCT) : int((i + 1) * IMAGES_PER_PRODUCT)],
            "content_hash": i.to_bytes(16, "big"),
            "payload_hash": bytes(16),
        }
        rows.append(row)
    with workspace.create("snapshots", f"shop-{num_products}") as night:
        pq.write_table(pa.Table.from_pylist(rows, schema=PRODUCTS), night.path / PRODUCTS_FILE)
        pq.write_table(REJECTED.empty_table(), night.path / REJECTED_FILE)
        night.info = {"image_shards": [draft.committed().ref], "counts": {"products": num_products}}
    return night.committed().ref
