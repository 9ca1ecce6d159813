"""The door of the sample catalog: draws a shop, its feed and its photographs.

    run(Path("catalog"), num_products=600)            # the first night
    run(Path("catalog"), num_products=600, night=2)   # the next: 1 % of the products changed

Product k looks and reads the same whatever ``num_products`` is. Images that are there already are not
drawn again; the feed is replaced in one step, after its images.

Does not know: the pipeline that reads it.
"""

import contextlib
import csv
import ctypes
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from examples.sample_shop import broken
from examples.sample_shop.design import product
from examples.sample_shop.nights import State, state
from examples.sample_shop.studio import num_photos, photograph
from examples.sample_shop.words import COLUMNS, row
from recsys.errors import InputError
from recsys.progress import track
from recsys.workspace.store import write_atomic

logger = logging.getLogger(__name__)

VERSION = 1
"""Raised when the drawing changes, so that images of an older version are drawn anew."""
FEED = "feed.csv"
_STAMP = "sample.json"
_NIGHT = "night.txt"
_FIRST_NIGHT = datetime(2025, 1, 6, 1, tzinfo=UTC)
_BROKEN_EVERY = 40
_QUALITY = 90
_ALONE = 24  # fewer images than this are drawn without starting workers

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

Task = tuple[int, int, int, str]  # owner, index, revision, path relative to the folder


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
    out.mkdir(parents=True, exist_ok=True)
    _forget_others(out, {"version": VERSION, "seed": seed, "image_size": image_size})
    catalog = state(seed, num_products, night)
    draw = partial(_draw, str(out), seed, image_size)
    missing = list(_missing(out, seed, catalog, max_images))
    _draw_all(draw, missing)
    if max_images and not (out / broken.FOLDER / "turned.jpg").exists():
        first = catalog.numbers()[0]
        owner = product(seed, first).owner
        broken.write_files(
            out, (out / _path(seed, owner, 0, catalog.photo_revisions.get(owner, 0))).read_bytes()
        )
    num_rows, num_images = _write_feed(out, seed, catalog, max_images)
    write_atomic(out / _NIGHT, f"{night}\n")
    result = {
        "feed": str(out / FEED),
        "night": night,
        "seed": seed,
        "products": len(catalog.numbers()),
        "rows": num_rows,
        "images": num_images,
        "drawn": len(missing),
        "changed": catalog.tonight,
        "duration_s": round(time.monotonic() - started, 3),
    }
    logger.info(
        "sample: night %d, %d rows, %d images drawn in %.1f s",
        night,
        num_rows,
        len(missing),
        result["duration_s"],
    )
    return result


def last_night(out: Path) -> int:
    """Return the night whose catalog lies in ``out``; 0 where there is none yet."""
    path = out / _NIGHT
    return int(path.read_text(encoding="utf-8")) if path.exists() else 0


def _forget_others(out: Path, stamp: dict[str, int]) -> None:
    """Remove images that another seed, size or version drew: names alone do not tell them apart."""
    path = out / _STAMP
    text = json.dumps(stamp, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        for image in (out / "images").glob("*/*"):
            image.unlink()
    write_atomic(path, text)


def _path(seed: int, owner: int, index: int, revision: int) -> str:
    """Return where an image lies, relative to the folder."""
    take = f"-take{revision + 1}" if revision else ""
    return f"images/{product(seed, owner).design.category}/P{owner:06d}-{index + 1}{take}.jpg"


def _images(seed: int, owner: int, catalog: State, max_images: int) -> list[Task]:
    """Return the images of an owner. A new take replaces the first image only."""
    revisions = [catalog.photo_revisions.get(owner, 0), 0, 0]
    count = min(max_images, num_photos(seed, owner))
    return [(owner, i, revisions[i], _path(seed, owner, i, revisions[i])) for i in range(count)]


def _missing(out: Path, seed: int, catalog: State, max_images: int) -> Iterator[Task]:
    there = {f"images/{p.parent.name}/{p.name}" for p in (out / "images").glob("*/*.jpg")}
    for owner in sorted({product(seed, n).owner for n in catalog.numbers()}):
        yield from (task for task in _images(seed, owner, catalog, max_images) if task[3] not in there)


def _draw(out: str, seed: int, size: int, task: Task) -> int:
    """Draw one image and put it in place; return its size in bytes."""
    owner, index, revision, name = task
    image = photograph(seed, product(seed, owner), index, revision, size)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    assert done
    path = Path(out, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_suffix(f".{os.getpid()}.part")
    partial_path.write_bytes(data.tobytes())
    partial_path.replace(path)
    return len(data)


def _draw_all(draw: "partial[int]", tasks: list[Task]) -> None:
    workers = min(_cores(), len(tasks) // _ALONE + 1)
    if workers == 1:
        for task in track(tasks, label="drawing images", total=len(tasks)):
            draw(task)
        return
    # Fresh interpreters: forking a process that runs threads (OpenCV, Arrow) can deadlock.
    with multiprocessing.get_context("spawn").Pool(workers, _prepare_worker) as pool:
        for _ in track(
            pool.imap_unordered(draw, tasks, chunksize=8), label="drawing images", total=len(tasks)
        ):
            pass


def _prepare_worker() -> None:
    cv2.setNumThreads(1)
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc only; elsewhere it is just slower
        # Keep freed image buffers: fetching them from the kernel each time costs a third of the drawing.
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 28)
        mallopt(_M_TRIM_THRESHOLD, 1 << 29)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_feed(out: Path, seed: int, catalog: State, max_images: int) -> tuple[int, int]:
    """Write the feed, broken rows strewn in; return how many rows and images it has."""
    partial_path = out / f".{FEED}.{os.getpid()}"
    num_rows = 0
    images: set[str] = set()
    with partial_path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        pending: Iterator[dict[str, str]] = iter(())
        for position, entry in enumerate(_rows(seed, catalog, max_images)):
            if position == 0:
                pending = iter(broken.rows(entry))
            writer.writerow(entry)
            images.update(filter(None, [entry["image_link"], *entry["additional_image_link"].split(",")]))
            num_rows += 1
            if position % _BROKEN_EVERY == _BROKEN_EVERY - 1:
                num_rows += _write_some(writer, islice(pending, 1))
        num_rows += _write_some(writer, pending)
        file.flush()
        os.fsync(file.fileno())
    partial_path.replace(out / FEED)
    return num_rows, len(images)


def _write_some(writer: "csv.DictWriter[str]", entries: Iterator[dict[str, str]]) -> int:
    count = 0
    for entry in entries:
        writer.writerow(entry)
        count += 1
    return count


def _rows(seed: int, catalog: State, max_images: int) -> Iterator[dict[str, str]]:
    for number in catalog.numbers():
        one = product(seed, number)
        photos = [task[3] for task in _images(seed, one.owner, catalog, max_images)]
        night = max(
            catalog.changed_on.get(number, 1),
            catalog.changed_on.get(one.owner, 1) if one.owner in catalog.photo_revisions else 1,
        )
        yield row(seed, one, wording=catalog.wording.get(number, 0), offer=catalog.offer.get(number, 0)) | {
            "image_link": photos[0] if photos else "",
            "additional_image_link": ",".join(photos[1:]),
            "updated_at": (_FIRST_NIGHT + timedelta(days=night - 1)).isoformat(),
        }
