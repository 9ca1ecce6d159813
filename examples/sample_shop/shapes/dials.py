"""Clocks and watches: things with a dial.

Does not know: colours or words.
"""

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Array,
    Shape,
    Surface,
    dense,
    ellipse,
    lathe,
    move,
    pillow,
    ring,
    rod,
    rounded,
    slab,
    tube,
    turn,
)

_TIMES = ((10, 9), (1, 50), (4, 40), (7, 8))


def dial(dice: Dice, radius: float, z: float, hands: str = "ink") -> list[Surface]:
    """Return marks and hands of a clock face of this radius at height ``z`` above x-y."""
    parts: list[Surface] = []
    marks = dice.weighted((("bars", 3), ("dots", 2), ("quarters", 2), ("none", 1)))
    for i in range(0, 0 if marks == "none" else 12, 3 if marks == "quarters" else 1):
        wide, tall = (0.09, 0.09) if marks == "dots" else (0.09 if i % 3 == 0 else 0.05, 0.18)
        outline = ellipse(radius * wide, radius * tall, 8, square=2 if marks == "dots" else 8)
        mark = slab(outline, 0.01, hands, bevel=0.004, rings=2)
        parts.append(move(turn(move(mark, y=radius * 0.82), "z", -30 * i), z=z))
    hour, minute = dice.choice(_TIMES)
    style = dice.choice((1.0, 0.6, 1.5))
    for length, wide, degrees in ((0.52, 0.085, 30 * hour + minute / 2), (0.78, 0.06, 6 * minute)):
        w = wide * style
        outline = (
            np.asarray([(-w, -0.1), (w, -0.1), (w * 0.4, length), (-w * 0.4, length), (-w, -0.1)]) * radius
        )
        parts.append(
            move(turn(slab(outline, 0.012, hands, bevel=0.004, rings=2), "z", -degrees), z=z + 0.015)
        )
    parts.append(move(slab(ellipse(radius * 0.13, radius * 0.13, 16), 0.03, "accent", rings=2), z=z + 0.02))
    return parts


def clock(dice: Dice, kind: str, size: float) -> Shape:
    """Round, deep, square, six-sided and sunburst wall clocks; twin-bell alarm clocks."""
    radius = 0.5 * size
    alarm = kind == "alarm"
    shape = Shape(stage="floor" if alarm else "wall", yaw=(-28, 28), pitch=(-4, 14))
    turns = np.linspace(0, 2 * np.pi, 65)
    rim: Array = ellipse(2 * radius, 2 * radius, 64)
    if kind == "square":
        rim = ellipse(1.9 * radius, 1.9 * radius, 64, square=9)
    elif kind == "six":
        rim = dense(
            np.stack([np.cos(turns), np.sin(turns)], 1)[np.linspace(0, 64, 7).astype(int)] * radius, 0.08
        )
    face = radius * dice.uniform(0.8, 0.9)
    parts = [move(slab(rim, 0.14, bevel=0.05), z=0.07)]
    if kind == "deep":
        circle = np.stack([np.cos(turns) * radius, np.sin(turns) * radius, np.full(65, 0.1)], 1)
        parts.append(ring(circle, 0.06, sides=16, up=(0, 0, 1)))
    flat = rim * 0.86 if kind == "square" else ellipse(2 * face, 2 * face, 64)
    parts.append(move(slab(flat, 0.02, "face", bevel=0.005), z=0.14))
    parts += dial(dice, face * 0.95, 0.155)
    if kind == "sun":
        count, metal = dice.choice((12, 16, 24)), dice.choice(("brass", "wood", "dark"))
        for i in range(count):
            ray = rod(
                (0, radius * 0.9, 0.05),
                (0, radius * (1.75 - 0.3 * (i % 2)), 0.05),
                (0.022, 0.012),
                metal,
                sides=8,
            )
            parts.append(turn(ray, "z", 360 * i / count))
    if alarm:
        parts = [turn(move(p, y=radius * 1.1), "x", -4) for p in [*parts, *_bells(radius)]]
    shape.add(*parts)
    return shape


