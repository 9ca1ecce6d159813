"""Catalogs and encoders that are made up: what a product's vectors are, its row says.

A product's title is its look, from which :func:`tests.index.catalogs.vectors` draws under an encoder's
name; so whoever reads a collection can tell whether its vectors are its encoder's.
"""

import hashlib
from contextlib import closing
from typing import Any

import numpy as np

from recsys import nightly
from recsys.catalog.image_state import ImageState
from recsys.catalog.ingest_images import OpenShard
from recsys.config import CatalogConfig, Config, IndexConfig
from recsys.embedding import run as embedding
from recsys.index import VectorIndex, open_index, points
from recsys.index.run import find_embeddings
from recsys.workspace import Manifest, Workspace
from recsys.workspace.embeddings import Vectors, product_vectors
from recsys.workspace.normalise import Normalisation, NormalisedImage
from recsys.workspace.snapshot import Snapshot, newest_snapshot, order_with
from tests.index.catalogs import DIM, Product, embed, encodes, publish_inputs, similar, vectors

Looks = dict[str, tuple[int, float]]
"""A catalog: product id → its look and its price."""
Answer = dict[str, Any]
CONFIG = Config(
    index=IndexConfig(batch_size=20, keep_previous=2, retries=2),
    catalog=CatalogConfig.model_validate({"images": {"shard_size": 10}}),
)


def products(looks: Looks) -> list[Product]:
    """Return a catalog's rows."""
    return [
        Product(id, look=look, columns={"title": str(look), "price": price, "images": [_image(look)]})
        for id, (look, price) in looks.items()
    ]


def ingest(workspace: Workspace, looks: Looks, encoder: str) -> str:
    """Write a catalog as the newest snapshot, embedded under an encoder; return its ref."""
    if workspace.find("encoders", encoder) is None:
        with workspace.create("encoders", encoder) as draft:
            (draft.path / "weights").write_text(encoder)
    shards = _store_images(workspace, [_image(look) for look, _ in looks.values()])
    snapshot, _ = publish_inputs(workspace, products(looks), encoder=encoder, image_shards=shards)
    workspace.write_pointer("catalog", order_with(workspace, snapshot))
    return snapshot


def publish(config: Config, workspace: Workspace, encoder: str, *, refresh: bool = False) -> Manifest:
    """Publish the newest snapshot under an encoder."""
    snapshot = newest_snapshot(workspace)
    assert snapshot is not None
    embeddings = embedded(workspace, snapshot, f"encoders/{encoder}")
    return nightly.publish(config, workspace, snapshot, embeddings, refresh=refresh)


def embedded(workspace: Workspace, snapshot: str, encoder: str) -> str:
    """Return the embedding set of a snapshot under an encoder's ref, written if it is not there."""
    return _embed(CONFIG, workspace, snapshot, encoder).ref


def use() -> None:
    """Let nights of this process embed and encode by these rules, and index few columns for speed."""
    points.KEYWORDS = ("brand",)
    embedding.run = _embed  # type: ignore[assignment]
    nightly._encode = lambda config, workspace: lambda *sample: _reencode(workspace, *sample)


def look(index: VectorIndex) -> Answer:
    """Return what a reader of the live collection finds, every product and its neighbours included."""
    opened = index.open()
    stored = opened.retrieve([r.id for r in opened.records()], with_vectors=True)
    name = opened.metadata.encoder.partition("/")[2]
    rows = {s.id: (int(s.payload["title"]), s.payload["price"]) for s in stored}
    expected = _vectors(rows, name)
    wrong = [
        s.id
        for s, right in zip(stored, product_vectors(expected.image, expected.text), strict=True)
        if not np.allclose(s.vector, right, atol=1e-4)
    ]
    return {
        "collection": opened.name,
        "encoder": opened.metadata.encoder,
        "snapshot": opened.metadata.snapshot,
        "products": {id: list(row) for id, row in rows.items()},
        "wrong": wrong,
        "found": sorted([stored[0].id, *(h.id for h in similar(opened, stored[0].id, limit=len(stored)))]),
    }


def ask(config: Config, workspace: Workspace) -> Answer | str:
    """Return :func:`look` of a reader who comes now, or why there is no answer."""
    with closing(open_index(config, workspace)) as index:
        return answer_of(index)


def answer_of(index: VectorIndex) -> Answer | str:
    """Return :func:`look`, or why a reader gets no answer."""
    try:
        return look(index)
    except Exception as error:  # noqa: BLE001 (whatever it is, it is no answer)
        return repr(error)


def _image(look: int) -> bytes:
    return hashlib.sha256(f"image {look}".encode()).digest()


def _store_images(workspace: Workspace, images: list[bytes]) -> list[str]:
    """Write those that no shard holds as one; return the shards of all."""
    settings = Normalisation.of(CONFIG.catalog.images)
    with closing(ImageState(workspace, settings)) as state:
        shard = OpenShard(workspace, state, settings.id)
        for sha256 in images:
            if not state.is_stored(sha256):
                shard.add(NormalisedImage(sha256=sha256, phash=0, width=1, height=1, jpeg=sha256))
        shard.commit()
        state.commit()
        return state.shard_refs(iter(images))


def _rows(workspace: Workspace, snapshot: str) -> Looks:
    rows = Snapshot.open(workspace, snapshot).table(["id", "title", "price"]).to_pylist()
    return {row["id"]: (int(row["title"]), row["price"]) for row in rows}


def _vectors(rows: Looks, encoder: str) -> Vectors:
    return vectors(products(rows), encoder, DIM)


def _embed(config: Config, workspace: Workspace, snapshot: str, encoder: str) -> Manifest:
    found = find_embeddings(workspace, snapshot, encoder)
    if found is None:
        rows = products(_rows(workspace, snapshot))
        found = embed(workspace, snapshot, rows, encoder=encoder.partition("/")[2])
    return workspace.get(found)


def _reencode(workspace: Workspace, snapshot: str, *sample: Any) -> Vectors:
    return encodes(products(_rows(workspace, snapshot)))(snapshot, *sample)
