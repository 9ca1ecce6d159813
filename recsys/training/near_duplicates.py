"""Near-duplicate images: suggested by the perceptual hash, confirmed on small colour versions.

A 64-bit perceptual hash sees grey outlines: on a white background any two shoes, shirts or pairs of glasses
may share it. So what the hash suggests is compared in colour.

    N = hashes
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from recsys.config.supervision import SplitConfig

logger = logging.getLogger(__name__)

Thumbnail = NDArray[np.float32]
LoadThumbnail = Callable[[bytes], Thumbnail]
"""sha256 → the image as ``[32, 32, 3]``."""

_SIDE = 32
_MAX_BUCKET = 2048
"""Hashes that agree in a band are compared all with all up to this many, beyond with their neighbours."""
_MAX_DISTINCT = 8
"""Different images of one hash that further ones are compared with."""


def near_images(
    images_by_hash: Mapping[int, Sequence[bytes]], config: SplitConfig, load_thumbnail: LoadThumbnail | None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield pairs of near-duplicate images, enough to join all that are, those of equal hash first.

    ``images_by_hash`` maps a perceptual hash to the sha256 of its images. ``config`` gives
    ``phash_distance`` and ``phash_difference``. Without ``load_thumbnail`` the hashes alone decide.
    """
    load = None if load_thumbnail is None else lru_cache(maxsize=50_000)(load_thumbnail)

    def alike(left: bytes, right: bytes) -> bool:
        return load is None or difference(load(left), load(right)) <= config.phash_difference

    distinct: dict[int, list[bytes]] = {}
    for phash, images in images_by_hash.items():
        known = distinct.setdefault(phash, [images[0]])
        for image in images[1:]:
            same = next((other for other in known if alike(other, image)), None)
            if same is not None:
                yield same, image
            elif len(known) < _MAX_DISTINCT:
                known.append(image)
    hashes = np.fromiter(images_by_hash, np.uint64, len(images_by_hash))
    for left, right in near_pairs(hashes, config.phash_distance):
        for one, other in itertools.product(distinct[left], distinct[right]):
            if alike(one, other):
                yield one, other


def thumbnail(jpeg: bytes) -> Thumbnail:
    """Return a JPEG as ``[32, 32, 3]`` float32, decoded at the smallest scale that holds that many pixels."""
    pixels = simplejpeg.decode_jpeg(jpeg, "RGB", min_height=_SIDE, min_width=_SIDE)
    return np.asarray(cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def difference(left: Thumbnail, right: Thumbnail) -> float:
    """Return the mean absolute difference of two thumbnails over their mean contrast.

    0 for equal ones, about 1 for unrelated ones. The contrast is the mean distance from the image's own mean
    colour, so that a small object on a large background counts as much as one that fills the image.
    """
    contrasts = [float(np.abs(p - p.mean(axis=(0, 1))).mean()) for p in (left, right)]
    return float(np.abs(left - right).mean()) / (sum(contrasts) / 2 + 2.0)


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> list[tuple[int, int]]:
    """Return the pairs of distinct 64-bit ``hashes`` ``[N]`` at Hamming distance 1 to ``distance``.

    Nearest first, then ascending; the smaller hash of a pair first.

    Banding: 64 bits in ``distance`` + 2 blocks; two hashes within ``distance`` agree in at least two whole
    blocks, so sorting by every pair of blocks finds them all, at N log N instead of N squared.
    """
    hashes = np.unique(hashes)
    if distance <= 0 or len(hashes) < 2:
        return []
    edges = np.linspace(0, 64, distance + 3).astype(int)
    blocks = [((1 << int(b)) - (1 << int(a))) & 0xFFFF_FFFF_FFFF_FFFF for a, b in itertools.pairwise(edges)]
    found = [np.empty((0, 2), np.uint64)]
    for one, other in itertools.combinations(blocks, 2):
        banded = hashes & np.uint64(one | other)
        order = np.argsort(banded, kind="stable")
        ordered, band = hashes[order], banded[order]
        active = np.arange(len(hashes) - 1)  # where the hash `step` further on is in the same bucket
        for step in range(1, _MAX_BUCKET):
            active = active[active + step < len(band)]
            active = active[band[active] == band[active + step]]
            if not len(active):
                break
            left, right = ordered[active], ordered[active + step]
            near = np.bitwise_count(left ^ right) <= distance
            found.append(np.stack([left[near], right[near]], axis=1))
        else:
            logger.warning("over %d perceptual hashes agree in a band; only neighbours compared", _MAX_BUCKET)
    pairs = np.unique(np.concatenate(found), axis=0)
    nearest = pairs[np.argsort(np.bitwise_count(pairs[:, 0] ^ pairs[:, 1]), kind="stable")]
    return [(int(left), int(right)) for left, right in nearest]
