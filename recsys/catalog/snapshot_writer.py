"""From the staging database to ``products.parquet`` and ``rejected.parquet``, streamed in id order."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.catalog.rows import ProductRow, Rejection, content_hash, payload_hash, shorten
from recsys.catalog.staging import StagedImage, Staging
from recsys.workspace.product import PRODUCTS, REJECTED

_ROW_GROUP = 4096
_COUNTED = ("products", "products_with_image", "products_with_text", "image_uses", "image_links")


class SnapshotWriter:
    """Writes one snapshot's files from a staging database."""

    def __init__(self, staging: Staging, *, max_images: int) -> None:
        """``max_images`` bounds the images of one product."""
        self._staging, self._max_images = staging, max_images
        self._digest = hashlib.sha256()
        self._counts = Counter(dict.fromkeys(_COUNTED, 0))

    def write(self, products_path: Path, rejected_path: Path) -> tuple[str, dict[str, int]]:
        """Write both files; memory is one row group.

        Returns a digest of every product and every rejection (equal snapshots, equal digests) and counts.
        """
        self._staging.forget_image_rejections()
        _write(products_path, PRODUCTS, self._products())
        _write(rejected_path, REJECTED, self._rejections())
        return self._digest.hexdigest(), dict(self._counts)

    def _products(self) -> Iterator[dict[str, Any]]:
        for product, staged in self._staging.products():
            images, rejections = self._accepted_images(product, staged)
            has_text = bool(product.values.get("title"))
            if not images and not has_text:
                message = f"Row {product.row}: {product.id} has no title and none of its images can be used."
                rejections.append(
                    Rejection(product.row, product.id, None, None, "no_usable_image", message, "product")
                )
            self._staging.reject(rejections)
            if images or has_text:
                yield self._row(product, images)

    def _accepted_images(
        self, product: ProductRow, images: list[StagedImage]
    ) -> tuple[list[bytes], list[Rejection]]:
        """Return the distinct images among a product's first links, and what is wrong with the others."""
        accepted: list[bytes] = []
        rejections = []
        for position, image in enumerate(images):
            if position >= self._max_images:  # not fetched for this product
                reason = "too_many_images"
                message = (
                    f"The product has more than {self._max_images} images (catalog.images.max_per_product)."
                )
            elif image.sha256 is None:
                reason = image.reason or "image_not_found"
                message = image.message or "It was not fetched."
            elif image.sha256 in accepted:
                reason, message = "duplicate_image", "The product has this very image already."
            else:
                accepted.append(image.sha256)
                continue
            text = f"Row {product.row} ({product.id}): {image.column}: {message}"
            link = shorten(image.link)
            rejections.append(Rejection(product.row, product.id, image.column, link, reason, text, "image"))
        self._counts["image_links"] += len(images)
        return accepted, rejections

    def _row(self, product: ProductRow, images: list[bytes]) -> dict[str, Any]:
        values = dict(product.values)
        updated_at = values.pop("updated_at", None)
        content = content_hash(values, product.attributes, images)
        payload = payload_hash(values)
        self._digest.update(f"{product.id}\0{updated_at}\0".encode() + content + payload)
        self._counts.update(
            products=1,
            products_with_image=bool(images),
            products_with_text=bool(values.get("title")),
            image_uses=len(images),
        )
        return values | {
            "id": product.id,
            "updated_at": datetime.fromisoformat(updated_at) if updated_at else None,
            "attributes": list(product.attributes.items()),
            "images": images,
            "content_hash": content,
            "payload_hash": payload,
        }

    def _rejections(self) -> Iterator[dict[str, Any]]:
        for values in self._staging.rejections():
            self._digest.update("\0".join(str(value) for value in values).encode())
            yield dict(zip(REJECTED.names, values, strict=True))


def _write(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROW_GROUP)):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
