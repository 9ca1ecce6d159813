"""Made-up photographs with the statistics of real ones, and catalog snapshots of them.

Natural images have amplitudes that fall with 1/frequency (Field 1987) and hard edges between objects;
a lens softens both (here to half contrast at 0.3 cycles per pixel, a good one), a sensor adds grain. At
quality 90 a JPEG of them has 2.0 to 2.5 bits per pixel; real photographs measured with the same encoder
had 1.0 (a white background) to 2.9 (a street).
"""

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recsys.workspace import Workspace
from recsys.workspace.image_store import FILE, KIND, ImageShardWriter
from recsys.workspace.product import PRODUCTS, REJECTED
from recsys.workspace.snapshot import PRODUCTS_FILE, REJECTED_FILE

IMAGES_PER_PRODUCT = 1.5
SIDE, QUALITY = 384, 90
_HALF_CONTRAST = 0.3
_WORDS = (
    "shirt", "shoe", "lamp", "table", "oak", "cotton", "wool", "blue", "green", "red", "soft", "warm",
    "light", "strong", "classic", "modern", "kitchen", "garden", "summer", "winter", "outdoor",
    "leather", "steel", "glass", "handmade", "washable", "breathable", "slim", "wide", "comfort",
    "everyday", "design",
)  # fmt: skip


def photo(side: int, seed: int) -> NDArray[np.uint8]:
    """Return ``[side, side, 3]`` uint8 pixels of a made-up still life."""
    rng = np.random.default_rng(seed)
    canvas = _noise(rng, side, 25.0)[..., None] + rng.uniform(90, 170, 3)
    canvas += np.stack([_noise(rng, side, 6.0) for _ in range(3)], axis=-1)
    for _ in range(12):
        mask = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mask)
        x, y, w, h = rng.uniform(0, side, 4) * (1, 1, 0.35, 0.35)
        shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
        shape((x, y, x + w, y + h), fill=255)
        texture = _noise(rng, side, float(rng.uniform(3, 20)))[..., None] + rng.uniform(30, 225, 3)
        canvas = np.where(np.asarray(mask)[..., None] > 0, texture, canvas)
    canvas = _lens(canvas) + rng.normal(0, 1.5, (side, side, 1))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def photo_jpeg(side: int, seed: int, *, quality: int = 90) -> bytes:
    """Return a baseline 4:2:0 JPEG of :func:`photo`."""
    buffer = io.BytesIO()
    Image.fromarray(photo(side, seed)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _noise(rng: np.random.Generator, side: int, deviation: float) -> NDArray[np.float32]:
    """Return noise ``[side, side]`` with a 1/f amplitude spectrum and this standard deviation."""
    radius = np.maximum(_radius(side), 1 / side)
    phase = np.exp(2j * np.pi * rng.random(radius.shape))
    field = np.fft.irfft2(phase / radius, s=(side, side))
    return (field * (deviation / field.std())).astype(np.float32)


def _lens(canvas: NDArray[np.floating]) -> NDArray[np.floating]:
    contrast = 0.5 ** ((_radius(canvas.shape[0]) / _HALF_CONTRAST) ** 2)
    return np.fft.irfft2(
        np.fft.rfft2(canvas, axes=(0, 1)) * contrast[..., None], s=canvas.shape[:2], axes=(0, 1)
    )


def _radius(side: int) -> NDArray[np.floating]:
    return np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])


def make_snapshot(workspace: Workspace, num_products: int, *, seed: int = 0) -> str:
    """Write a snapshot of ``num_products`` with images as the catalog stage normalises them; return its ref.

    Every photograph is unique in its bytes; they are crops of a few large ones, which are slow to make.
    """
    rng = np.random.default_rng(seed)
    sources = [photo(640, seed + i) for i in range(6)]
    jpegs = []
    for i in range(int(num_products * IMAGES_PER_PRODUCT)):
        top, left = rng.integers(0, 640 - SIDE, 2)
        crop = np.ascontiguousarray(sources[i % len(sources)][top : top + SIDE, left : left + SIDE])
        jpegs.append(bytes(simplejpeg.encode_jpeg(crop, QUALITY, colorsubsampling="420")))
    rows = []
    for i in range(num_products):
        words = rng.choice(_WORDS, 60)
        own = range(int(i * IMAGES_PER_PRODUCT), int((i + 1) * IMAGES_PER_PRODUCT))
        rows.append(
            {
                "id": f"p{i:07d}",
                "title": f"{' '.join(words[:6])} {i}",
                "brand": str(words[6]),
                "product_type": " > ".join(words[7:10]),
                "color": "blue",
                "material": str(words[10]),
                "description": " ".join(words[11 : 11 + int(rng.integers(5, 45))]),
                "images": [image_hash(j) for j in own],
            }
        )
    return write_snapshot(workspace, jpegs, SIDE, rows)


def write_snapshot(
    workspace: Workspace, jpegs: Sequence[bytes], side: int, rows: Sequence[dict[str, Any]]
) -> str:
    """Write square images named by :func:`image_hash`, and products of the given columns; return the ref."""
    with workspace.create(KIND, f"images-{len(jpegs)}") as images:
        writer = ImageShardWriter(images.path / FILE)
        for i, jpeg in enumerate(jpegs):
            writer.add(sha256=image_hash(i), phash=i, width=side, height=side, jpeg=jpeg)
        writer.close()
    empty = dict.fromkeys(PRODUCTS.names) | {"attributes": [], "payload_hash": bytes(16)}
    whole = [empty | {"content_hash": i.to_bytes(16, "big")} | row for i, row in enumerate(rows)]
    with workspace.create("snapshots", f"products-{len(rows)}") as draft:
        pq.write_table(pa.Table.from_pylist(whole, schema=PRODUCTS), draft.path / PRODUCTS_FILE)
        pq.write_table(REJECTED.empty_table(), draft.path / REJECTED_FILE)
        draft.info = {"image_shards": [images.committed().ref], "counts": {"products": len(rows)}}
    return draft.committed().ref


def image_hash(number: int) -> bytes:
    """Return the name of an image in a made-up snapshot."""
    return hashlib.sha256(number.to_bytes(8, "big")).digest()
