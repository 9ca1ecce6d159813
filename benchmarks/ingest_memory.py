"""Peak memory of an ingest of 10,000 and of 100,000 products, each with a picture of its own.

    python -m benchmarks.ingest_memory [--sizes 10000 100000]

Each ingest runs in a fresh process; its peak is the highest resident set the kernel saw. Two nights are
measured: the first, when everything is new, and the second, when 1% of the titles changed and the diff
reads the snapshot before.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.record import record

_COLOURS = ("Black", "Blue", "Green", "Red", "Sand", "White")
_THINGS = ("Backpack", "Lamp", "Mug", "Sneaker", "Stool", "Vase")


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
    """Write ``feed.jsonl`` and, the first night, a small picture for each product, all distinct."""
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir(exist_ok=True)
    bases = [_jpeg(rng) for _ in range(50)]
    with (folder / "feed.jsonl").open("w") as feed:
        for i in range(size):
            colour, thing = _COLOURS[i % 6], _THINGS[i // 6 % 6]
            changed = " (2nd edition)" if night and i % 100 == 0 else ""
            product = {
                "id": f"P{i * 7919 % size:07d}",
                "title": f"{colour} {thing} No. {i}{changed}",
                "description": f"A {colour.lower()} {thing.lower()}, made to last. " * 6,
                "brand": f"Brand {i % 97}",
                "price": f"{5 + i % 200}.90 USD",
                "availability": "in stock",
                "item_group_id": f"G{i // 3}",
                "image_link": f"images/{i}.jpg",
                "color": colour,
            }
            feed.write(json.dumps(product) + "\n")
            if not night:
                _write_image(images / f"{i}.jpg", bases[i % len(bases)], i)


def _jpeg(rng: np.random.Generator) -> bytes:
    pixels = np.asarray(
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
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

    config = Config(catalog=CatalogConfig(feed=f"{folder}/feed.jsonl"))
    manifest = run(config, Workspace(Path(folder) / "workspace"))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    info = manifest.info
    assert info["counts"]["products"] == info["counts"]["rows"], info["counts"]
    print(json.dumps({"peak_mb": round(peak_mb, 1), "duration_s": info["duration_s"], "diff": info["diff"]}))


if __name__ == "__main__":
    _child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main()
