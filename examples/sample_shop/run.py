"""Draw a made-up shop: its feed and its photographs.

    run(Path("catalog"), num_products=600)            # the first night
    run(Path("catalog"), num_products=600, night=2)   # the next: 1 % of the products changed

Product k looks and reads the same whatever ``num_products`` is. Images that are there already are not
drawn again; the feed is replaced in one step, after its images.
"""

import csv
import io
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from examples.sample_shop import feed
from examples.sample_shop.photo import num_photos, photograph
from examples.sample_shop.products import Catalog, catalog_of_night, product
from recsys.errors import InputError
from recsys.progress import track
from recsys.workspace.store import write_atomic

logger = logging.getLogger(__name__)

VERSION = 2  # raised when the drawing changes, so that images of an older version are drawn again
FEED = "feed.csv"
_SETTINGS = "sample.json"
_NIGHT = "night.txt"
_FIRST_NIGHT = datetime(2025, 1, 6, 1, tzinfo=UTC)
_BROKEN_EVERY = 40
_IMAGES_PER_WORKER = 24  # fewer are drawn sooner than another worker starts

Photo = tuple[int, int, int, str]  # owner, index, revision, path relative to the folder


def run(
    out: Path,
    *,
    num_products: int = 600,
    seed: int = 0,
    night: int = 1,
    image_size: int = 512,
    max_images: int = 3,
) -> dict[str, Any]:
    """Write ``feed.csv`` and ``images/`` of the ``night``-th night into ``out``; return counts and durations.

    ``image_size`` in pixels, 32 to 2048; ``max_images`` per product, 0 to 3. Raises :class:`InputError`
    where a number is out of range.
    """
    for name, value, low, high in (
        ("num_products", num_products, 1, 10_000_000),
        ("night", night, 1, 100_000),
        ("image_size", image_size, 32, 2048),
        ("max_images", max_images, 0, 3),
        ("seed", seed, 0, 2**63),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} is {value}.", fix=f"Give a number from {low} to {high}.")
    started = time.monotonic()
    _forget_other_settings(out, {"version": VERSION, "seed": seed, "image_size": image_size})
    catalog = catalog_of_night(seed, num_products, night)
    owners = sorted({product(seed, number).owner for number in catalog.numbers()})
    photos = [photo for owner in owners for photo in _photos(seed, owner, catalog, max_images)]
    there = {path.relative_to(out).as_posix() for path in out.glob("images/*/*.jpg")}
    missing = [photo for photo in photos if photo[-1] not in there]
    _draw_all(partial(_draw, out, seed, image_size), missing)
    if photos and not (out / feed.BROKEN_IMAGES / "turned.jpg").exists():
        feed.write_broken_images(out, (out / photos[0][-1]).read_bytes())
    rows = list(_rows(seed, catalog, max_images))
    text = io.StringIO()
    writer = csv.DictWriter(text, feed.COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(out / FEED, text.getvalue())
    write_atomic(out / _NIGHT, f"{night}\n")
    result = {
        "feed": str(out / FEED),
        "night": night,
        "seed": seed,
        "products": len(catalog.numbers()),
        "rows": len(rows),
        "images": len(photos),
        "drawn": len(missing),
        "changed": dict(catalog.tonight),
        "duration_s": round(time.monotonic() - started, 3),
    }
    logger.info(
        "sample: night %(night)d, %(rows)d rows, %(drawn)d images drawn in %(duration_s).1f s", result
    )
    return result


def last_night(out: Path) -> int:
    """Return the night whose catalog lies in ``out``; 0 where there is none yet."""
    path = out / _NIGHT
    return int(path.read_text(encoding="utf-8")) if path.exists() else 0


def _forget_other_settings(out: Path, settings: dict[str, int]) -> None:
    """Remove images that another seed, size or version drew: names alone do not tell them apart."""
    path, text = out / _SETTINGS, json.dumps(settings, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        for image in out.glob("images/*/*"):
            image.unlink()
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text)


def _photos(seed: int, owner: int, catalog: Catalog, max_images: int) -> list[Photo]:
    """Return the images of an owner. A new take replaces the first image only."""
    folder, photos = f"images/{product(seed, owner).design.category}", []
    for index in range(min(max_images, num_photos(seed, owner))):
        revision = 0 if index else catalog.revisions["image", owner]
        take = f"-take{revision + 1}" if revision else ""
        photos.append((owner, index, revision, f"{folder}/P{owner:06d}-{index + 1}{take}.jpg"))
    return photos


def _draw_all(draw: "partial[None]", photos: list[Photo]) -> None:
    workers = min(os.cpu_count() or 1, len(photos) // _IMAGES_PER_WORKER + 1)
    progress = partial(track, label="drawing images", total=len(photos))
    if workers == 1:
        for photo in progress(photos):
            draw(photo)
        return
    # Fresh interpreters: forking a process that runs threads (OpenCV, Arrow) can deadlock.
    with multiprocessing.get_context("spawn").Pool(workers, cv2.setNumThreads, (1,)) as pool:
        for _ in progress(pool.imap_unordered(draw, photos, chunksize=8)):
            pass


def _draw(out: Path, seed: int, size: int, photo: Photo) -> None:
    """Draw one image and put it in place."""
    owner, index, revision, name = photo
    pixels = photograph(seed, product(seed, owner), index, revision, size)
    _, jpeg = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(f".{os.getpid()}.part")
    partial_path.write_bytes(jpeg.tobytes())
    partial_path.replace(path)


def _rows(seed: int, catalog: Catalog, max_images: int) -> Iterator[dict[str, str]]:
    """Yield the rows of the feed, the broken ones strewn in."""
    pending: list[dict[str, str]] = []
    for position, number in enumerate(catalog.numbers()):
        one = product(seed, number)
        images = [photo[-1] for photo in _photos(seed, one.owner, catalog, max_images)]
        night = catalog.changed_on.get(number, 1)
        if catalog.revisions["image", one.owner]:
            night = max(night, catalog.changed_on.get(one.owner, 1))
        wording, offer = (catalog.revisions[kind, number] for kind in ("wording", "offer"))
        entry = feed.row(seed, one, wording=wording, offer=offer) | {
            "image_link": "".join(images[:1]),
            "additional_image_link": ",".join(images[1:]),
            "updated_at": (_FIRST_NIGHT + timedelta(days=night - 1)).isoformat(),
        }
        yield entry
        if position == 0:
            pending = feed.broken_rows(entry)
        if position % _BROKEN_EVERY == _BROKEN_EVERY - 1 and pending:
            yield pending.pop(0)
    yield from pending
