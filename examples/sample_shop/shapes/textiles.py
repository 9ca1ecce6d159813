"""Cushions, bolsters and poufs.

Does not know: colours or words.
"""

from dataclasses import replace

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Array,
    Shape,
    Surface,
    curve,
    dense,
    lathe,
    move,
    pillow,
    ring,
    rounded,
    tube,
    turn,
)

_SIDES = {"square": (0.98, 0.98), "long": (1.3, 0.72), "round": (1.0, 1.0)}


def cushion(dice: Dice, kind: str, size: float) -> Shape:
    """Square, long and round cushions, bolsters and floor cushions; piping, buttons, tassels, fringe."""
    shape = Shape(yaw=(-40, 40), pitch=(6, 24))
    if kind == "bolster":
        radius = dice.uniform(0.16, 0.24)
        roll = dense(rounded([(0.001, -0.55), (radius, -0.55), (radius, 0.55), (0.001, 0.55)], 0.08))
        shape.add(move(turn(lathe(roll, sides=48), "z", 90), y=radius))
        for s in (-0.56, 0.56):
            shape.add(move(pillow((0.04, 0.08, 0.08), "accent", square=2, steps=8), s, radius))
        return shape
    if kind == "floor":
        radius, tall = dice.uniform(0.5, 0.62), dice.uniform(0.3, 0.46)
        knots = [
            (0.001, 0),
            (radius * 0.8, 0.01),
            (radius, tall * 0.5),
            (radius * 0.75, tall),
            (0.001, tall * 0.94),
        ]
        shape.add(lathe(curve(knots, 30), ribs=dice.choice(((8, 0.03), (12, 0.025), (0, 0.0))), sides=96))
        shape.add(move(turn(_button(0.1), "x", 90), y=tall * 0.95))
        return shape
    wide, tall = _SIDES[kind]
    square = 2.0 if kind == "round" else dice.choice((5.0, 7.0, 9.0))
    body = pillow((wide * size, tall * size, dice.uniform(0.32, 0.46)), square=square, bulge=2.0, steps=30)
    points = body.points.copy()
    x, y = points[..., 0], points[..., 1]
    reach = (x**2 + y**2) / 0.25
    if kind != "round":  # corners stand out, sides draw in
        pull = 0.07 * np.cos(2 * np.arctan2(y / tall, x / wide)) ** 2 * np.minimum(reach, 1)
        points[..., :2] *= (1 - pull)[..., None]
    if dice.chance(0.3):
        points[..., 2] *= 1 - 0.45 * np.exp(-reach * 14)
        shape.add(_stood(move(_button(0.08), z=0.12), tall * size))
    shape.add(_stood(replace(body, points=points), tall * size))
    trim = dice.weighted((("none", 2), ("piping", 2), ("tassels", 1), ("fringe", 0.8)))
    shape.add(*[_stood(part, tall * size) for part in _trim(trim, points[len(points) // 2], kind == "round")])
    return shape


def _trim(kind: str, edge: Array, is_round: bool) -> list[Surface]:
    """Return what runs along the seam ``edge`` ``[N, 3]``."""
    if kind == "piping":
        return [ring(edge, 0.016, "accent", sides=8, up=(0, 0, 1))]
    if kind == "tassels" and not is_round:
        corners = np.argsort(-(edge[:-1, 0] ** 2 + edge[:-1, 1] ** 2))[:8]
        knot = pillow((0.07, 0.07, 0.07), "accent", square=2, steps=8)
        return [move(knot, *(float(c) * 1.02 for c in edge[i])) for i in corners]
    if kind == "fringe":
        return [
            tube(np.linspace(start, start * 1.08, 3), 0.012, "accent", sides=6)
            for start in dense(edge, 0.05)[:-1]
        ]
    return []


def _button(size: float) -> Surface:
    return pillow((size, size, size / 2), "accent", square=2, steps=8)


def _stood(surface: Surface, tall: float) -> Surface:
    """Stand a cushion, made around the origin, on the floor and lean it back a little."""
    return move(turn(surface, "x", -12), y=tall * 0.47)
