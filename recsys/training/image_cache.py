"""Images as arrays: decoded once into a memory-mapped cache where they fit, each time where not.

A cache is one file of squares ``[V, S, S, 3]`` uint8 in the scratch folder. Its name holds what it was made
of, and it appears under that name only when it is whole.

    V = images, S = side of the square
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
from recsys.workspace.arrays import create_array
from recsys.workspace.image_store import ImageStore
from recsys.workspace.store import content_id

logger = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]

_DECODED_AT_ONCE = 64


class ImageCache:
    """Random access to the square pixels of some images; safe to use from forked workers."""

    def __init__(
        self, store: ImageStore, sha256: Sequence[bytes], preprocess: Preprocess, *, cache: Path | None = None
    ) -> None:
        """Prepare ``sha256`` ``[V]``; with ``cache``, a folder, they are decoded into it now."""
        self._store, self._sha256, self._preprocess = store, sha256, preprocess
        self._cached: Pixels | None = None if cache is None or not sha256 else self._open(cache)

    @property
    def is_cached(self) -> bool:
        """Whether reading an image costs no decoding."""
        return self._cached is not None or not self._sha256

    def __getitem__(self, i: int) -> Pixels:
        """Return image ``i`` as ``[S, S, 3]`` uint8 RGB."""
        return self._decode(self._sha256[i]) if self._cached is None else self._cached[i]

    def _decode(self, sha256: bytes) -> Pixels:
        return self._preprocess.pixels(self._store.jpeg(sha256))

    def _open(self, folder: Path) -> Pixels:
        side = self._preprocess.image_size
        digest = content_id({"sha256": [s.hex() for s in self._sha256], "mode": self._preprocess.resize_mode})
        path = folder / f"images-{side}-{digest}.npy"
        if not path.exists():
            partial = path.with_suffix(".partial")
            target = create_array(partial, np.uint8, (len(self._sha256), side, side, 3))
            with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:  # decoding releases the GIL
                starts = range(0, len(target), _DECODED_AT_ONCE)
                for start in track(starts, label="decoding", unit="batches of images"):
                    part = slice(start, start + _DECODED_AT_ONCE)
                    target[part] = list(pool.map(self._decode, self._sha256[part]))
            logger.info("decoded %d images to %d x %d", len(target), side, side)
            partial.replace(path)
        cached: Pixels = np.load(path, mmap_mode="r")
        return cached


def cache_bytes(num_images: int, side: int) -> int:
    """Return the size of a cache of so many images."""
    return num_images * side * side * 3
