"""Chairs and stools.

Does not know: colours or words.
"""

from dataclasses import replace

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import (
    Shape,
    Surface,
    curve,
    ellipse,
    lathe,
    move,
    pillow,
    rod,
    rounded,
    slab,
    tube,
    turn,
)


def bent(surface: Surface, amount: float) -> Surface:
    """Return the surface with its sides (large |x|) pulled towards the viewer."""
    points = surface.points.copy()
    points[..., 2] += amount * points[..., 0] ** 2
    return replace(surface, points=points)


def chair(dice: Dice, kind: str, size: float) -> Shape:
    """Stools, slatted, ladder-back, panel, shell and hoop-back chairs on five kinds of legs."""
    width, depth, seat = dice.uniform(0.5, 0.64) * size, dice.uniform(0.48, 0.58), dice.uniform(0.5, 0.62)
    frame = dice.choice(("wood", "wood", "steel", "dark", "main"))
    shape = Shape(yaw=(-50, 50), pitch=(8, 26))
    form = dice.choice(("round", "square", "padded", "square"))
    if form == "padded":
        shape.add(move(turn(pillow((width, depth, 0.16), square=5, bulge=3), "x", 90), y=seat))
    else:
        outline = ellipse(width, depth, square=2.2 if form == "round" else 7)
        shape.add(move(turn(slab(outline, 0.07, bevel=0.03), "x", 90), y=seat))
    _legs(shape, dice, frame, (width * 0.38, depth * 0.38), seat)
    x, rear = width * 0.42, -depth * 0.46
    high, lean = dice.uniform(0.45, 0.72), dice.uniform(0.04, 0.12)
    if kind in ("slats", "ladder"):
        _posts(shape, dice, kind, frame, (x, seat, rear), high, lean)
    elif kind in ("panel", "shell"):
        _panel(shape, dice, kind, frame, (x, seat, rear), high)
    elif kind == "hoop":
        knots = [(-1, 0, 0), (-1.05, 0.7, 1), (0, 1.1, 1.4), (1.05, 0.7, 1), (1, 0, 0)]
        arch = curve([(a * x, seat + b * high, rear - c * lean) for a, b, c in knots], 30)
        plate = turn(slab(ellipse(x * 1.7, high * 0.5, square=3), 0.03), "x", -8)
        shape.add(tube(arch, 0.028, frame), move(plate, y=seat + high * 0.68, z=rear - lean * 0.75))
    if kind not in ("stool", "shell") and dice.chance(0.3):
        for s in (-x, x):
            knots = [
                (s, seat + high * 0.5, rear - lean * 0.5),
                (s * 1.22, seat + high * 0.48, 0),
                (s * 1.1, seat + high * 0.4, depth * 0.3),
                (s, seat, depth * 0.34),
            ]
            shape.add(tube(curve(knots, 24), 0.026, frame, up=(0, 1, 0)))
    return shape


Corner = tuple[float, float, float]


def _posts(shape: Shape, dice: Dice, kind: str, frame: str, corner: Corner, high: float, lean: float) -> None:
    """Add a back of two posts with upright slats under a rail, or with bent cross-pieces."""
    x, seat, rear = corner
    for side in (-x, x):
        shape.add(rod((side, seat, rear), (side, seat + high, rear - lean), (0.03, 0.024), frame))
    if kind == "ladder":
        for i in range(dice.integer(2, 4)):
            rung = turn(bent(slab(ellipse(2 * x, 0.1, square=6), 0.035, bevel=0.015), -0.25), "x", -6)
            share = 0.94 - 0.27 * i
            shape.add(move(rung, y=seat + high * share, z=rear - lean * share))
        return
    y, z = seat + high, rear - lean
    rail = curve([(-x * 1.08, y, z), (0, y + 0.03, z - 0.05), (x * 1.08, y, z)], 16)
    shape.add(tube(rail, 0.036, frame, flat=1.2))
    count = dice.integer(3, 6)
    for i in range(count):
        at = -x + 2 * x * (i + 1) / (count + 1)
        shape.add(rod((at, seat, rear), (at, y, z - 0.03), (0.016, 0.014), frame, sides=8))


def _panel(shape: Shape, dice: Dice, kind: str, frame: str, corner: Corner, high: float) -> None:
    """Add a padded panel on two posts, or a shell that embraces the seat."""
    x, seat, rear = corner
    panel = kind == "panel"
    tall, wide = high * (0.62 if panel else 1.15), x * (2.28 if panel else 2.57)
    body = turn(
        bent(pillow((wide, tall, 0.1), square=dice.choice((3, 4, 6)), bulge=4), 0.35 if panel else 1.1),
        "x",
        -8,
    )
    shape.add(move(body, y=seat + high - tall * (0.35 if panel else 0.42), z=rear - 0.02))
    if panel:
        for side in (-x * 0.6, x * 0.6):
            shape.add(
                rod(
                    (side, seat - 0.02, rear * 0.94),
                    (side, seat + high * 0.75, rear - 0.06),
                    (0.022, 0.022),
                    frame,
                )
            )


def _legs(shape: Shape, dice: Dice, frame: str, reach: tuple[float, float], seat: float) -> None:
    kind = dice.weighted((("splay", 3), ("straight", 2), ("pedestal", 1.3), ("sled", 1.3), ("cross", 1)))
    x, z = reach
    if kind == "pedestal":
        profile = curve(
            [(x * 1.16, 0), (x * 1.1, 0.025), (0.06, 0.06), (0.04, seat * 0.5), (0.05, seat - 0.03)], 24
        )
        shape.add(lathe(profile, frame, sides=40))
        return
    for s in (-x, x):
        if kind == "sled":
            path = rounded([(-z, seat), (-z * 1.15, 0.03), (z * 1.15, 0.03), (z, seat)], 0.07)
            shape.add(
                tube(np.stack([np.full(len(path), s), path[:, 1], path[:, 0]], 1), 0.022, frame, up=(1, 0, 0))
            )
        elif kind == "cross":
            shape.add(rod((s, seat, 0.7 * z), (s, 0, -1.1 * z), (0.03, 0.03), frame))
            shape.add(rod((s, seat, -0.7 * z), (s, 0, 1.1 * z), (0.03, 0.03), frame))
        else:
            out, foot = (1.28, 0.022) if kind == "splay" else (1.0, 0.034)
            for t in (-z, z):
                shape.add(rod((s, seat, t), (s * out, 0, t * out), (0.036, foot), frame))
    if kind in ("splay", "straight") and dice.chance(0.5):
        for s in (-x, x):
            shape.add(
                rod((s * 1.1, seat * 0.45, -z), (s * 1.1, seat * 0.45, z), (0.016, 0.016), frame, sides=8)
            )
