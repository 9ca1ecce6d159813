"""From the spool to ``products.parquet`` and ``rejected.parquet``, streamed in id order.

Does not know: feeds, links, how images were had.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.catalog.rows import Rejection, content_hash, payload_hash, shorten
from recsys.catalog.staging import Spool, SpooledProduct
from recsys.workspace.product import PRODUCTS, REJECTED

_ROW_GROUP = 4096


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    digest: str
    """Of every product and every rejection: equal snapshots, equal digests."""
    counts: dict[str, int]


class SnapshotWriter:
    """Writes one snapshot's files from a spool."""

    def __init__(self, spool: Spool, *, max_images: int) -> None:
        """``max_images`` bounds the images of one product."""
        self._spool, self._max_images = spool, max_images
        self._digest = hashlib.sha256()
        self._counts: Counter[str] = Counter()

    def write(self, products_path: Path, rejected_path: Path) -> Written:
        """Write both files; memory is one row group."""
        self._spool.forget_image_rejections()
        _write(products_path, PRODUCTS, self._rows())
        _write(rejected_path, REJECTED, self._rejections())
        names = ("products", "products_with_image", "products_with_text", "image_uses", "image_links")
        return Written(self._digest.hexdigest(), {name: self._counts[name] for name in names})

    def _rows(self) -> Iterator[dict[str, Any]]:
        for product in self._spool.products():
            images, rejections = self._images(product)
            has_text = bool(product.values.get("title"))
            if not images and not has_text:
                rejections.append(_no_content(product))
            self._spool.reject(rejections)
            if images or has_text:
                yield self._row(product, images)

    def _row(self, product: SpooledProduct, images: list[bytes]) -> dict[str, Any]:
        values = dict(product.values)
        updated_at = values.pop("updated_at", None)
        content = content_hash(values, product.attributes, images)
        payload = payload_hash(values)
        self._digest.update(f"{product.id}\0{updated_at}\0".encode() + content + payload)
        self._counts["products"] += 1
        self._counts["products_with_image"] += bool(images)
        self._counts["products_with_text"] += bool(values.get("title"))
        self._counts["image_uses"] += len(images)
        return values | {
            "id": product.id,
            "updated_at": datetime.fromisoformat(updated_at) if updated_at else None,
            "attributes": list(product.attributes.items()),
            "images": images,
            "content_hash": content,
            "payload_hash": payload,
        }

    def _images(self, product: SpooledProduct) -> tuple[list[bytes], list[Rejection]]:
        """Return the distinct images of a product in feed order, and what is wrong with the others."""
        images: list[bytes] = []
        rejections = []
        for use in product.uses:
            self._counts["image_links"] += 1
            outcome = use.outcome
            if outcome.sha256 is None:
                reason, message = (
                    outcome.reason or "image_not_found",
                    outcome.message or "It was not looked at.",
                )
            elif outcome.sha256 in images:
                reason, message = "duplicate_image", "The product has this very image already."
            elif len(images) >= self._max_images:
                reason = "too_many_images"
                message = (
                    f"The product has more than {self._max_images} images (catalog.images.max_per_product)."
                )
            else:
                images.append(outcome.sha256)
                continue
            text = f"Row {product.row} ({product.id}): {use.column}: {message}"
            shown = shorten(use.link)
            rejections.append(Rejection(product.row, product.id, use.column, shown, reason, text, "image"))
        return images, rejections

    def _rejections(self) -> Iterator[dict[str, Any]]:
        for values in self._spool.rejections():
            self._digest.update("\0".join(str(value) for value in values).encode())
            yield dict(zip(REJECTED.names, values, strict=True))


def _no_content(product: SpooledProduct) -> Rejection:
    message = f"Row {product.row}: {product.id} has no title and none of its images can be used."
    return Rejection(product.row, product.id, None, None, "no_usable_image", message, "product")


def _write(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _batched(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))


def _batched(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) >= _ROW_GROUP:
            yield batch
            batch = []
    if batch:
        yield batch
