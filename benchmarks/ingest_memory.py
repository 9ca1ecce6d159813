"""Peak memory of an ingest of 10,000 and of 100,000 sample products, each with an image of its own.

    python -m benchmarks.ingest_memory [--sizes 10000 100000]

The rows are the sample catalog's; its photographs would take hours to draw, so every product gets a small
image made here, all distinct. Each ingest runs in a fresh process; its peak is the largest resident set
the kernel saw (``VmHWM``). Two nights are measured: the first, when everything is new, and the second,
when 1% of the products changed and the diff reads the snapshot before.
"""

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.harness import benchmark, in_fresh_process, process_status_mb
from examples.sample_shop.run import run as draw


def measure(sizes: tuple[int, int]) -> dict[str, Any]:
    """Write the feeds, ingest each twice, return the peaks."""
    results: dict[str, Any] = {"products": list(sizes)}
    peaks: dict[str, list[float]] = {"first_night": [], "second_night": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for night, name in enumerate(peaks):
                write_feed(Path(folder), size, night)
                result = in_fresh_process(ingest, folder)
                peaks[name].append(result["peak_mb"])
                results[f"{name}_{size}"] = result
    for name, (small, large) in peaks.items():
        results[f"{name}_ratio"] = round(large / small, 3)
    return results


def write_feed(folder: Path, size: int, night: int) -> None:
    """Write the sample feed of a night, with a small image for every row."""
    draw(folder / "sample", num_products=size, night=night + 1, max_images=0)
    rng = np.random.default_rng(0)
    bases = [_jpeg(rng) for _ in range(50)]
    (folder / "images").mkdir(exist_ok=True)
    with (
        (folder / "sample" / "feed.csv").open(newline="") as source,
        (folder / "feed.csv").open("w") as target,
    ):
        rows = csv.DictReader(source)
        assert rows.fieldnames is not None
        writer = csv.DictWriter(target, rows.fieldnames)
        writer.writeheader()
        for number, row in enumerate(rows):
            name = f"images/{row['id'] or number}.jpg"
            writer.writerow(row | {"image_link": name})
            if not (folder / name).exists():
                _write_image(folder / name, bases[number % len(bases)], number + night * 10**9)


def _jpeg(rng: np.random.Generator) -> bytes:
    pixels = np.asarray(
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
            (96, 96), Image.Resampling.BICUBIC
        )
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_image(path: Path, base: bytes, number: int) -> None:
    comment = b"\xff\xfe" + (10).to_bytes(2, "big") + number.to_bytes(8, "big")
    path.write_bytes(base[:2] + comment + base[2:])


def ingest(folder: str) -> dict[str, Any]:
    """Ingest in this process; return its peak memory and what it found."""
    from recsys.catalog.run import run
    from recsys.config import CatalogConfig, Config
    from recsys.workspace import Workspace

    config = Config(catalog=CatalogConfig(feed=f"{folder}/feed.csv"))
    info = run(config, Workspace(Path(folder) / "workspace")).info
    assert info["counts"]["products_with_image"] == info["counts"]["products"], info["counts"]
    return {
        "peak_mb": round(process_status_mb("VmHWM"), 1),
        "duration_s": info["duration_s"],
        "diff": info["diff"],
        "images": info["counts"]["images"],
    }


if __name__ == "__main__":
    benchmark("ingest_memory", measure, __doc__, sizes=(10_000, 100_000))