def _bells(radius: float) -> list[Surface]:
    arc = np.linspace(0, np.pi, 16)
    arch = np.stack([np.cos(arc) * 0.2, radius * 1.22 + np.sin(arc) * 0.17, np.full(16, 0.06)], 1)
    parts = [tube(arch, 0.018, "steel")]
    for s in (-1, 1):
        bell = move(pillow((0.34, 0.26, 0.34), "steel", square=2, steps=14), y=radius * 1.12)
        foot = rod((0, -radius * 0.9, 0.06), (0, -radius * 1.25, 0.06), (0.04, 0.02), "dark")
        parts += [move(turn(bell, "z", s * 30), z=0.06), turn(foot, "z", s * 34)]
    return parts


def watch(dice: Dice, kind: str, size: float) -> Shape:
    """Round, square, chronograph and smart watches on a strap, links or a band, standing as a loop."""
    r = dice.uniform(0.27, 0.36) * size
    shape = Shape(yaw=(-40, 40), pitch=(4, 22))
    shape.add(_strap(dice, r * dice.uniform(0.5, 0.66)))
    parts: list[Surface] = []
    if kind in ("round", "chrono"):
        case = [(0.001, -0.07), (r * 0.9, -0.07), (r, -0.03), (r, 0.05), (r * 0.88, 0.1), (r * 0.84, 0.085)]
        parts.append(turn(lathe(rounded(case, 0.02), "case"), "x", 90))
        face = ellipse(1.72 * r, 1.72 * r, 56)
    else:
        outline = ellipse(2 * r * 0.92, 2.1 * r, 56, square=5 if kind == "square" else 4)
        parts.append(slab(outline, 0.17, "case", bevel=0.06))
        face = outline * 0.84
    parts.append(move(slab(face, 0.02, "dark" if kind == "smart" else "main", bevel=0.004), z=0.085))
    if kind == "smart":
        for i, color in enumerate(dice.sample(("accent", "red", "green", "brass"), 3)):
            turns, wide = np.linspace(0.5, 0.5 + dice.uniform(3.2, 5.6), 30), r * (0.6 - 0.15 * i)
            arc = np.stack([np.cos(turns) * wide, np.sin(turns) * wide, np.full(30, 0.1)], 1)
            parts.append(tube(arc, 0.02, color, sides=8))
    else:
        parts += dial(dice, r * 0.78, 0.1, dice.choice(("ink", "white", "steel")))
    if kind == "chrono":
        for x, y in ((0.4, 0), (-0.4, 0), (0, -0.4)):
            parts.append(
                move(slab(ellipse(r * 0.36, r * 0.36, 24), 0.012, "case", rings=2), x * r, y * r, 0.096)
            )
    for y in (0.0, 0.55, -0.55) if kind == "chrono" else (0.0,):
        crown = lathe(rounded([(0.001, 0), (0.035, 0), (0.035, 0.06), (0.001, 0.06)], 0.01), "case", sides=16)
        parts.append(move(turn(crown, "z", -90), r * 0.95, y * r, 0.0))
    shape.add(*[move(turn(p, "x", -6), y=0.62, z=0.02) for p in parts])
    return shape


def _strap(dice: Dice, half_width: float) -> Surface:
    """Return a loop behind the watch, narrower at the back."""
    kind = dice.choice(("leather", "links", "band"))
    angles = np.linspace(0, 2 * np.pi, 72)
    path = np.stack([np.zeros_like(angles), 0.62 + 0.62 * np.sin(angles), -0.46 + 0.46 * np.cos(angles)], 1)
    loop = tube(path, 1.0, "metal" if kind == "links" else "accent", sides=20, up=(1, 0, 0))
    section = loop.points[1:-1] - path[:, None]
    section = np.sign(section) * np.abs(section) ** 0.55  # from an ellipse to a flat band with round edges
    thick = 0.034 + 0.009 * (np.arange(72) % 2) if kind == "links" else np.full(72, 0.03)
    stretch = np.stack([half_width * (0.82 + 0.18 * np.cos(angles)), thick, thick], 1)[:, None]
    return Surface(path[:, None] + section * stretch, loop.slot)
