"""Totes, handbags, backpacks, duffels and cross-body bags.

Does not know: colours or words.
"""

from dataclasses import replace

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Shape,
    Surface,
    curve,
    dense,
    ellipse,
    lathe,
    loft,
    move,
    pillow,
    ring,
    rounded,
    slab,
    tube,
    turn,
)


def bag(dice: Dice, kind: str, size: float) -> Shape:
    """Draw one of the five kinds: tote, hand, back, duffel, cross."""
    shape = Shape(yaw=(-42, 42), pitch=(6, 24))
    build = {"tote": _tote, "hand": _handbag, "back": _backpack, "duffel": _duffel, "cross": _crossbody}[kind]
    build(shape, dice, size)
    return shape


def _arch(width: float, base: float, rise: float, z: float, slot: str, radius: float) -> Surface:
    """Return a handle from left to right over the bag."""
    knots = [(-0.5, 0), (-0.46, 0.6), (0, 1), (0.46, 0.6), (0.5, 0)]
    path = curve([(x * width, base + y * rise, z) for x, y in knots], 32)
    return tube(path, radius, slot, flat=1.7, sides=10)


def _tote(shape: Shape, dice: Dice, size: float) -> None:
    wide, tall, deep = 0.7 * size, dice.uniform(0.66, 0.9), 0.26
    flare = dice.uniform(1.0, 1.25)
    rows = []
    for w, d, y in (
        (0.01, 0.01, 0),
        (0.94, 0.92, 0),
        (1, 1, 0.05),
        ((1 + flare) / 2, 0.9, tall * 0.6),
        (flare, 0.6, tall),
    ):
        outline = ellipse(wide * w, deep * d, 48, square=6)
        rows.append(np.stack([outline[:, 0], np.full(len(outline), y), -outline[:, 1]], 1))
    fine = curve(np.asarray(rows).reshape(len(rows), -1), 30).reshape(30, -1, 3)
    shape.add(loft(fine), Surface(fine[::-1][:12] * (0.97, 1, 0.9), "lining", occlusion=0.5, solid=False))
    rise = dice.uniform(0.36, 0.5)
    shape.add(*[_arch(wide * 0.5, tall - 0.1, rise, z, "accent", 0.02) for z in (-0.07, 0.08)])
    if dice.chance(0.5):
        shape.add(
            move(
                slab(ellipse(wide * 0.5, tall * 0.36, 40, square=8), 0.03, "accent"),
                y=tall * 0.42,
                z=deep * 0.47,
            )
        )


def _handbag(shape: Shape, dice: Dice, size: float) -> None:
    wide, tall = dice.uniform(0.8, 1.0) * size, dice.uniform(0.5, 0.66)
    body = pillow((wide, tall, 0.34), square=dice.choice((3.0, 4.0, 8.0)), bulge=5)
    points = body.points.copy()
    points[..., 0] *= 1 + dice.uniform(-0.25, 0.25) * points[..., 1] / tall
    shape.add(move(replace(body, points=points), y=tall / 2))
    shape.add(
        _arch(wide * 0.46, tall * 0.92, dice.uniform(0.26, 0.46), 0, "accent", dice.uniform(0.022, 0.036))
    )
    if dice.chance(0.6):
        outline = ellipse(wide * 0.94, tall * 0.62, 48, square=dice.choice((2.5, 5.0)))
        shape.add(move(slab(outline, 0.04, dice.choice(("main", "accent"))), y=tall * 0.68, z=0.16))
    clasp = slab(ellipse(0.12, 0.09, 24, square=4), 0.04, dice.choice(("brass", "steel")))
    shape.add(move(clasp, y=tall * 0.42, z=0.2))


