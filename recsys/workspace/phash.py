"""The perceptual hash: 64 bits that stay nearly equal when an image is resized or re-encoded.

The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), with
the choices of the ImageHash package's ``phash``: 32 × 32 grey levels, the 8 × 8 lowest frequencies, one
bit each for above their median. Two images within about 6 bits usually show the same photograph.

Does not know: files or formats.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE, _LOW = 32, 8
_N, _K = np.arange(_SIDE), np.arange(_LOW)[:, None]
_DCT = 2 * np.cos(np.pi * _K * (2 * _N + 1) / (2 * _SIDE))  # [8, 32], type II, not normalised


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """Return the 64-bit hash of an image ``[H, W, 3]`` uint8; bit 63 is the lowest frequency."""
    grey = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low = _DCT @ np.asarray(grey, dtype=np.float64) @ _DCT.T
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def hamming_distance(a: int, b: int) -> int:
    """Return in how many of the 64 bits two hashes differ, 0 to 64."""
    return (a ^ b).bit_count()
