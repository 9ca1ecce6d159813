"""Decode and resize of JPEGs: ours against plain Pillow, and worker processes against threads, in one run.

    python -m benchmarks.decode

Plain Pillow is ``Image.open → convert("RGB") → resize(LANCZOS)``; ours is ``normalise.decode``,
header checks included, to the same size. Both on one thread, CPU time; the two take turns.

Ingestion normalises images in worker processes that are bounded and replaced: ``workers`` compares that with
threads of one process, every core at work. The two take turns. ``ratio`` is of images per CPU-second, of all
processes together; images a second depend on what else the machine does.
"""

import io
import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import benchmark, summary
from benchmarks.synthetic import photo_jpeg
from recsys.machine import available_cores
from recsys.workspace.decoding import DecodePool
from recsys.workspace.normalise import Normalisation, decode, normalise, open_image

_PHOTOS, _REPEATS = 8, 15
_TURNS = 10
"""Times that every photo is normalised in one turn of the comparison of workers."""
_SETTINGS = Normalisation()


def measure() -> dict[str, object]:
    """Measure both at 1000 and 2000 pixels."""
    measured = {f"{side}px": compare(side) | {"workers": workers(side)} for side in (1000, 2000)}
    return {"normalised_side": _SETTINGS.max_side} | measured


def workers(side: int) -> dict[str, object]:
    """Compare worker processes with threads, one for each core."""
    sources = [photo_jpeg(side, seed) for seed in range(_PHOTOS)] * _TURNS
    cores = available_cores()
    turns: dict[str, list[tuple[float, float]]] = {"threads": [], "workers": []}
    with (
        closing(DecodePool(_SETTINGS, num_workers=cores, timeout_s=60)) as pool,
        ThreadPoolExecutor(cores) as threads,
    ):
        work: dict[str, Callable[[bytes], object]] = {
            "threads": partial(normalise, settings=_SETTINGS),
            "workers": pool.normalise,
        }
        for _ in range(1 + _REPEATS):
            for name, function in work.items():
                started, cpu_started = time.perf_counter(), _all_cpu_s()
                deque(threads.map(function, sources), maxlen=0)
                turns[name].append((_all_cpu_s() - cpu_started, time.perf_counter() - started))
    found: dict[str, object] = {}
    medians = {}
    for name, (_, *taken) in turns.items():  # the first turn starts the workers
        cpu_ms, wall_s = ([turn[i] for turn in taken] for i in (0, 1))
        found[f"{name}_cpu_ms"] = summary([1000 * s / len(sources) for s in cpu_ms])
        found[f"{name}_images_per_s"] = summary([len(sources) / s for s in wall_s])
        medians[name] = float(np.median(cpu_ms))
    return {"ratio": round(medians["threads"] / medians["workers"], 3), **found}


def _all_cpu_s() -> float:
    """Return the CPU time of this process, of those it started, and of those that they started."""
    ticks, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            ticks[pid], parents[pid] = int(fields[11]) + int(fields[12]), int(fields[1])
    own = os.getpid()
    family = [pid for pid, parent in parents.items() if own in (parent, parents.get(parent))]
    return time.process_time() + sum(ticks[pid] for pid in family) / os.sysconf("SC_CLK_TCK")


def compare(side: int) -> dict[str, object]:
    sources = [photo_jpeg(side, seed) for seed in range(_PHOTOS)]
    differences = [float(np.abs(_pillow(s).astype(np.int16) - _ours(s)).mean()) for s in sources]
    pillow_ms, ours_ms = [], []
    for _ in range(_REPEATS):
        pillow_ms.append(_cpu_ms(_pillow, sources))
        ours_ms.append(_cpu_ms(_ours, sources))
    return {
        "ratio": round(float(np.median(pillow_ms) / np.median(ours_ms)), 3),
        "mean_absolute_difference": round(float(np.mean(differences)), 3),
        "worst_absolute_difference": round(max(differences), 3),
        "pillow_cpu_ms": summary(pillow_ms),
        "ours_cpu_ms": summary(ours_ms),
        "source_kb": round(sum(map(len, sources)) / len(sources) / 1000),
    }


def _pillow(source: bytes) -> np.ndarray:
    size = (_SETTINGS.max_side, _SETTINGS.max_side)
    image = Image.open(io.BytesIO(source)).convert("RGB")
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def _ours(source: bytes) -> np.ndarray:
    return decode(source, open_image(source, _SETTINGS), _SETTINGS.max_side)


def _cpu_ms(function, sources: list[bytes]) -> float:
    started = time.process_time()
    for source in sources:
        function(source)
    return 1000 * (time.process_time() - started) / len(sources)


if __name__ == "__main__":
    benchmark("decode", measure, __doc__)
