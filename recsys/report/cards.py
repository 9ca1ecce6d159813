"""What the report shows of a product: its words, and a small copy of its first image.

Only rows that are asked for are kept, so memory follows the page and not the catalog.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from recsys.errors import ArtifactError
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot

_COLUMNS = ("id", "title", "product_type", "brand", "price", "currency", "color", "link", "images")
_QUALITY = 74


@dataclass(frozen=True)
class PageImage:
    """A small image that the page holds once and shows as often as it likes."""

    name: str
    """Id within the page."""
    uri: str
    """``data:`` URI."""
    width: int
    """Pixels."""
    height: int
    edge: str
    """Median colour of its border, ``#rrggbb``: fills the rest of a square frame."""


class ProductCards:
    """Words and images of some products of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._images: ImageStore | None = None
        self._rows: dict[str, dict[str, Any]] = {}
        self._thumbnails: dict[str, PageImage] = {}

    def fetch(self, ids: Iterable[str]) -> None:
        """Read the rows of these products; ids that the snapshot lacks are left out."""
        wanted = pa.array(sorted(set(ids) - self._rows.keys()), pa.string())
        if not len(wanted):
            return
        for batch in self._snapshot.batches(_COLUMNS):
            found = batch.filter(pc.is_in(batch.column("id"), value_set=wanted))
            self._rows.update((row["id"], row) for row in found.to_pylist())

    def __contains__(self, id: str) -> bool:
        return id in self._rows

    def card(self, id: str) -> dict[str, Any]:
        """Return ``id``, ``title`` (the id where there is none), ``category``, ``details``, ``link``."""
        row = self._rows.get(id, {})
        price = row.get("price")
        amount = None if price is None else f"{price:,.2f} {row.get('currency') or ''}".strip()
        return {
            "id": id,
            "title": row.get("title") or id,
            "category": row.get("product_type"),
            "details": [text for text in (row.get("brand"), row.get("color"), amount) if text],
            "link": row.get("link"),
        }

    def thumbnail(self, id: str, side: int = 160) -> PageImage | None:
        """Return the product's first image within ``side`` x ``side`` pixels; ``None`` where it has none."""
        images = self._rows.get(id, {}).get("images")
        if not images or id in self._thumbnails:
            return self._thumbnails.get(id)
        self._images = self._images or self._snapshot.images()
        try:
            jpeg = self._images.jpeg(images[0])
        except ArtifactError:
            return None
        made = thumbnail(jpeg, f"p{len(self._thumbnails)}", side)
        if made is not None:
            self._thumbnails[id] = made
        return made

    def thumbnails(self) -> list[PageImage]:
        """Return every thumbnail that was asked for."""
        return list(self._thumbnails.values())


def thumbnail(jpeg: bytes, name: str, side: int) -> PageImage | None:
    """Return a WebP copy within ``side`` x ``side`` pixels; ``None`` where the bytes are no image."""
    file = io.BytesIO()
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            image.thumbnail((side, side), reducing_gap=2.0)
            image.save(file, "WEBP", quality=_QUALITY)
            pixels = np.asarray(image.convert("RGB"))
    except OSError:
        return None
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(border, axis=0).astype(int).tolist()
    uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return PageImage(name, uri, *image.size, edge=f"#{red:02x}{green:02x}{blue:02x}")
