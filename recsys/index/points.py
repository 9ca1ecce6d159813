"""What the index stores of a product: its point id and its payload.

``docs/index-contract.md`` promises all of this to other services; a change of it raises
:data:`recsys.index.base.SCHEMA_VERSION`.

Does not know: engines, vectors.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from recsys.index.filters import ancestors

NAMESPACE = uuid.UUID("6f0d0e9c-52c8-5a6b-9d0f-3d6a5f1b7c11")
"""Of every product's point id. It never changes."""

_NAMESPACE_BYTES = NAMESPACE.bytes

KEYWORDS = (
    "brand", "product_type", "google_product_category", "color", "size", "material", "pattern", "gender",
    "age_group", "availability", "item_group_id",
)  # fmt: skip
"""Text columns with a payload index: filters on them cost nothing, facets can be counted."""
NUMBERS = ("price", "sale_price")
"""Number columns with a payload index."""
MODALITIES = "modalities"
"""Keyword column, ``["image", "text"]`` or one of them: what ``has_image`` and ``has_text`` say, in the
form that every engine can filter on (Qdrant Edge 0.9 for Python cannot match booleans)."""

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
    digest = bytearray(hashlib.sha1(_NAMESPACE_BYTES + product_id.encode(), usedforsecurity=False).digest())
    digest[6] = (
        digest[6] & 0x0F | 0x50
    )  # RFC 9562: version 5, then the variant; uuid.uuid5 costs three times this
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


def payloads(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Yield the payload of each row of a snapshot batch that has :data:`COLUMNS`.

    Columns without a value are left out. ``embedding_key``, ``has_image`` and ``has_text`` come from the
    vectors: :func:`complete` adds them.
    """
    plain = {name: batch.column(name).to_pylist() for name in ("id", *_PLAIN)}
    names = list(plain)
    categories = {name: batch.column(name).to_pylist() for name in _CATEGORIES}
    attributes = batch.column("attributes").to_pylist()
    images = batch.column("images").to_pylist()
    hashes = zip(
        batch.column("content_hash").to_pylist(), batch.column("payload_hash").to_pylist(), strict=True
    )
    memo: dict[str, list[str]] = {}
    for i, (values, pair) in enumerate(zip(zip(*plain.values(), strict=True), hashes, strict=True)):
        payload: dict[str, Any] = {k: v for k, v in zip(names, values, strict=True) if v is not None}
        for name, column in categories.items():
            path = column[i]
            if path:
                payload[name] = memo.get(path) or memo.setdefault(path, ancestors(path))
        if attributes[i]:
            payload["attributes"] = dict(attributes[i])
        if images[i]:
            payload["image"] = images[i][0].hex()
        payload["row_hash"] = row_hash(*pair)
        yield payload


def complete(payload: dict[str, Any], key: bytes, *, has_image: bool, has_text: bool) -> dict[str, Any]:
    """Add what the vectors say of a product to its payload, in place, and return it."""
    payload["embedding_key"] = key.hex()
    payload["has_image"] = has_image
    payload["has_text"] = has_text
    payload[MODALITIES] = ["image"] * has_image + ["text"] * has_text
    return payload
