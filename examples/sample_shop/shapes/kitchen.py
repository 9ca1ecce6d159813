"""Mugs, teapots, bottles and vases: turned bodies with handles, spouts and caps.

Does not know: colours or words.
"""

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import Array, Shape, curve, lathe, rounded, tube, turn
from examples.sample_shop.shapes.vessels import (
    PLAIN,
    Knots,
    at_height,
    closed_below,
    faceted,
    handle,
    outline,
    pot,
    twisted,
)

_MUGS: dict[str, tuple[Knots, float | None]] = {
    "straight": (((0.9, 0), (1, 0.05), (1, 1)), 0.05),
    "cone": (((0.68, 0), (0.74, 0.05), (1.08, 1)), 0.05),
    "barrel": (((0.74, 0), (0.9, 0.1), (1.08, 0.5), (0.92, 1)), None),
    "belly": (((0.62, 0), (1.1, 0.22), (1.06, 0.5), (0.88, 1)), None),
    "tulip": (((0.6, 0), (0.95, 0.2), (0.82, 0.6), (1.06, 1)), None),
    "footed": (((0.6, 0), (0.5, 0.09), (1, 0.34), (1.04, 1)), None),
}
_TEAPOTS: dict[str, Knots] = {
    "round": ((0.55, 0), (0.97, 0.28), (0.95, 0.6), (0.58, 1)),
    "low": ((0.72, 0), (1.12, 0.3), (1, 0.58), (0.58, 0.86)),
    "pear": ((0.62, 0), (1, 0.25), (0.75, 0.72), (0.52, 1.15)),
    "cone": ((1.02, 0), (0.98, 0.12), (0.78, 0.6), (0.58, 1.05)),
}
_BOTTLES: dict[str, tuple[Knots, float | None]] = {
    "flask": (((0.92, 0), (1, 0.04), (1, 0.66), (0.5, 0.84), (0.5, 1)), 0.16),
    "can": (((0.94, 0), (1.08, 0.03), (1.08, 0.86), (0.98, 0.94)), 0.05),
    "cola": (((0.86, 0), (1, 0.06), (0.8, 0.3), (1, 0.5), (0.5, 0.8), (0.48, 1)), None),
    "carafe": (((1.2, 0), (1.35, 0.1), (1.15, 0.38), (0.5, 0.7), (0.58, 1)), None),
    "slim": (((0.7, 0), (0.76, 0.02), (0.76, 0.9), (0.6, 1)), 0.1),
}
_VASES: dict[str, Knots] = {
    "bud": ((0.5, 0), (1, 0.2), (0.7, 0.48), (0.22, 0.72), (0.27, 1)),
    "amphora": ((0.42, 0), (0.75, 0.3), (1.05, 0.66), (0.6, 0.88), (0.7, 1)),
    "cylinder": ((0.72, 0), (0.78, 0.04), (0.8, 0.5), (0.8, 1)),
    "sphere": ((0.55, 0), (1.15, 0.24), (1.15, 0.44), (0.55, 0.66), (0.6, 0.72)),
    "hourglass": ((0.85, 0), (0.7, 0.25), (0.42, 0.55), (0.75, 0.88), (0.9, 1)),
    "funnel": ((0.4, 0), (0.42, 0.15), (0.6, 0.6), (1.05, 1)),
    "bottle": ((0.8, 0), (0.85, 0.12), (0.75, 0.42), (0.25, 0.62), (0.24, 0.9), (0.32, 1)),
}


def mug(dice: Dice, kind: str, size: float) -> Shape:
    """Cylinders, cones, barrels, bellies and footed cups with five kinds of handle, or none."""
    height, radius = dice.uniform(0.75, 1.25) * size, dice.uniform(0.36, 0.52)
    knots, corner = _MUGS[kind]
    profile = outline(knots, radius, height, corner=corner)
    ribs = dice.weighted(((PLAIN, 5), ((dice.choice((16, 24)), 0.018), 1), ((10, 0.02), 0.7)))
    shape = Shape(yaw=(-50, 50), pitch=(10, 38))
    shape.add(*pot(profile, wall=0.045, depth=height * 0.9, ribs=ribs))
    grip = dice.weighted((("round", 3), ("ear", 2), ("square", 2), ("drop", 1.5), ("ring", 1.5), ("none", 1)))
    if grip != "none":
        span = height * dice.uniform(0.16, 0.26), height * dice.uniform(0.74, 0.86)
        slot = dice.weighted((("main", 4), ("accent", 1)))
        shape.add(handle(grip, profile, span, dice.uniform(0.26, 0.36), dice.uniform(0.036, 0.056), slot))
    return shape


