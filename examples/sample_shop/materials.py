"""What things are made of: colours, finishes, and the patterns printed, woven or grown on them.

Colours are linear light: the square of the display value, near enough.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from examples.sample_shop.mesh import Array
from examples.sample_shop.products import BRANDS, HUES, Product

Color = tuple[float, ...]
FINISHES = ("matte", "satin", "gloss", "metal", "fabric", "glass")


@dataclass(frozen=True)
class Material:
    """What covers a surface."""

    color: Color  # linear red, green, blue in [0, 1]
    finish: str = "matte"
    second: Color = (1.0, 1.0, 1.0)  # the pattern's colour
    pattern: str = "plain"
    period: float = 0.1  # of the pattern, in units of the object
    glow: float = 0.0  # light of its own, as a share of the studio's


def linear(code: str) -> Color:
    """Return the linear colour of ``#rrggbb``."""
    return tuple((channel / 255) ** 2 for channel in bytes.fromhex(code[1:]))


# Materials that do not depend on the variant.
_FIXED = {
    "wood": Material(linear("#c8966a"), "satin", linear("#9c673f"), "grain", 0.12),
    "cork": Material(linear("#c9a06c"), "matte", linear("#9a7044"), "speckle", 0.05),
    "steel": Material(linear("#c6c9ce"), "metal"),
    "brass": Material(linear("#d8b15a"), "metal"),
    "dark": Material(linear("#2b2c30"), "satin"),
    "ink": Material(linear("#1d1d20")),
    "white": Material(linear("#f0efec"), "satin"),
    "face": Material(linear("#f3f0e8"), "satin"),
    "rubber": Material(linear("#e6e2d9")),
    "lining": Material(linear("#4a443e"), "fabric"),
    "strap": Material(linear("#4a372a"), "fabric"),
    "shade": Material(linear("#eadcc2"), "fabric", glow=0.22),
    "glow": Material(linear("#fff1d0"), glow=0.8),
    "red": Material(linear("#d64541"), "satin", glow=0.4),
    "green": Material(linear("#4fae6b"), "satin", glow=0.4),
}


def materials(product: Product) -> dict[str, Material]:
    """Return the material of every slot of the product."""
    design = product.design
    main = linear(HUES[product.hue]["code"])
    accent = linear(HUES[design.accents[product.variant]]["code"])
    if design.pattern != "plain":
        cover = Material(main, design.finish, accent, design.pattern, design.period)
    elif design.finish == "fabric":
        threads = "knit" if design.category == "shirt" else "weave"
        cover = Material(main, "fabric", tuple(0.82 * c for c in main), threads, 0.045)
    elif (
        design.category == "chair"
        and design.finish == "satin"
        and product.hue in ("brown", "sand", "rust", "cream")
    ):
        cover = Material(main, "satin", tuple(0.62 * c for c in main), "grain", 0.14)
    elif design.finish == "metal":
        cover = Material(tuple(0.75 * c + 0.175 for c in main), "metal")
    else:
        cover = Material(main, design.finish)
    case = _FIXED["brass" if BRANDS[design.brand] in ("retro", "soft", "rustic") else "steel"]
    return {**_FIXED, "case": case, "main": cover, "accent": Material(accent, design.accent_finish)}


@cache
def _noise_tile() -> Array:
    """Return a seamless smooth noise tile ``[256, 256]`` in [0, 1], the same on every machine."""
    total = np.zeros((256, 256), np.float32)
    bits = np.random.PCG64(20250101)
    for cells, weight in ((8, 0.5), (16, 0.28), (32, 0.15), (64, 0.07)):
        grid = (bits.random_raw(cells * cells) / 2.0**64).astype(np.float32).reshape(cells, cells)
        wide = cv2.resize(np.tile(grid, (3, 3)), (768, 768), interpolation=cv2.INTER_CUBIC)
        total += weight * wide[256:512, 256:512]
    return np.clip((total - 0.25) * 2, 0, 1)


