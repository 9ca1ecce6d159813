"""T-shirts, long sleeves, tanks, polos and hoodies, worn by nobody.

    rows of the body run from the hem up, columns from the back round by the front

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
    lathe,
    loft,
    move,
    pillow,
    ring,
    slab,
    tube,
    turn,
)


def shirt(dice: Dice, kind: str, size: float) -> Shape:
    """Draw one before a wall."""
    deep_neck = kind == "tee" and dice.chance(0.3)
    hem, chest, long = (
        dice.uniform(0.6, 0.76) * size,
        dice.uniform(0.68, 0.76) * size,
        dice.uniform(0.98, 1.12),
    )
    body = _body(hem, chest, long, dice.uniform(0.22, 0.28), 3 if deep_neck else 1)
    shape = Shape(stage="wall", yaw=(-32, 32), pitch=(-3, 12))
    shape.add(loft(body), ring(body[-1], 0.018, dice.choice(("accent", "main"))))
    shape.add(Surface(body[::-1][:10] * (0.97, 1, 0.9), "lining", occlusion=0.45, solid=False))
    if kind == "tank":
        hole = ellipse(0.17, 0.3, 32)
        height = long * 0.79 + hole[:, 1] - 0.3 * np.abs(hole[:, 0])
        inward = 0.06 * np.clip((height - long * 0.72) * 8, 0, 1)
        for s in (-1, 1):
            edge = np.stack([s * (chest * 0.468 - inward), height, hole[:, 0]], 1)
            shape.add(ring(edge, 0.016, "accent", up=(1, 0, 0)))
    else:
        _sleeves(shape, dice, kind, chest, long)
    if kind == "hoodie":
        _hood(shape, body)
    elif kind == "polo":
        _collar(shape, body)
    else:
        _print(shape, dice, body)
    behind = min(float(s.points[..., 2].min()) for s in shape.surfaces)
    shape.surfaces = [move(s, z=0.02 - behind) for s in shape.surfaces]  # off the wall
    return shape


def _body(hem: float, chest: float, long: float, opening: float, pointed: int) -> Array:
    """Return rows ``[30, 65, 3]``; ``pointed`` is the exponent of the neckline: 1 round, 3 a V."""
    angle = np.linspace(-np.pi, np.pi, 65)
    rows = []
    for u in np.linspace(0, 1, 30):
        wide = np.interp(
            u, (0, 0.35, 0.8, 0.92, 1), (hem, (hem + chest) / 2 - 0.03, chest, chest * 0.82, opening)
        )
        deep = np.interp(u, (0, 0.7, 0.9, 1), (0.3, 0.32, 0.26, 0.2))
        fold = 1 + 0.035 * (1 - u) * np.sin(7 * angle + 2 * u) + 0.012 * np.sin(13 * angle - 5 * u)
        x, z = np.sin(angle) * wide / 2 * fold, np.cos(angle) * deep / 2 * fold
        front = np.clip(np.cos(angle), 0, 1) * max(0.0, u - 0.8) / 0.2
        dip = (0.07 if pointed == 1 else 0.2) * front**pointed
        slope = 0.06 * np.clip(np.abs(x) / 0.34, 0, 1) * np.clip((u - 0.75) * 4, 0, 1)
        rows.append(np.stack([x, u * long - dip - slope, z], 1))
    return np.asarray(rows)


def _sleeves(shape: Shape, dice: Dice, kind: str, chest: float, long: float) -> None:
    reach = 0.62 if kind in ("long", "hoodie") else dice.uniform(0.22, 0.3)
    slot = dice.choice(("main", "main", "accent"))
    cuffs = kind in ("long", "hoodie", "polo") or dice.chance(0.3)
    taper = np.linspace(0.105, 0.118 if reach < 0.5 else 0.072, 18)
    for s in (-1, 1):
        start = np.asarray((s * chest * 0.27, long * 0.845, 0))
        end = start + np.asarray((s * (0.17 + reach * 0.32), -0.06 - reach * 0.9, 0.03))
        path = curve([start, np.add(start, (s * 0.13, -0.075, 0)), end], 18)
        shape.add(tube(path, taper, slot, sides=24, flat=0.85))
        if cuffs:
            cuff = path[-3:] + (path[-1] - path[-2]) * 0.5
            shape.add(tube(cuff, float(taper[-1]) * 1.03, "accent", sides=24, flat=0.85))


def _raised(body: Array) -> Array:
    """Return the body a little larger: what is sewn on lies over it."""
    return body * (1.0, 1.0, 1.05) + (0, 0, 0.006)


def _hood(shape: Shape, body: Array) -> None:
    front, middle = _raised(body), body.shape[1] // 2
    hood = turn(lathe(curve([(0.2, 0), (0.27, 0.1), (0.2, 0.24), (0.001, 0.3)], 20), sides=40), "x", -42)
    shape.add(move(hood, y=float(body[-1, :, 1].max()) - 0.14, z=-0.1))
    shape.add(loft(front[5:13, middle - 11 : middle + 12] * (1, 1, 1.03)))
    drop = np.arange(6)
    for s in (-0.06, 0.06):
        cord = np.stack([np.full(6, s), body[-1, middle, 1] - 0.01 - 0.05 * drop, 0.13 + 0.008 * drop], 1)
        shape.add(tube(cord, 0.008, "white", sides=6))


def _collar(shape: Shape, body: Array) -> None:
    front, middle, neck = _raised(body), body.shape[1] // 2, body[-1]
    flap = [
        neck * (1.02, 1, 1.05),
        neck * (1.25, 1, 1.3) + (0, 0.045, 0),
        neck * (1.55, 1, 1.5) - (0, 0.05, 0),
    ]
    shape.add(loft(front[20:29, middle - 2 : middle + 3], "accent"), loft(flap, "accent", solid=False))
    for row in (22, 25):
        shape.add(
            move(pillow((0.022, 0.022, 0.012), "white", square=2, steps=6), *front[row, middle].tolist())
        )


def _print(shape: Shape, dice: Dice, body: Array) -> None:
    front, middle = _raised(body), body.shape[1] // 2
    kind = dice.weighted((("none", 3), ("pocket", 1), ("badge", 1.5), ("block", 1.5)))
    if kind == "pocket":
        shape.add(loft(front[18:24, middle + 5 : middle + 13], "accent"))
    elif kind == "badge":
        badge = slab(
            ellipse(0.24, 0.24, 40, square=dice.choice((2.0, 1.2, 6.0))), 0.008, "accent", bevel=0.003
        )
        shape.add(move(badge, 0, float(body[19, middle, 1]), float(front[19, middle, 2]) + 0.002))
    elif kind == "block":
        shape.add(loft(body[14:20] * (1.015, 1, 1.03), "accent"))
