"""Random views of a training image: crop, flip, turn, colour, blur, erase.

Everything is a function of the generator passed in, so the same seed, batch and position give the same
pixels in any process. Crop and turn are one interpolation; brightness, contrast, saturation and hue one
3 x 4 colour matrix. torchvision's v2 transforms make the same views 2 to 8 times slower on a CPU.

    S = side of the result; pixels are uint8 RGB, [H, W, 3]
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from recsys.config.training import AugmentConfig

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of red, green and blue in brightness."""
_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
"""RGB to YIQ: brightness and two axes of colour."""


def augment(pixels: Pixels, size: int, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Return one random view ``[S, S, 3]`` of ``pixels`` with ``S = size``."""
    view = _crop(pixels, size, config, rng)
    matrix = _colour_matrix(config, rng, float(view[::4, ::4].mean()))
    if matrix is not None:
        view = np.asarray(cv2.transform(view, matrix), np.uint8)
    if config.blur and rng.random() < config.blur:
        view = np.asarray(cv2.GaussianBlur(view, (0, 0), rng.uniform(0.1, 2.0)), np.uint8)
    if config.erase and rng.random() < config.erase:
        _erase(view, rng)
    return view


def _crop(pixels: Pixels, size: int, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Cut out a random rectangle, turned and flipped, and resize it to ``size`` in one interpolation."""
    height, width = pixels.shape[:2]
    top, left, crop_h, crop_w = _rectangle(height, width, config, rng)
    flipped = bool(config.flip) and rng.random() < config.flip
    if config.rotate_degrees:
        middle = left + (crop_w - 1) / 2, top + (crop_h - 1) / 2
        sides = crop_w * (size - 1) / size, crop_h * (size - 1) / size  # between centres of outer pixels
        corners = cv2.boxPoints((middle, sides, rng.uniform(-config.rotate_degrees, config.rotate_degrees)))
        targets = np.array([[0, size - 1], [0, 0], [size - 1, 0]], np.float32)
        matrix = cv2.getAffineTransform(corners[:3], targets)
        view = cv2.warpAffine(pixels, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    else:
        crop = pixels[top : top + crop_h, left : left + crop_w]
        shrinks = min(crop_h, crop_w) > size
        view = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(cv2.flip(view, 1) if flipped else view, np.uint8)


def _rectangle(
    height: int, width: int, config: AugmentConfig, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return ``(top, left, height, width)`` of a random crop (Inception's, as torchvision does it)."""
    for _ in range(10):
        area = height * width * rng.uniform(*config.crop_scale)
        ratio = math.exp(rng.uniform(math.log(config.crop_ratio[0]), math.log(config.crop_ratio[1])))
        crop_w, crop_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_w <= width and 0 < crop_h <= height:
            return (
                int(rng.integers(height - crop_h + 1)),
                int(rng.integers(width - crop_w + 1)),
                crop_h,
                crop_w,
            )
    return 0, 0, height, width


def _colour_matrix(
    config: AugmentConfig, rng: np.random.Generator, mean: float
) -> NDArray[np.float64] | None:
    """Return the ``[3, 4]`` matrix of hue, saturation, grey, contrast and brightness; ``None``: no change."""
    matrix, shift = np.eye(3), 0.0
    grey = np.tile(_LUMA, (3, 1))
    if config.hue:  # a rotation about grey that keeps brightness
        turn = 2 * math.pi * rng.uniform(-config.hue, config.hue)
        cos, sin = math.cos(turn), math.sin(turn)
        matrix = np.linalg.inv(_YIQ) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ
    if config.saturation:
        share = 1 + rng.uniform(-config.saturation, config.saturation)
        matrix = (share * np.eye(3) + (1 - share) * grey) @ matrix
    if config.grayscale and rng.random() < config.grayscale:
        matrix = grey @ matrix
    if config.contrast:
        share = 1 + rng.uniform(-config.contrast, config.contrast)
        matrix, shift = share * matrix, (1 - share) * mean
    if config.brightness:
        share = 1 + rng.uniform(-config.brightness, config.brightness)
        matrix, shift = share * matrix, share * shift
    if not shift and np.array_equal(matrix, np.eye(3)):
        return None
    return np.column_stack([matrix, np.full(3, shift)])


def _erase(view: Pixels, rng: np.random.Generator) -> None:
    """Replace a rectangle of 2 to 20% of the area by the mean colour, in place."""
    size = view.shape[0]
    area = size * size * rng.uniform(0.02, 0.2)
    ratio = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    height = min(size, max(1, round(math.sqrt(area / ratio))))
    width = min(size, max(1, round(math.sqrt(area * ratio))))
    top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    view[top : top + height, left : left + width] = view.mean(axis=(0, 1)).astype(np.uint8)