def noise(u: Array, v: Array) -> Array:
    """Return smooth noise in [0, 1] with features of about 0.1 to 1 in ``u`` and ``v``."""
    x, y = ((c * 32).astype(np.float32) for c in (u, v))
    return np.asarray(cv2.remap(_noise_tile(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def _step(x: Array, width: float) -> Array:
    """Return a soft step: 0 below -width, 1 above +width."""
    return np.clip(x * (0.5 / width) + 0.5, 0, 1)


def _wave(x: Array) -> Array:
    """Return the triangle wave of period 1, from 0 up to 0.5 and back."""
    return np.abs(x - np.floor(x) - 0.5)


def _bricks(u: Array, v: Array) -> tuple[Array, Array]:
    """Return offsets from the middle of each cell of a brick-laid grid, in [-0.5, 0.5]."""
    row = np.floor(v)
    shifted = u + 0.5 * np.mod(row, 2)
    return shifted - np.floor(shifted) - 0.5, v - row - 0.5


def _stripes(u: Array, v: Array) -> Array:
    return _step(_wave(v) - 0.25, 0.03)


def _terrazzo(u: Array, v: Array) -> Array:
    chips = _step(noise(u * 1.1, v * 1.1) - 0.62, 0.015)
    return chips * _step(noise(v * 0.9 + 3, u * 0.9) - 0.3, 0.015)


def _scales(u: Array, v: Array) -> Array:
    x, y = _bricks(u, v * 1.6)
    return _step(0.07 - np.abs(np.sqrt(x * x + (y - 0.5) ** 2 * 0.45) - 0.42), 0.03)


def _leaves(u: Array, v: Array) -> Array:
    x, y = _bricks(u, v)
    side = np.where(np.mod(np.floor(v), 2) > 0, np.float32(1), np.float32(-1))
    across, along = x + side * y, y - side * x
    blade = _step(0.16 * (1 - (along * 2) ** 2) - np.abs(across), 0.02)
    return blade * (1 - 0.7 * _step(0.015 - np.abs(across), 0.012))


def _grain(u: Array, v: Array) -> Array:
    rings = _wave(v * 1.3 + 2.6 * noise(u * 0.22, v * 0.9))
    return np.clip(0.35 + 0.9 * rings - 0.35 * noise(u * 0.6, v * 9), 0, 1)


def _weave(u: Array, v: Array) -> Array:
    threads = _wave(u * 2) * _wave(v * 2 + 0.5)
    return np.clip(2.4 * threads + 0.5 * noise(u * 0.8, v * 0.8) - 0.1, 0, 1)


# Name → share in [0, 1] of the second colour at texture coordinates (u, v), one period per unit.
PATTERNS: dict[str, Callable[[Array, Array], Array]] = {
    "stripes": _stripes,
    "upright": lambda u, v: _stripes(v, u),
    "pinstripes": lambda u, v: _step(_wave(v) - 0.41, 0.04),
    "band": lambda u, v: _step(0.8 - np.abs(v - 6), 0.05) + _step(0.12 - np.abs(v - 4.7), 0.05),
    "dip": lambda u, v: _step(4.2 + 0.12 * np.sin(u * 4) - v, 0.05),
    "checks": lambda u, v: 0.5 * _stripes(v, u) + 0.5 * _stripes(u, v),
    "zigzag": lambda u, v: _step(_wave(v + 1.2 * _wave(u)) - 0.25, 0.04),
    "waves": lambda u, v: _step(_wave(v + 0.22 * np.sin(2 * np.pi * u)) - 0.27, 0.04),
    "diamonds": lambda u, v: _step(0.34 - _wave(u) - _wave(v), 0.03),
    "dots": lambda u, v: _step(0.3 - np.hypot(*_bricks(u, v)), 0.04),
    "scales": _scales,
    "leaves": _leaves,
    "speckle": lambda u, v: _step(noise(u * 3, v * 3) - 0.66, 0.04),
    "terrazzo": _terrazzo,
    "grain": _grain,
    "weave": _weave,
    "knit": lambda u, v: np.clip(2 * _wave(v + 0.7 * _wave(u * 2)), 0, 1),
}
