"""Peak memory of an ingest of 10,000 and of 100,000 sample products, each with an image of its own.

    python -m benchmarks.ingest_memory [--sizes 10000 100000]

The rows are the sample catalog's; its photographs would take hours to draw, so every product gets a small
image made here, all distinct. Each ingest runs in a fresh process; its peak is the largest resident set
the kernel saw (``VmHWM``). Two nights are measured: the first, when everything is new, and the second,
when 1% of the products changed and the diff reads the snapshot before.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import record
from examples.sample_shop.run import run as draw


def main() -> None:
    """Write the feeds, ingest each twice, record the peaks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs=2, default=(10_000, 100_000))
    sizes = parser.parse_args().sizes
    figures: dict[str, object] = {"products": list(sizes)}
    peaks: dict[str, list[float]] = {"first_night": [], "second_night": []}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for night, name in enumerate(peaks):
                _write_feed(Path(folder), size, night)
                result = _ingest(Path(folder))
                peaks[name].append(result["peak_mb"])
                figures[f"{name}_{size}"] = result
    for name, (small, large) in peaks.items():
        figures[f"{name}_ratio"] = round(large / small, 3)
    record("ingest_memory", figures, command="python -m benchmarks.ingest_memory")


def _write_feed(folder: Path, size: int, night: int) -> None:
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


def _ingest(folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.ingest_memory", "--child", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _child(folder: str) -> None:
    from recsys.catalog.run import run
    from recsys.config import CatalogConfig, Config
    from recsys.workspace import Workspace

    config = Config(catalog=CatalogConfig(feed=f"{folder}/feed.csv"))
    info = run(config, Workspace(Path(folder) / "workspace")).info
    peak_kb = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ).split()[1]
    assert info["counts"]["products_with_image"] == info["counts"]["products"], info["counts"]
    figures = {"peak_mb": round(int(peak_kb) / 1024, 1), "duration_s": info["duration_s"]}
    print(json.dumps(figures | {"diff": info["diff"], "images": info["counts"]["images"]}))


if __name__ == "__main__":
    _child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main()
