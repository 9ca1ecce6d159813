"""Small catalogs with vectors, written straight into a workspace as the stages before the index would."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import Config
from recsys.index import Collection, open_index
from recsys.index.audit import Encode
from recsys.index.base import Hit, Point, Query
from recsys.index.engine import Writer
from recsys.index.filters import Filter
from recsys.index.points import COLUMNS, payloads
from recsys.workspace import Workspace, content_id
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SET_SCHEMA,
    SHARD_FILE,
    SHARD_KIND,
    EmbeddingBatch,
    ShardWriter,
    Vectors,
    halves,
    product_vectors,
    query_vector,
)
from recsys.workspace.product import PAYLOAD_COLUMNS, PRODUCTS, TEXT_COLUMNS
from recsys.workspace.snapshot import KIND as SNAPSHOT_KIND
from recsys.workspace.snapshot import PRODUCTS_FILE

DIM = 16
BRANDS = ("Acme", "Bolt", "Corda", "Dune")
TYPES = ("Home > Lamps > Desk", "Home > Lamps", "Home > Chairs", "Garden > Pots", None)


@dataclass(frozen=True)
class Product:
    id: str
    look: int = 0
    """What its vectors are drawn from: another look, other vectors."""
    has_image: bool = True
    has_text: bool = True
    columns: dict[str, Any] = field(default_factory=dict)

    def but(self, *, look: int | None = None, **columns: Any) -> "Product":
        return replace(self, look=self.look if look is None else look, columns={**self.columns, **columns})


def products(count: int, *, first: int = 0) -> list[Product]:
    made = []
    for i in range(first, first + count):
        columns: dict[str, Any] = {
            "title": f"Product {i}",
            "brand": BRANDS[i % len(BRANDS)],
            "product_type": TYPES[i % len(TYPES)],
            "color": ["red", "green", None][i % 3],
            "price": 5.0 + i,
            "currency": "EUR",
            "availability": "in_stock" if i % 4 else "out_of_stock",
            "link": f"https://shop.example/p/{i}",
            "item_group_id": f"g{i // 3}",
            "attributes": [("fit", "slim" if i % 2 else "wide")],
            "images": [hashlib.sha256(f"image {i}".encode()).digest()] if i % 7 else [],
        }
        made.append(
            Product(
                f"sku-{i:05d}",
                look=i,
                has_image=bool(i % 7),
                has_text=bool(i % 11 or not i % 7),
                columns=columns,
            )
        )
    return made


def publish_inputs(
    workspace: Workspace,
    catalog: Iterable[Product],
    *,
    encoder: str = "e1",
    dim: int = DIM,
    image_shards: Iterable[str] = (),
) -> tuple[str, str]:
    """Write a snapshot and its embedding set; return their refs. The snapshot becomes the latest."""
    catalog = sorted(catalog, key=lambda p: p.id.encode())
    snapshot = _write_snapshot(workspace, catalog, image_shards)
    workspace.write_pointer("catalog", {"snapshot": snapshot})
    return snapshot, embed(workspace, snapshot, catalog, encoder=encoder, dim=dim)


def _digest(value: object) -> bytes:
    return hashlib.blake2b(repr(value).encode(), digest_size=16).digest()


def _rows(catalog: list[Product]) -> list[dict[str, Any]]:
    rows = []
    for product in catalog:
        row: dict[str, Any] = dict.fromkeys(PRODUCTS.names)
        row |= {"id": product.id, "attributes": [], "images": [], **product.columns}
        content = {name: row[name] for name in (*TEXT_COLUMNS, "attributes", "images")}
        row["content_hash"] = _digest(content)
        row["payload_hash"] = _digest({name: row[name] for name in PAYLOAD_COLUMNS})
        rows.append(row)
    return rows


def _write_snapshot(workspace: Workspace, catalog: list[Product], image_shards: Iterable[str]) -> str:
    rows = _rows(catalog)
    id = content_id({"rows": [[r["id"], r["content_hash"].hex(), r["payload_hash"].hex()] for r in rows]})
    manifest = workspace.find(SNAPSHOT_KIND, id)
    if manifest is None:
        with workspace.create(SNAPSHOT_KIND, id) as draft:
            pq.write_table(
                pa.Table.from_pylist(rows, PRODUCTS), draft.path / PRODUCTS_FILE, row_group_size=300
            )
            draft.info["image_shards"] = list(image_shards)
        manifest = draft.committed()
    return manifest.ref


def vectors(catalog: list[Product], encoder: str, dim: int) -> Vectors:
    """Unit vectors in clusters; the missing half is a copy of the other."""
    image, text = (
        np.stack([_unit(f"{encoder} {half}", p, dim) for p in catalog]).astype(np.float32)
        for half in ("image", "text")
    )
    has_image = np.array([p.has_image for p in catalog])
    has_text = np.array([p.has_text for p in catalog])
    image[~has_image] = text[~has_image]
    text[~has_text] = image[~has_text]
    return Vectors(image, text, has_image, has_text)


def encodes(catalog: Iterable[Product]) -> Encode:
    """Return an honest encoder of a catalog for audits."""
    ordered = sorted(catalog, key=lambda p: p.id.encode())

    def encode(_snapshot: str, encoder: str, _precision: str, positions: Any) -> Vectors:
        return vectors([ordered[i] for i in positions], encoder.removeprefix("encoders/"), DIM)

    return encode


def _unit(space: str, product: Product, dim: int) -> np.ndarray:
    def draw(key: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.blake2b(f"{space} {key}".encode(), digest_size=8).digest())
        return np.random.default_rng(seed).normal(size=dim)

    vector = draw(f"cluster {product.look % 10}") + 0.6 * draw(f"look {product.look}")
    return vector / np.linalg.norm(vector)


def batch(catalog: list[Product], encoder: str = "e1") -> tuple[pa.RecordBatch, EmbeddingBatch]:
    """Return a catalog as a batch of the snapshot and its embeddings."""
    rows = pa.Table.from_pylist(_rows(catalog), PRODUCTS).select(list(COLUMNS)).to_batches()[0]
    keys = [bytes([i % 256, 255]) for i in range(len(catalog))]
    return rows, EmbeddingBatch([p.id for p in catalog], keys, vectors(catalog, encoder, DIM))


def make_points(count: int, *, first: int = 0) -> list[Point]:
    """Return products as an index stores them."""
    rows, embedded = batch(products(count, first=first))
    stored = product_vectors(embedded.vectors.image, embedded.vectors.text)
    made = zip(payloads(rows, embedded), stored, strict=True)
    return [Point(payload["id"], vector, payload) for payload, vector in made]


def embed(
    workspace: Workspace, snapshot: str, catalog: Iterable[Product], *, encoder: str, dim: int = DIM
) -> str:
    """Write the embedding set of a snapshot under an encoder; return its ref."""
    catalog = sorted(catalog, key=lambda p: p.id.encode())
    id = content_id({"snapshot": snapshot, "encoder": encoder})
    manifest = workspace.find(SET_KIND, id)
    if manifest is not None:
        return manifest.ref
    keys = [_digest((encoder, p.look, p.has_image, p.has_text)) for p in catalog]
    inputs = {"snapshot": snapshot, "encoder": f"encoders/{encoder}"}
    with workspace.create(SHARD_KIND, id, inputs=inputs) as draft:
        writer = ShardWriter(draft.path / SHARD_FILE, dim)
        if catalog:
            writer.write(keys, vectors(catalog, encoder, dim))
        writer.close()
    shard = draft.committed().ref
    with workspace.create(SET_KIND, id, inputs=inputs) as draft:
        draft.info |= {"dim": dim, "shards": [shard]}
        table = pa.table(
            [[p.id for p in catalog], keys, [0] * len(catalog), list(range(len(catalog)))], schema=SET_SCHEMA
        )
        with pa.OSFile(str(draft.path / SET_FILE), "wb") as file, pa.ipc.new_file(file, SET_SCHEMA) as out:
            out.write_table(table)
    return draft.committed().ref


def similar(
    collection: Collection,
    id: str,
    *,
    limit: int = 10,
    image_weight: float = 0.5,
    filter: Filter = (),
) -> list[Hit]:
    """Return the products nearest to a stored one, itself left out."""
    (stored,) = collection.retrieve([id], payload=False, with_vectors=True)
    vector = query_vector(*halves(stored.vector), image_weight)
    hits = collection.query(Query(vector=vector, limit=limit + 1, filter=filter))
    return [hit for hit in hits if hit.id != id][:limit]


def write_to_live(config: Config, workspace: Workspace, write: Callable[[Writer], object]) -> str:
    """Write straight into the live collection, past every audit; return its name."""
    with closing(open_index(config, workspace)) as index:
        live = index.live()
        assert live is not None
        with index.change(live.name, pending="somebody else's") as writer:
            write(writer)
            writer.commit(live.metadata)
    return live.name
