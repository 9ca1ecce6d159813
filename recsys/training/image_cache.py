"""Images as arrays: decoded once into a memory-mapped cache where they fit, anew each time where not.

A cache is one file of squares ``[V, S, S, 3]`` uint8 in the scratch folder; its name holds what it was
made of, and it appears under that name only when it is whole.

    V = images, S = side of the square

Does not know: augmentation, products.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.encoder.preprocess import Preprocess
from recsys.progress import track
from recsys.workspace.image_store import ImageStore
from recsys.workspace.store import content_id

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

_RING = 64
"""Images decoded ahead of the one being written."""


class ImageCache:
    """Random access to the square pixels of some images; safe to use from forked workers."""

    def __init__(
        self, store: ImageStore, sha256: Sequence[bytes], preprocess: Preprocess, *, cache: Path | None = None
    ) -> None:
        """Prepare ``sha256`` ``[V]``; with ``cache``, a folder, they are decoded into it now."""
        self._store, self._sha256, self._preprocess = store, sha256, preprocess
        self._cached: Pixels | None = None if cache is None or not sha256 else self._open(cache)

    def __len__(self) -> int:
        return len(self._sha256)

    @property
    def is_cached(self) -> bool:
        """Whether reading an image costs no decoding."""
        return self._cached is not None or not self._sha256

    def __getitem__(self, i: int) -> Pixels:
        """Return image ``i`` as ``[S, S, 3]`` uint8 RGB."""
        if self._cached is not None:
            pixels: Pixels = self._cached[i]
            return pixels
        return self._preprocess.pixels(self._store.jpeg(self._sha256[i]))

    def _open(self, folder: Path) -> Pixels:
        side = self._preprocess.image_size
        digest = content_id({"sha256": [s.hex() for s in self._sha256], "mode": self._preprocess.resize_mode})
        path = folder / f"images-{side}-{digest}.u8"
        shape = (len(self._sha256), side, side, 3)
        if not path.exists():
            partial = path.with_suffix(".partial")
            self._fill(np.memmap(partial, np.uint8, "w+", shape=shape))
            partial.replace(path)
        cached: Pixels = np.memmap(path, np.uint8, "r", shape=shape)
        return cached

    def _fill(self, target: Pixels) -> None:
        workers = min(16, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:  # libjpeg-turbo and OpenCV release the GIL
            for start in track(range(0, len(target), _RING), label="decoding", unit="batches of images"):
                part = self._sha256[start : start + _RING]
                for i, pixels in enumerate(
                    pool.map(lambda s: self._preprocess.pixels(self._store.jpeg(s)), part)
                ):
                    target[start + i] = pixels
        logger.info("decoded %d images to %d x %d", len(target), *target.shape[1:3])


def cache_bytes(num_images: int, side: int) -> int:
    """Return the size of a cache of so many images."""
    return num_images * side * side * 3