def teapot(dice: Dice, kind: str, size: float) -> Shape:
    """Round, low, pear-shaped and conical pots with a spout, a knobbed lid, a side or bail handle."""
    height, radius = dice.uniform(0.62, 0.95) * size, dice.uniform(0.5, 0.66)
    profile = outline(_TEAPOTS[kind], radius, height)
    top, edge = float(profile[-1, 1]), float(profile[-1, 0])
    shape = Shape(yaw=(-40, 40), pitch=(8, 28))
    shape.add(lathe(closed_below(profile), ribs=dice.weighted(((PLAIN, 4), ((14, 0.02), 1)))))
    slot, dome, knob = (
        dice.choice(("main", "main", "accent")),
        dice.uniform(0.06, 0.16),
        dice.uniform(0.06, 0.085),
    )
    lid = [(edge * 1.03, top), (edge, top + 0.03), (edge * 0.6, top + dome * 0.8), (0.001, top + dome)]
    y = top + dome - 0.01
    ball = [(0.025, y), (0.03, y + 0.03), (knob, y + 0.03 + knob), (0.001, y + 0.04 + 2 * knob)]
    shape.add(lathe(curve(lid, 14), slot), lathe(curve(ball, 14), slot, sides=24))
    _spout(shape, dice, profile)
    if dice.chance(0.3):
        arc = np.linspace(0.0, np.pi, 24)
        bail = np.stack([np.cos(arc) * edge * 1.25, top - 0.02 + np.sin(arc) * 0.46, 0 * arc], 1)
        shape.add(tube(bail, 0.026, dice.choice(("wood", "steel", "accent"))))
    else:
        form, slot = dice.choice(("round", "ear", "drop", "square")), dice.choice(("main", "accent", "wood"))
        shape.add(handle(form, profile, (top * 0.2, top * 0.84), dice.uniform(0.3, 0.4), 0.042, slot))
    return shape


def _spout(shape: Shape, dice: Dice, profile: Array) -> None:
    top = float(profile[-1, 1])
    y = top * dice.uniform(0.32, 0.45)
    x = -at_height(profile, y) * 0.9
    reach, rise = dice.uniform(0.28, 0.42), top * dice.uniform(0.9, 1.08)
    knots = [
        (x, y, 0),
        (x - reach * 0.5, y + 0.08, 0),
        (x - reach * 0.72, (y + rise) / 2, 0),
        (x - reach - 0.08, rise, 0),
    ]
    shape.add(tube(curve(knots, 20), np.linspace(0.115, 0.045, 20), sides=18))


def bottle(dice: Dice, kind: str, size: float) -> Shape:
    """Flasks, thermos cans, waisted bottles and carafes, each with its kind of cap."""
    height, radius = dice.uniform(1.35, 1.9) * size, dice.uniform(0.26, 0.36)
    knots, corner = _BOTTLES[kind]
    profile = outline(knots, radius, height, corner=corner)
    shape = Shape(yaw=(-60, 60), pitch=(4, 22))
    shape.add(lathe(closed_below(profile)))
    _cap(shape, dice, float(profile[-1, 0]), float(profile[-1, 1]))
    if dice.chance(0.35) and kind in ("flask", "can", "slim"):
        y = height * dice.uniform(0.12, 0.4)
        r = at_height(profile, y) * 1.012
        shape.add(lathe([(r, y), (r, y + height * 0.2)], "accent"))
    return shape


def _cap(shape: Shape, dice: Dice, edge: float, top: float) -> None:
    cap = dice.weighted((("screw", 3), ("cork", 1), ("loop", 2), ("cup", 1.5), ("sport", 1.5)))
    slot = dice.choice(("accent", "steel", "dark", "wood"))
    e = edge * 1.12
    if cap == "cork":
        stopper = rounded([(edge * 0.85, top), (edge * 0.98, top + 0.17), (0.001, top + 0.17)], 0.02)
        shape.add(lathe(stopper, "cork", sides=32))
        return
    if cap == "cup":
        shape.add(
            lathe(rounded([(e, top - 0.02), (e * 1.04, top + 0.3), (0.001, top + 0.3)], 0.05), slot, sides=48)
        )
        return
    lid = rounded([(e, top - 0.05), (e, top + 0.14), (0.001, top + 0.15)], 0.03)
    shape.add(lathe(lid, slot, sides=48, ribs=(24, 0.02)))
    if cap == "loop":
        arc = np.linspace(0, np.pi, 18)
        path = np.stack([np.cos(arc) * e * 0.8, top + 0.12 + np.sin(arc) * 0.2, 0 * arc], 1)
        shape.add(tube(path, 0.035, slot, flat=1.6))
    elif cap == "sport":
        knots = [(e * 0.45, top + 0.14), (e * 0.4, top + 0.26), (e * 0.5, top + 0.3), (0.001, top + 0.34)]
        shape.add(lathe(rounded(knots, 0.02), "white", sides=28))


def vase(dice: Dice, kind: str, size: float) -> Shape:
    """Buds, amphorae, spheres, hourglasses and funnels: smooth, ribbed, twisted or cut in facets."""
    height, radius = dice.uniform(1.0, 1.7) * size, dice.uniform(0.34, 0.5)
    profile = outline(_VASES[kind], radius, height)
    cut = dice.weighted((("smooth", 4), ("ribs", 2), ("facets", 1.3), ("twist", 0.8)))
    ribs = (dice.choice((12, 18, 24)), dice.uniform(0.025, 0.05)) if cut in ("ribs", "twist") else PLAIN
    parts = pot(profile, wall=0.04, depth=height * 0.35, ribs=ribs, inside="main")
    if cut == "facets":
        sides = dice.choice((6, 8, 10))
        parts[:2] = [faceted(part, sides) for part in parts[:2]]
    elif cut == "twist":
        parts[0] = twisted(parts[0], 80 / height)
    shape = Shape(yaw=(-70, 70), pitch=(6, 26))
    shape.add(*parts)
    if kind in ("amphora", "bottle") and dice.chance(0.5):
        h, r = height, at_height(profile, height * 0.84)
        path = curve(
            [(r * 0.9, h * 0.95, 0), (r + 0.24, h * 0.9, 0), (r + 0.26, h * 0.72, 0), (r * 1.1, h * 0.56, 0)],
            20,
        )
        ear = tube(path, 0.035, sides=12)
        shape.add(ear, turn(ear, "y", 180))
    return shape
