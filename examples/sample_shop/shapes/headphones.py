"""Headphones.

Does not know: colours or words.
"""

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Array,
    Shape,
    Surface,
    curve,
    ellipse,
    move,
    pillow,
    ring,
    slab,
    tube,
    turn,
)

_CUPS = {"round": (2.0, 1.0), "oval": (2.0, 1.28), "square": (4.0, 1.15)}


def headphones(dice: Dice, kind: str, size: float) -> Shape:
    """Round, oval and squarish cups, on or over the ear; three bands; some with a microphone."""
    cup, gap = dice.uniform(0.22, 0.33) * size, dice.uniform(0.42, 0.5)
    square, tall = _CUPS[kind]
    center = cup * tall + 0.02
    shape = Shape(yaw=(-65, 65), pitch=(4, 24))
    shape.add(*_band(dice, gap, center))
    thick = dice.uniform(0.08, 0.13)
    parts = _cup(dice, ellipse(2 * cup, 2 * cup * tall, 48, square=square), thick)
    for s in (-1, 1):
        shape.add(*[move(turn(turn(p, "x", 4), "y", 90 * s), s * (gap - 0.01), center) for p in parts])
    if dice.chance(0.2):
        knots = [(-gap - thick, center, 0.05), (-gap - 0.1, center - 0.1, 0.3), (-0.25, center - 0.12, 0.5)]
        tip = pillow((0.07, 0.07, 0.1), "dark", square=2, steps=8)
        shape.add(tube(curve(knots, 20), 0.014, "dark"), move(tip, -0.22, center - 0.12, 0.52))
    return shape


def _band(dice: Dice, gap: float, center: float) -> list[Surface]:
    """Return the band over the head, from cup to cup."""
    rise = dice.uniform(0.47, 0.67)
    turns = np.linspace(np.pi, 0, 40)
    hoop = np.stack([np.cos(turns) * gap, center + 0.25 + np.sin(turns) * rise, 0 * turns], 1)
    arch = np.concatenate([[(-gap, center, 0)], hoop, [(gap, center, 0)]])
    kind = dice.weighted((("flat", 3), ("padded", 3), ("double", 1.5)))
    if kind == "double":
        wires = [tube(np.add(arch, (0, 0, z)), 0.018, "steel") for z in (-0.05, 0.05)]
        return [*wires, tube(hoop[6:-6] * (1, 0.97, 1), 0.03, "accent", flat=3.5)]
    core = tube(curve(arch, 60), 0.022, dice.choice(("dark", "steel", "main")), flat=2.4)
    if kind == "padded":
        return [core, tube(hoop[7:-7], dice.uniform(0.05, 0.07), "accent", flat=1.7)]
    return [core, tube(hoop[5:-5], 0.03, flat=2.8)]


def _cup(dice: Dice, outline: Array, thick: float) -> list[Surface]:
    """Return one cup that faces the viewer with its outside."""
    wide, tall = outline.max(0)
    parts = [
        move(slab(outline * 0.96, thick, bevel=0.05), z=thick * 0.5),
        ring(_at(outline * 0.8, -0.05), float(wide) * 0.24, "accent", sides=14, up=(0, 0, 1)),
        move(slab(outline * 0.72, 0.02, "dark"), z=-0.01),
        move(pillow((0.09, 0.26, 0.07), "steel", square=6, steps=10), y=float(tall) * 0.92, z=thick * 0.35),
    ]
    design = dice.choice(("plain", "ring", "disc"))
    if design == "disc":
        parts.append(move(slab(outline * 0.62, 0.03, "accent"), z=thick * 1.02))
    elif design == "ring":
        parts.append(ring(_at(outline * 0.62, thick), 0.02, "steel", sides=8, up=(0, 0, 1)))
    return parts


def _at(outline: Array, z: float) -> Array:
    return np.concatenate([outline, np.full((len(outline), 1), z)], 1)
