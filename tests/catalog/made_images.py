"""Images for tests, made on the spot."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def pixels(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """Return a smooth random image ``[height, width, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """Return the file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpeg(width: int = 64, height: int = 48, seed: int = 0, **options: Any) -> bytes:
    """Return a baseline JPEG."""
    return encode(Image.fromarray(pixels(width, height, seed)), **options)


def write(folder: Path, name: str, data: bytes) -> Path:
    """Write an image file below ``folder``."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
