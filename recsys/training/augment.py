"""Random views of a training image: crop, flip, turn, colour, blur, erase.

Everything is a function of the generator passed in, so the same seed, batch and position give the same
pixels in any process. Crop, flip and turn are one affine warp; brightness, contrast and saturation one
3 x 4 colour matrix: two passes over the image instead of seven.

    S = side of the result; pixels are uint8 RGB, [H, W, 3]

Does not know: data sets, devices.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from recsys.config.training import AugmentConfig

Pixels = NDArray[np.uint8]

_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of red, green and blue in brightness."""


def augment(pixels: Pixels, size: int, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Return one random view ``[S, S, 3]`` of ``pixels`` with ``S = size``."""
    view = _warp(pixels, size, config, rng)
    matrix = _colour_matrix(config, rng, float(view[::4, ::4].mean()))
    if matrix is not None:
        view = cv2.transform(view, matrix)
    if config.blur and rng.random() < config.blur:
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.1, 2.0))
    if config.erase and rng.random() < config.erase:
        _erase(view, rng)
    return np.asarray(view, np.uint8)


def _warp(pixels: Pixels, size: int, config: AugmentConfig, rng: np.random.Generator) -> Pixels:
    """Crop a random rectangle, turn and flip it, and resize it to ``size``, in one interpolation."""
    height, width = pixels.shape[:2]
    top, left, crop_h, crop_w = _rectangle(height, width, config, rng)
    flipped = bool(config.flip) and rng.random() < config.flip
    if not config.rotate_degrees:
        crop = pixels[top : top + crop_h, left : left + crop_w]
        shrinks = min(crop_h, crop_w) > size
        view = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return np.asarray(cv2.flip(view, 1) if flipped else view, np.uint8)
    angle = math.radians(rng.uniform(-config.rotate_degrees, config.rotate_degrees))
    cos, sin = math.cos(angle), math.sin(angle)
    scale_x = crop_w / size * (-1 if flipped else 1)
    scale_y = crop_h / size
    a, b, c, d = cos * scale_x, -sin * scale_y, sin * scale_x, cos * scale_y
    middle = (size - 1) / 2
    offset_x = left + (crop_w - 1) / 2 - (a + b) * middle
    offset_y = top + (crop_h - 1) / 2 - (c + d) * middle
    # the matrix maps the result's pixels to the source's, hence WARP_INVERSE_MAP
    matrix = np.array([[a, b, offset_x], [c, d, offset_y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(pixels, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


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
    """Return the ``[3, 4]`` matrix of brightness, contrast, saturation, hue and grey; ``None``: leave it."""
    matrix = np.eye(3)
    shift = np.zeros(3)
    grey = np.tile(_LUMA, (3, 1))
    if config.hue:
        matrix = _hue(rng.uniform(-config.hue, config.hue))
    if config.saturation:
        share = 1 + rng.uniform(-config.saturation, config.saturation)
        matrix = (share * np.eye(3) + (1 - share) * grey) @ matrix
    if config.grayscale and rng.random() < config.grayscale:
        matrix = grey @ matrix
    if config.contrast:
        share = 1 + rng.uniform(-config.contrast, config.contrast)
        matrix, shift = share * matrix, shift + (1 - share) * mean
    if config.brightness:
        share = 1 + rng.uniform(-config.brightness, config.brightness)
        matrix, shift = share * matrix, share * shift
    if not shift.any() and np.array_equal(matrix, np.eye(3)):
        return None
    return np.concatenate([matrix, shift[:, None]], axis=1)


def _hue(turn: float) -> NDArray[np.float64]:
    """Return the rotation of RGB about grey by ``turn`` of a full circle, keeping brightness (YIQ)."""
    yiq = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    cos, sin = math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)
    rotated: NDArray[np.float64] = (
        np.linalg.inv(yiq) @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ yiq
    )
    return rotated


def _erase(view: Pixels, rng: np.random.Generator) -> None:
    """Replace a rectangle of 2 to 20% of the area by the mean colour, in place."""
    size = view.shape[0]
    area = size * size * rng.uniform(0.02, 0.2)
    ratio = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    height = min(size, max(1, round(math.sqrt(area / ratio))))
    width = min(size, max(1, round(math.sqrt(area * ratio))))
    top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    view[top : top + height, left : left + width] = view.mean(axis=(0, 1)).astype(np.uint8)
