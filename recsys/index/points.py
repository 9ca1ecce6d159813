"""What the index stores of a product besides its vector: its point id and its payload.

``docs/index-contract.md`` promises all of this to other services; a change of it raises
:data:`recsys.index.base.SCHEMA_VERSION`.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa

from recsys.index.base import Payload
from recsys.index.filters import ancestors
from recsys.workspace.embeddings import EmbeddingBatch

NAMESPACE = uuid.UUID("6f0d0e9c-52c8-5a6b-9d0f-3d6a5f1b7c11")
"""Of every product's point id. It never changes."""

KEYWORDS = (
    "brand", "product_type", "google_product_category", "color", "size", "material", "pattern", "gender",
    "age_group", "availability", "item_group_id",
)  # fmt: skip
"""Text columns with a payload index: filters on them cost nothing, facets can be counted."""
NUMBERS = ("price", "sale_price")
"""Number columns with a payload index."""
MODALITIES = "modalities"
"""Keyword column, ``["image", "text"]`` or one of them: ``has_image`` and ``has_text`` in a form that every
engine can filter on (Qdrant Edge 0.9 for Python cannot match booleans)."""

_CATEGORIES = ("product_type", "google_product_category")
_PLAIN = (
    "title", "brand", "color", "size", "material", "pattern", "gender", "age_group", "availability",
    "price", "sale_price", "currency", "link", "item_group_id",
)  # fmt: skip
COLUMNS = ("id", *_PLAIN, *_CATEGORIES, "attributes", "images", "content_hash", "payload_hash")
"""Columns of a snapshot that a payload is made from."""


def point_id(product_id: str) -> str:
    """Return the point id of a product: ``uuid5(NAMESPACE, product_id)`` as text.

    Any service can compute it; see ``docs/index-contract.md``.
    """
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + product_id.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50  # RFC 9562: version, then variant; uuid.uuid5 takes 3 times as long
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def attribute_column(name: str) -> str:
    """Return the payload path of a custom attribute, quoted where Qdrant's path syntax needs it."""
    return f"attributes.{name}" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'attributes."{name}"'


def indexed_columns(attributes: Sequence[str] = ()) -> dict[str, str]:
    """Return payload column → kind of index (``keyword`` or ``float``)."""
    keywords = (*KEYWORDS, MODALITIES, *(attribute_column(a) for a in attributes))
    return dict.fromkeys(keywords, "keyword") | dict.fromkeys(NUMBERS, "float")


def row_hash(content_hash: bytes, payload_hash: bytes) -> str:
    """Return the hash of everything in a snapshot row that a payload is made from."""
    return hashlib.blake2b(content_hash + payload_hash, digest_size=8).hexdigest()


def payloads(batch: pa.RecordBatch, vectors: EmbeddingBatch) -> Iterator[Payload]:
    """Yield the payload of each row of a snapshot batch that has :data:`COLUMNS`; ``vectors`` are its rows'.

    Columns without a value are left out.
    """
    plain = ("id", *_PLAIN)
    rows = zip(*(batch.column(name).to_pylist() for name in plain), strict=True)
    others = ("attributes", "images", "content_hash", "payload_hash", *_CATEGORIES)
    rest = zip(*(batch.column(name).to_pylist() for name in others), strict=True)
    flags = zip(vectors.vectors.has_image.tolist(), vectors.vectors.has_text.tolist(), strict=True)
    memo: dict[str, list[str]] = {}
    for values, (attributes, images, *hashes_and_paths), key, (has_image, has_text) in zip(
        rows, rest, vectors.keys, flags, strict=True
    ):
        content_hash, payload_hash, *paths = hashes_and_paths
        payload: Payload = {name: v for name, v in zip(plain, values, strict=True) if v is not None}
        for name, path in zip(_CATEGORIES, paths, strict=True):
            if path:
                payload[name] = memo.get(path) or memo.setdefault(path, ancestors(path))
        if attributes:
            payload["attributes"] = dict(attributes)
        if images:
            payload["image"] = images[0].hex()
        payload["row_hash"] = row_hash(content_hash, payload_hash)
        payload["embedding_key"] = key.hex()
        payload["has_image"], payload["has_text"] = has_image, has_text
        payload[MODALITIES] = ["image"] * has_image + ["text"] * has_text
        yield payload
