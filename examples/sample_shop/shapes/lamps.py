"""Table and desk lamps.

Does not know: colours or words.
"""

import numpy as np

from examples.sample_shop.dice import Dice
from examples.sample_shop.mesh import Shape, curve, dense, lathe, move, pillow, ring, rod, rounded, turn
from examples.sample_shop.shapes.vessels import PLAIN, Knots, closed_below, outline

_FEET: tuple[Knots, ...] = (
    ((0.6, 0), (1, 0.3), (0.8, 0.55), (0.22, 0.75), (0.2, 1)),
    ((1, 0), (0.9, 0.06), (0.3, 0.16), (0.75, 0.5), (0.2, 1)),
    ((1, 0), (0.95, 0.1), (0.5, 0.5), (0.16, 0.9), (0.16, 1)),
)
_SHADES: dict[str, tuple[Knots, bool]] = {  # shares of width and height, and whether open above
    "cone": (((1, 0), (0.52, 1)), True),
    "pleated": (((1.05, 0), (0.55, 0.8)), True),
    "drum": (((0.86, 0), (0.86, 0.8)), True),
    "globe": (((0.2, 0), (0.66, 0.3), (0.66, 0.7), (0.0, 1)), False),
    "dome": (((1.05, 0), (0.98, 0.22), (0.6, 0.58), (0.0, 0.7)), False),
}
_HEADS: tuple[Knots, ...] = (
    ((1, 0), (0.5, 0.2), (0.3, 0.32), (0, 0.35)),
    ((1, 0), (0.85, 0.2), (0.25, 0.28), (0, 0.31)),
    ((0.95, 0.02), (0.55, 0.16), (0.45, 0.3), (0, 0.33)),
)


def lamp(dice: Dice, kind: str, size: float) -> Shape:
    """Table lamps with turned, stick and tripod feet; mushroom lamps; desk lamps with a jointed arm."""
    shape = Shape(yaw=(-60, 60), pitch=(4, 20))
    height = dice.uniform(0.6, 0.95) * size
    metal = dice.choice(("steel", "brass", "dark", "wood"))
    if kind == "arm":
        _desk_lamp(shape, dice, metal, height)
        return shape
    if kind == "turned":
        profile = outline(dice.choice(_FEET), dice.uniform(0.2, 0.32), height)
        shape.add(lathe(closed_below(profile), ribs=dice.weighted(((PLAIN, 3), ((16, 0.03), 1)))))
    elif kind == "stick":
        shape.add(lathe(rounded([(0.001, 0), (0.24, 0), (0.24, 0.05), (0.03, 0.07)], 0.02), metal))
        shape.add(lathe(dense([(0.026, 0.05), (0.026, height)]), metal, sides=20))
    elif kind == "tripod":
        for a in np.deg2rad((30, 150, 270)):
            c, s = float(np.cos(a)), float(np.sin(a))
            shape.add(rod((0.03 * c, height, 0.03 * s), (0.36 * c, 0, 0.36 * s), (0.024, 0.016), metal))
    else:
        shape.add(lathe(curve([(0.24, 0), (0.25, 0.04), (0.12, height * 0.4), (0.12, height * 0.8)], 24)))
    _shade(shape, dice, kind, height)
    return shape


def _shade(shape: Shape, dice: Dice, kind: str, height: float) -> None:
    width, tall = dice.uniform(0.38, 0.52), dice.uniform(0.36, 0.56)
    mushroom = kind == "mushroom"
    form = "dome" if mushroom else dice.choice(("cone", "drum", "globe", "dome", "pleated"))
    y = height * (0.74 if mushroom else 0.92)
    slot = "shade" if kind == "turned" else "main"  # something must show the variant's colour
    knots, is_open = _SHADES[form]
    profile = np.add(outline(knots, width, tall, corner=0.0 if is_open else None), (0, y))
    profile[:, 0] = np.maximum(profile[:, 0], 0.001)
    shape.add(lathe(profile, slot, ribs=(32, 0.025) if form == "pleated" else PLAIN))
    if is_open:
        shape.add(lathe(profile[::-1] - (0.01, 0), "glow"))
        turns = np.linspace(0, 2 * np.pi, 40)
        edge = np.stack(
            [np.sin(turns) * profile[-1, 0], np.full(40, profile[-1, 1]), np.cos(turns) * profile[-1, 0]], 1
        )
        shape.add(ring(edge, 0.012, slot, sides=8))
    else:
        shape.add(lathe(dense([(float(profile[0, 0]) * 0.98, y + 0.01), (0.001, y + 0.01)]), "glow"))


def _desk_lamp(shape: Shape, dice: Dice, metal: str, height: float) -> None:
    joint = (-0.22, height * 0.62, 0.0)
    head = (dice.uniform(0.2, 0.34), height * dice.uniform(0.95, 1.1), 0.0)
    shape.add(lathe(rounded([(0.001, 0), (0.27, 0), (0.27, 0.06), (0.04, 0.08)], 0.03)))
    shape.add(rod((0.0, 0.05, 0), joint, (0.022, 0.022), metal), rod(joint, head, (0.02, 0.02), metal))
    shape.add(move(pillow((0.09, 0.09, 0.09), square=2, steps=8), *joint))
    profile = outline(dice.choice(_HEADS), dice.uniform(0.17, 0.24), 1.0)
    profile[:, 0] = np.maximum(profile[:, 0], 0.009)
    tilt = dice.uniform(15, 50)
    for part in (lathe(profile, sides=48), lathe(profile[::-1] - (0.008, 0), "glow", sides=48)):
        shape.add(move(turn(move(part, y=-0.26), "z", tilt), *head))
