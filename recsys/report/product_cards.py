"""The products that the report shows: their words, and small copies of their first images.

Only rows that are asked for are kept, so memory follows the page and not the catalog.

Does not know: what they are shown for.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.errors import ArtifactError
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot

_COLUMNS = ("id", "title", "product_type", "brand", "price", "currency", "color", "link", "images")
_QUALITY = 74


@dataclass(frozen=True)
class Thumbnail:
    """A small image that the page holds once and shows as often as it likes."""

    name: str
    """Id within the page."""
    uri: str
    """``data:`` URI."""
    width: int
    """Pixels."""
    height: int
    edge: str
    """Colour of its border, ``#rrggbb``: what a square frame is filled up with."""


class Shelf:
    """Words and images of some products of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._images: ImageStore | None = None
        self._rows: dict[str, dict[str, Any]] = {}
        self._thumbnails: dict[str, Thumbnail] = {}

    def fetch(self, ids: Iterable[str]) -> None:
        """Read the words of these products; ids the snapshot lacks are left out."""
        wanted = pa.array(sorted(set(ids) - self._rows.keys()), pa.string())
        if not len(wanted):
            return
        for batch in self._snapshot.batches(_COLUMNS):
            found = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            self._rows.update((row["id"], row) for row in found.to_pylist())

    def __contains__(self, id: str) -> bool:
        return id in self._rows

    def card(self, id: str) -> dict[str, Any]:
        """Return what is shown of a product: ``id``, ``title``, ``category``, ``details``, ``link``."""
        row = self._rows.get(id, {})
        price = (
            f"{row['price']:,.2f} {row.get('currency') or ''}".strip()
            if row.get("price") is not None
            else None
        )
        return {
            "id": id,
            "title": row.get("title") or id,
            "category": row.get("product_type"),
            "details": [text for text in (row.get("brand"), row.get("color"), price) if text],
            "link": row.get("link"),
        }

    def thumbnail(self, id: str, side: int = 160) -> Thumbnail | None:
        """Return the product's first image, at most ``side`` pixels wide and high, or ``None``."""
        if id in self._thumbnails:
            return self._thumbnails[id]
        images = (self._rows.get(id) or {}).get("images")
        if not images:
            return None
        if self._images is None:
            self._images = self._snapshot.images()
        try:
            jpeg = self._images.jpeg(images[0])
        except ArtifactError:
            return None
        made = thumbnail(jpeg, f"p{len(self._thumbnails)}", side)
        if made is not None:
            self._thumbnails[id] = made
        return made

    def thumbnails(self) -> list[Thumbnail]:
        """Return every thumbnail that was asked for."""
        return list(self._thumbnails.values())


def thumbnail(jpeg: bytes, name: str, side: int) -> Thumbnail | None:
    """Return a WebP copy within ``side`` x ``side`` pixels, or ``None`` where the bytes are no image."""
    flag = cv2.IMREAD_REDUCED_COLOR_2 if side <= 192 else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flag)
    if image is None:
        return None
    high, wide = image.shape[:2]
    factor = min(1.0, side / max(high, wide))
    size = (max(1, round(wide * factor)), max(1, round(high * factor)))
    if factor < 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not done:
        return None
    uri = "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode()
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    blue, green, red = np.median(border, axis=0).astype(int).tolist()
    return Thumbnail(name, uri, *size, edge=f"#{red:02x}{green:02x}{blue:02x}")
