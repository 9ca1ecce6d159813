"""What things are made of: colours, finishes, and the patterns printed, woven or grown on them.

A pattern is a function of texture coordinates ``u, v`` (in units of the object) to a share in [0, 1] of
the second colour. Colours are linear light: the square of the display value, near enough.

Does not know: shapes, light, or products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from examples.sample_shop.mesh import Array

Color = tuple[float, float, float]
FINISHES = ("matte", "satin", "gloss", "metal", "fabric", "glass")


@dataclass(frozen=True)
class Material:
    """What covers a surface."""

    color: Color
    """Linear red, green, blue in [0, 1]."""
    finish: str = "matte"
    second: Color = (1.0, 1.0, 1.0)
    """The pattern's colour."""
    pattern: str = "plain"
    size: float = 0.1
    """Period of the pattern, in units of the object."""
    glow: float = 0.0
    """Light of its own, as a share of the studio's."""


def linear(code: str) -> Color:
    """Return the linear colour of ``#rrggbb``."""
    r, g, b = (int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r * r, g * g, b * b


def mix(a: Color, b: Color, share: float) -> Color:
    """Return ``a`` with ``share`` of ``b``."""
    r, g, c = (x + (y - x) * share for x, y in zip(a, b, strict=True))
    return r, g, c


def shade(color: Color, factor: float) -> Color:
    """Return the colour darker (below 1) or lighter, kept in range."""
    r, g, b = (min(1.0, x * factor) for x in color)
    return r, g, b


@cache
def _noise() -> Array:
    """Return a seamless smooth noise tile ``[256, 256]`` in [0, 1], the same on every machine."""
    total = np.zeros((256, 256), np.float32)
    raw = np.random.PCG64(20250101)
    for cells, weight in ((8, 0.5), (16, 0.28), (32, 0.15), (64, 0.07)):
        drawn = raw.random_raw(cells * cells) >> np.uint64(40)
        grid = drawn.astype(np.float32).reshape(cells, cells) / np.float32(2**24)
        wide = cv2.resize(np.tile(grid, (3, 3)), (768, 768), interpolation=cv2.INTER_CUBIC)
        total += weight * wide[256:512, 256:512]
    result: Array = np.clip((total - 0.25) * 2, 0, 1)
    return result


def noise(u: Array, v: Array) -> Array:
    """Return smooth noise in [0, 1] with features of about 0.1 to 1 in ``u`` and ``v``."""
    x, y = ((c * np.float32(32)).astype(np.float32) for c in (u, v))
    return np.asarray(cv2.remap(_noise(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def _step(x: Array, width: float) -> Array:
    """Return a soft step: 0 below -width, 1 above +width."""
    result: Array = np.clip(x * np.float32(0.5 / width) + np.float32(0.5), 0, 1)
    return result


def _wave(x: Array) -> Array:
    """Return the triangle wave of period 1, from 0 up to 0.5 and back."""
    result: Array = np.abs(x - np.floor(x) - np.float32(0.5))
    return result


def _cells(u: Array, v: Array) -> tuple[Array, Array]:
    """Return offsets from the middle of each cell of a brick-laid grid, in [-0.5, 0.5]."""
    row = np.floor(v)
    shifted = u + np.float32(0.5) * np.mod(row, 2)
    return shifted - np.floor(shifted) - np.float32(0.5), v - row - np.float32(0.5)


def _stripes(u: Array, v: Array) -> Array:
    return _step(_wave(v) - np.float32(0.25), 0.03)


def _pinstripes(u: Array, v: Array) -> Array:
    return _step(_wave(v) - np.float32(0.41), 0.04)


def _dots(u: Array, v: Array) -> Array:
    x, y = _cells(u, v)
    return _step(np.float32(0.3) - np.sqrt(x * x + y * y), 0.04)


def _checks(u: Array, v: Array) -> Array:
    return np.float32(0.5) * _step(_wave(u) - np.float32(0.25), 0.03) + np.float32(0.5) * _stripes(u, v)


def _zigzag(u: Array, v: Array) -> Array:
    return _step(_wave(v + np.float32(1.2) * _wave(u)) - np.float32(0.25), 0.04)


def _diamonds(u: Array, v: Array) -> Array:
    return _step(np.float32(0.34) - _wave(u) - _wave(v), 0.03)


def _waves(u: Array, v: Array) -> Array:
    return _step(_wave(v + np.float32(0.22) * np.sin(u * np.float32(2 * np.pi))) - np.float32(0.27), 0.04)


def _speckle(u: Array, v: Array) -> Array:
    return _step(noise(u * 3, v * 3) - np.float32(0.66), 0.04)


def _terrazzo(u: Array, v: Array) -> Array:
    return _step(noise(u * 1.1, v * 1.1) - np.float32(0.62), 0.015) * _step(
        noise(v * 0.9 + 3, u * 0.9) - np.float32(0.3), 0.015
    )


def _scales(u: Array, v: Array) -> Array:
    x, y = _cells(u, v * 1.6)
    radius = np.sqrt(x * x + (y - np.float32(0.5)) ** 2 * np.float32(0.45))
    return _step(np.float32(0.07) - np.abs(radius - np.float32(0.42)), 0.03)


def _leaves(u: Array, v: Array) -> Array:
    x, y = _cells(u, v)
    side = np.where(np.mod(np.floor(v), 2) > 0, np.float32(1), np.float32(-1))
    a, b = x + side * y, y - side * x
    blade = np.float32(0.16) * (1 - (b * np.float32(2.0)) ** 2) - np.abs(a)
    return _step(blade, 0.02) * (1 - np.float32(0.7) * _step(np.float32(0.015) - np.abs(a), 0.012))


def _dip(u: Array, v: Array) -> Array:
    return _step(np.float32(4.2) + np.float32(0.12) * np.sin(u * 4) - v, 0.05)


def _band(u: Array, v: Array) -> Array:
    return _step(np.float32(0.8) - np.abs(v - np.float32(6.0)), 0.05) + _step(
        np.float32(0.12) - np.abs(v - np.float32(4.7)), 0.05
    )


def _grain(u: Array, v: Array) -> Array:
    rings = _wave(v * np.float32(1.3) + np.float32(2.6) * noise(u * 0.22, v * 0.9))
    result: Array = np.float32(0.35) + rings * np.float32(0.9) - np.float32(0.35) * noise(u * 0.6, v * 9)
    return np.clip(result, 0, 1)


def _weave(u: Array, v: Array) -> Array:
    threads = _wave(u * 2) * _wave(v * 2 + 0.5) * np.float32(2.4)
    return np.clip(threads + np.float32(0.5) * noise(u * 0.8, v * 0.8) - np.float32(0.1), 0, 1)


def _knit(u: Array, v: Array) -> Array:
    result: Array = np.clip(_wave(v + np.float32(0.7) * _wave(u * 2)) * np.float32(2.0), 0, 1)
    return result


PATTERNS: dict[str, Callable[[Array, Array], Array]] = {
    "stripes": _stripes,
    "pinstripes": _pinstripes,
    "dots": _dots,
    "checks": _checks,
    "zigzag": _zigzag,
    "diamonds": _diamonds,
    "waves": _waves,
    "speckle": _speckle,
    "terrazzo": _terrazzo,
    "scales": _scales,
    "leaves": _leaves,
    "dip": _dip,
    "band": _band,
    "grain": _grain,
    "weave": _weave,
    "knit": _knit,
    "upright": lambda u, v: _stripes(v, u),
}
"""Name → share of the second colour at (u, v), one period per unit."""
