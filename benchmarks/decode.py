"""Decode and resize of JPEGs: ours against plain Pillow, per CPU-second, in one run.

    python -m benchmarks.decode

Plain Pillow is ``Image.open → convert("RGB") → resize(LANCZOS)``; ours is ``normalise.decode``,
header checks included, to the same size. Both on one thread, CPU time; the two take turns.
"""

import io
import time

import numpy as np
from PIL import Image

from benchmarks.harness import benchmark, summary
from benchmarks.synthetic import photo_jpeg
from recsys.workspace.normalise import Normalisation, decode, open_image

_PHOTOS, _REPEATS = 8, 15
_SETTINGS = Normalisation()


def measure() -> dict[str, object]:
    """Measure both at 1000 and 2000 pixels."""
    return {"normalised_side": _SETTINGS.max_side} | {f"{side}px": compare(side) for side in (1000, 2000)}


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