def _backpack(shape: Shape, dice: Dice, size: float) -> None:
    wide, tall, deep = dice.uniform(0.58, 0.7) * size, dice.uniform(0.85, 1.0), 0.36
    shape.add(move(pillow((wide, tall, deep), square=dice.choice((3.5, 5.0)), bulge=4), y=tall / 2))
    pocket = pillow(
        (wide * 0.78, tall * dice.uniform(0.34, 0.46), 0.2),
        dice.choice(("main", "accent")),
        square=5,
        bulge=4,
    )
    shape.add(move(pocket, y=tall * 0.27, z=deep * 0.42))
    if dice.chance(0.5):
        shape.add(
            move(
                slab(ellipse(wide * 0.98, tall * 0.42, 48, square=4), 0.06, "accent"),
                y=tall * 0.8,
                z=deep * 0.43,
            )
        )
        for s in (-0.36, 0.36):
            belt = slab(ellipse(0.045, tall * 0.4, 20, square=8), 0.03, "strap")
            shape.add(move(belt, s * wide, tall * 0.6, deep * 0.6))
    else:
        knots = [(-0.4, 0.55, 0.4), (-0.36, 0.85, 0.34), (0, 0.93, 0.3), (0.36, 0.85, 0.34), (0.4, 0.55, 0.4)]
        shape.add(
            tube(curve([(x * wide, y * tall, z * deep) for x, y, z in knots], 30), 0.014, "dark", sides=8)
        )
    shape.add(_arch(0.2, tall * 0.96, 0.13, -deep * 0.2, "strap", 0.022))
    for s in (-wide, wide):
        knots = [
            (s * 0.3, tall * 0.95, -deep * 0.4),
            (s * 0.58, tall * 0.6, -deep * 0.62),
            (s * 0.52, tall * 0.12, -deep * 0.36),
        ]
        shape.add(tube(curve(knots, 24), 0.026, "strap", flat=2.0, up=(1, 0, 0)))


def _duffel(shape: Shape, dice: Dice, size: float) -> None:
    r, half = dice.uniform(0.26, 0.32), 0.6 * size
    body = rounded([(0.001, -half), (r, -half), (r, half), (0.001, half)], 0.1)
    shape.add(move(turn(lathe(dense(body), sides=48), "z", 90), y=r))
    turns = np.linspace(0, 2 * np.pi, 48)
    for x in (-half * 0.42, half * 0.42):
        girth = np.stack([np.full(48, x), r + np.cos(turns) * r * 1.02, np.sin(turns) * r * 1.02], 1)
        shape.add(ring(girth, 0.018, "strap", flat=2.4, up=(1, 0, 0)))
    shape.add(*[_arch(half * 0.84, r * 1.9, 0.26, z, "strap", 0.02) for z in (-0.1, 0.1)])
    zip_ = np.linspace((-half * 0.85, 2 * r + 0.004, 0), (half * 0.85, 2 * r + 0.004, 0), 12)
    shape.add(tube(zip_, 0.014, "dark", sides=8))
    end = turn(slab(ellipse(r * 1.9, r * 1.9, 40), 0.03, "accent"), "y", 90)
    shape.add(move(end, half + 0.002, r), move(end, -half - 0.002, r))


def _crossbody(shape: Shape, dice: Dice, size: float) -> None:
    wide, tall = dice.uniform(0.7, 0.86) * size, dice.uniform(0.46, 0.6)
    square = dice.choice((2.6, 5.0, 9.0))
    shape.add(move(pillow((wide, tall, 0.24), square=square, bulge=5), y=tall / 2))
    outline = ellipse(wide * 0.97, tall * dice.uniform(0.6, 0.85), 48, square=square)
    shape.add(move(slab(outline, 0.05, dice.choice(("main", "accent"))), y=tall * 0.64, z=0.11))
    shape.add(_arch(wide * 0.9, tall * 0.8, dice.uniform(0.55, 0.8), -0.02, "strap", 0.016))
    shape.add(
        move(
            pillow((0.1, 0.1, 0.05), dice.choice(("brass", "steel")), square=3, steps=10),
            y=tall * 0.34,
            z=0.15,
        )
    )
