"""Shoes: an upper that rises from the footprint to the collar, a sole, and what is sewn on.

    the footprint and every row of the upper run from the heel along +z to the toe and back along -z

Does not know: colours or words.
"""

from dataclasses import dataclass

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import Array, Shape, Surface, curve, loft, move, ring, slab, tube, turn


@dataclass(frozen=True)
class _Last:
    """Measures of one kind of shoe, in lengths of the foot."""

    sole: tuple[float, float]
    collar: tuple[float, float]
    opening: tuple[float, float]  # length and width of the collar


_LASTS = {
    "trainer": _Last((0.07, 0.12), (0.28, 0.32), (0.34, 0.17)),
    "high": _Last((0.07, 0.08), (0.44, 0.5), (0.3, 0.17)),
    "boot": _Last((0.07, 0.1), (0.55, 0.8), (0.32, 0.2)),
    "loafer": _Last((0.05, 0.06), (0.22, 0.25), (0.5, 0.17)),
    "slip": _Last((0.05, 0.07), (0.23, 0.27), (0.44, 0.17)),
}
_TAILORED = ("boot", "loafer")  # with a heel


def shoe(dice: Dice, kind: str, size: float) -> Shape:
    """Trainers, high-tops, boots, loafers and slip-ons."""
    last = _LASTS[kind]
    under = dice.uniform(*last.sole)
    foot = _footprint(dice.uniform(0.95, 1.12), 1.0 if kind == "loafer" else 0.0)
    body = _upper(
        foot, under, dice.uniform(*last.collar) * size, last.opening, dice.uniform(0.13, 0.18), kind == "boot"
    )
    shape = Shape(yaw=(-55, 20), pitch=(8, 32))
    middle = body[-1].mean(0)
    well = [
        body[-1],
        (body[-1] - middle) * (0.8, 1, 0.75) + middle - (0, 0.07, 0),
        body[-1] * 0 + middle - (0, 0.08, 0),
    ]
    shape.add(loft(body), Surface(np.asarray(well), "lining", occlusion=0.5, solid=False))
    shape.add(ring(body[-1], 0.012 if kind == "loafer" else 0.02, dice.choice(("accent", "main"))))
    _sole(shape, dice, kind, foot, under)
    if kind in ("trainer", "high", "boot"):
        _laces(
            shape, body, dice.choice(("white", "accent", "dark")), 7 if kind == "high" else dice.integer(4, 6)
        )
    toe, count = body.shape[1] // 2, body.shape[1]
    if kind in ("trainer", "high"):
        if dice.chance(0.5):
            shape.add(
                loft(body[1:7, toe - 12 : toe + 13] * (1.012, 1.012, 1.03), dice.choice(("accent", "white")))
            )
        _stripes(shape, body, dice.choice((0, 0, 1, 2, 3)))
    elif kind == "loafer":
        shape.add(
            tube(body[9, toe - 16 : toe + 17] * (1, 1.03, 1.04), 0.02, "accent", flat=2.2, up=(1, 0, 0.01))
        )
    elif kind == "boot" and dice.chance(0.5):
        for side in (slice(6, 12), slice(count - 12, count - 6)):
            shape.add(loft(body[12:, side] * (1, 1, 1.03), "dark"))
    return shape


def _footprint(width: float, pointed: float) -> Array:
    """Return the outline ``[57, 2]`` of (x, z): heel at x = -0.5, toe at 0.5."""
    knots = [(-0.5, 0), (-0.46, 0.1), (-0.3, 0.125), (-0.05, 0.115), (0.2, 0.165)]
    half = curve([*knots, (0.38, 0.135 - 0.03 * pointed), (0.48, 0.06 - 0.02 * pointed), (0.5, 0.0)], 29)
    return np.concatenate([half, half[-2::-1] * (1, -1)]) * (1, width)


def _upper(
    foot: Array, under: float, collar: float, opening: tuple[float, float], toe: float, boot: bool
) -> Array:
    """Return rows ``[24, 57, 3]`` from footprint to collar; the toe stays low, the heel rises straight."""
    angle = np.linspace(np.pi, -np.pi, len(foot))
    center = -0.47 + opening[0] / 2
    rim = np.stack([center + np.cos(angle) * opening[0] / 2, np.sin(angle) * opening[1] / 2], 1)
    t = np.linspace(0, 1, 24)[:, None]
    pace = np.minimum(1, t * 1.5) ** 2.0 if boot else t**1.7
    drawn_in = pace * (3 - 2 * pace)
    flat = foot + drawn_in[..., None] * (rim - foot)
    ahead = np.clip((foot[:, 0] + 0.35) / 0.5, 0, 1)
    rise = np.maximum(drawn_in * 0.55, t) * drawn_in if boot else drawn_in
    front = toe * np.minimum(1, t / 0.3) ** 0.6 + (collar - toe) * rise
    height = under + collar * t * (1 - ahead) + front * ahead
    bulge = 1 + 0.06 * np.sin(np.pi * np.minimum(1, t * 2.5))
    return np.stack([flat[..., 0], height, flat[..., 1] * bulge], -1)


def _sole(shape: Shape, dice: Dice, kind: str, foot: Array, under: float) -> None:
    lift = 0.05 if kind in _TAILORED else 0.0
    slot = dice.choice(("rubber", "rubber", "cork" if lift else "white", "dark" if lift else "accent"))
    shape.add(
        move(turn(slab(foot * 1.04, under, slot, bevel=min(0.03, under * 0.45)), "x", 90), y=under / 2 + lift)
    )
    if lift:
        heel = foot[foot[:, 0] < -0.2]
        heel = np.concatenate([heel, heel[:1]])
        shape.add(move(turn(slab(heel * 1.03, 0.07, slot, bevel=0.015), "x", 90), y=0.035))
    elif kind == "trainer" and dice.chance(0.4):
        shape.add(move(turn(slab(foot * 1.05, under * 0.3, "accent", bevel=0.01), "x", 90), y=under * 0.45))


def _laces(shape: Shape, body: Array, slot: str, count: int) -> None:
    toe = body.shape[1] // 2
    for row in np.linspace(9, 21, count).astype(int):
        knots = [
            body[row, toe - 5] * (1, 1, 1.05),
            body[row, toe] + (0.01, 0.02, 0),
            body[row, toe + 5] * (1, 1, 1.05),
        ]
        shape.add(tube(curve(knots, 12), 0.013, slot, sides=8, up=(1, 0, 0)))


def _stripes(shape: Shape, body: Array, number: int) -> None:
    count = body.shape[1]
    slant = np.linspace(0, -0.12, 13)[:, None] * (1, 0, 0)
    for k in range(number):
        for columns in (slice(10 + 2 * k, 13 + 2 * k), slice(count - 13 - 2 * k, count - 10 - 2 * k)):
            path = (body[3:16, columns].mean(1) + slant) * (1, 1, 1.06)
            shape.add(tube(path, 0.013, "accent", flat=1.5, up=(1, 0, 0), sides=8))
