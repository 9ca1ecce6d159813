"""One function per category of the shop: random numbers and a kind in, the surfaces of the object out.

All variants of a product use the same random numbers, so they share the shape. Slots are ``main`` and
``accent`` (the variant's colours) or the name of a fixed material. A profile is a table of (share of the
radius, share of the height), from the foot up.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np

from examples.sample_shop.mesh import (
    Array,
    Surface,
    arc,
    lathe,
    rod,
    rounded,
    slab,
    spline,
    subdivide,
    superellipse,
    superellipsoid,
    tube,
)

Profile = Sequence[tuple[float, float]]
_SMOOTH = (0, 0.0, 0.0)  # ribs

_MUGS: dict[str, tuple[Profile, float]] = {  # and the radius of the corners; 0 for a smooth curve
    "straight": (((0.9, 0), (1, 0.05), (1, 1)), 0.05),
    "cone": (((0.68, 0), (0.74, 0.05), (1.08, 1)), 0.05),
    "barrel": (((0.74, 0), (0.9, 0.1), (1.08, 0.5), (0.92, 1)), 0),
    "belly": (((0.62, 0), (1.1, 0.22), (1.06, 0.5), (0.88, 1)), 0),
    "tulip": (((0.6, 0), (0.95, 0.2), (0.82, 0.6), (1.06, 1)), 0),
    "footed": (((0.6, 0), (0.5, 0.09), (1, 0.34), (1.04, 1)), 0),
}
_HANDLES = ("round", "ear", "drop", "ring", "square")
_TEAPOTS: dict[str, Profile] = {
    "round": ((0.55, 0), (0.97, 0.28), (0.95, 0.6), (0.58, 1)),
    "low": ((0.72, 0), (1.12, 0.3), (1, 0.58), (0.58, 0.86)),
    "pear": ((0.62, 0), (1, 0.25), (0.75, 0.72), (0.52, 1.15)),
    "cone": ((1.02, 0), (0.98, 0.12), (0.78, 0.6), (0.58, 1.05)),
}
_BOTTLES: dict[str, tuple[Profile, float]] = {
    "flask": (((0.92, 0), (1, 0.04), (1, 0.66), (0.5, 0.84), (0.5, 1)), 0.16),
    "can": (((0.94, 0), (1.08, 0.03), (1.08, 0.86), (0.98, 0.94)), 0.05),
    "cola": (((0.86, 0), (1, 0.06), (0.8, 0.3), (1, 0.5), (0.5, 0.8), (0.48, 1)), 0),
    "carafe": (((1.2, 0), (1.35, 0.1), (1.15, 0.38), (0.5, 0.7), (0.58, 1)), 0),
    "slim": (((0.7, 0), (0.76, 0.02), (0.76, 0.9), (0.6, 1)), 0.1),
}
_VASES: dict[str, Profile] = {
    "bud": ((0.5, 0), (1, 0.2), (0.7, 0.48), (0.22, 0.72), (0.27, 1)),
    "amphora": ((0.42, 0), (0.75, 0.3), (1.05, 0.66), (0.6, 0.88), (0.7, 1)),
    "cylinder": ((0.72, 0), (0.78, 0.04), (0.8, 0.5), (0.8, 1)),
    "sphere": ((0.55, 0), (1.15, 0.24), (1.15, 0.44), (0.55, 0.66), (0.6, 0.72)),
    "hourglass": ((0.85, 0), (0.7, 0.25), (0.42, 0.55), (0.75, 0.88), (0.9, 1)),
    "funnel": ((0.4, 0), (0.42, 0.15), (0.6, 0.6), (1.05, 1)),
    "bottle": ((0.8, 0), (0.85, 0.12), (0.75, 0.42), (0.25, 0.62), (0.24, 0.9), (0.32, 1)),
}
_LAMP_FEET: tuple[Profile, ...] = (
    ((0.6, 0), (1, 0.3), (0.8, 0.55), (0.22, 0.75), (0.2, 1)),
    ((1, 0), (0.9, 0.06), (0.3, 0.16), (0.75, 0.5), (0.2, 1)),
    ((1, 0), (0.95, 0.1), (0.5, 0.5), (0.16, 0.9), (0.16, 1)),
)
_LAMPSHADES: dict[str, Profile] = {
    "cone": ((1, 0), (0.52, 1)),
    "pleated": ((1.05, 0), (0.55, 0.8)),
    "drum": ((0.86, 0), (0.86, 0.8)),
    "globe": ((0.2, 0), (0.66, 0.3), (0.66, 0.7), (0.0, 1)),
    "dome": ((1.05, 0), (0.98, 0.22), (0.6, 0.58), (0.0, 0.7)),
}
_DESK_LAMP_HEADS: tuple[Profile, ...] = (
    ((1, 0), (0.5, 0.2), (0.3, 0.32), (0, 0.35)),
    ((1, 0), (0.85, 0.2), (0.25, 0.28), (0, 0.31)),
    ((0.95, 0.02), (0.55, 0.16), (0.45, 0.3), (0, 0.33)),
)


def _scaled(profile: Profile, radius: float, height: float, corner: float = 0.0) -> Array:
    """Return the profile ``[M, 2]``, smooth or with straight lines whose corners are rounded."""
    points = np.multiply(profile, (radius, height))
    return subdivide(rounded(points, corner) if corner else spline(points, 34))


def _radius_at(profile: Array, y: float) -> float:
    return float(np.interp(y, profile[:, 1], profile[:, 0]))


def _with_base(profile: Array) -> Array:
    """Return the profile with a base that reaches the axis."""
    return np.concatenate([[(0.001, profile[0, 1])], profile])


def _pot(profile: Array, wall: float, depth: float, ribs: tuple[float, ...], inside: str) -> list[Surface]:
    """Return the outside, lip, inside and bottom of an open pot; ``depth`` of the inside that is drawn."""
    top = profile[-1]
    lip = top + np.asarray([(0, 0), (-0.2, 0.35), (-0.8, 0.35), (-1, 0)]) * wall
    inner = np.maximum(profile[profile[:, 1] > top[1] - depth][::-1] - (wall, 0), (0.002, 0))
    light = np.clip(1 - (top[1] - inner[:, 1]) / depth * 0.75, 0.22, 1)[:, None]
    bottom = lathe([inner[-1], (0.001, inner[-1, 1])], inside)
    return [
        lathe(_with_base(profile), ribs=ribs),
        lathe(lip, ribs=(ribs[0], ribs[1] * 0.4, ribs[2])),
        replace(lathe(inner, inside), occlusion=light),
        replace(bottom, occlusion=0.25),
    ]


def _handle(
    form: str, profile: Array, span: tuple[float, float], reach: float, thick: float, slot: str
) -> Surface:
    """Return a handle on the right of a pot, between two heights."""
    low, high = span
    middle = (low + high) / 2
    forms = {
        "round": [(0, low), (0.75, low + 0.02), (1, middle), (0.75, high - 0.02), (0, high)],
        "ear": [(0, low), (0.45, low + 0.1), (1, middle + 0.12), (0.7, high + 0.03), (0, high - 0.02)],
        "drop": [(0, low), (0.95, low + 0.06), (0.9, middle - 0.02), (0.4, high - 0.03), (0, high)],
        "ring": [(x, middle + y) for x, y in ((0, -0.16), (0.6, -0.2), (1.1, 0), (0.6, 0.2), (0, 0.16))],
        "square": [(0, low), (1, low), (1, high), (0, high)],
    }
    start = _radius_at(profile, middle) * 0.92
    points = [(start + x * reach, y, 0) for x, y in forms[form]]
    path = rounded(points, 0.09) if form == "square" else spline(points, 26)
    return tube(path, thick, slot, flat=1.5)


def mug(draw: Random, kind: str) -> list[Surface]:
    """Cylinders, cones, barrels, bellies and footed cups with five kinds of handle, or none."""
    height, (outline, corner) = draw.uniform(0.75, 1.25), _MUGS[kind]
    profile = _scaled(outline, draw.uniform(0.36, 0.52), height, corner)
    ribs = draw.choices((_SMOOTH, (16, 0.018, 0), (24, 0.018, 0), (10, 0.02, 0)), (5, 0.5, 0.5, 0.7))[0]
    parts = _pot(profile, 0.045, height * 0.9, ribs, "accent")
    form = draw.choices((*_HANDLES, "none"), (3, 2, 1.5, 1.5, 2, 1))[0]
    if form != "none":
        span = height * draw.uniform(0.16, 0.26), height * draw.uniform(0.74, 0.86)
        slot, reach = draw.choices(("main", "accent"), (4, 1))[0], draw.uniform(0.26, 0.36)
        parts.append(_handle(form, profile, span, reach, draw.uniform(0.036, 0.056), slot))
    return parts


def teapot(draw: Random, kind: str) -> list[Surface]:
    """Round, low, pear-shaped and conical pots with a spout, a knobbed lid, a side or bail handle."""
    profile = _scaled(_TEAPOTS[kind], draw.uniform(0.5, 0.66), draw.uniform(0.62, 0.95))
    (edge, top), dome, knob = profile[-1], draw.uniform(0.06, 0.16), draw.uniform(0.06, 0.085)
    lid = [(edge * 1.03, 0), (edge, 0.03), (edge * 0.6, dome * 0.8), (0.001, dome)]
    ball = [(0.025, dome), (0.03, dome + 0.03), (knob, dome + 0.03 + knob), (0.001, dome + 0.03 + 2 * knob)]
    slot, y = draw.choice(("main", "main", "accent")), top * draw.uniform(0.32, 0.45)
    reach, rise = draw.uniform(0.28, 0.42), top * draw.uniform(0.9, 1.08)
    spout = [(0, y), (-reach * 0.5, y + 0.08), (-reach * 0.72, (y + rise) / 2), (-reach - 0.08, rise)]
    bail = arc((edge * 1.25, 0.46), (0, 180), center=(0, top - 0.02, 0), count=24)
    form, side = draw.choice(("round", "ear", "drop", "square")), draw.choice(("main", "accent", "wood"))
    handle = _handle(form, profile, (top * 0.2, top * 0.84), draw.uniform(0.3, 0.4), 0.042, side)
    return [
        lathe(_with_base(profile), ribs=draw.choices((_SMOOTH, (14, 0.02, 0)), (4, 1))[0]),
        lathe(spline(lid, 14), slot).move(y=top),
        lathe(spline(ball, 14), slot, sides=24).move(y=top - 0.01),
        tube(spline(np.insert(spout, 2, 0, axis=1), 20), np.linspace(0.115, 0.045, 20), sides=18).move(
            -_radius_at(profile, y) * 0.9
        ),
        draw.choices((tube(bail, 0.026, side), handle), (3, 7))[0],
    ]


def bottle(draw: Random, kind: str) -> list[Surface]:
    """Flasks, thermos cans, waisted bottles and carafes, each with its kind of cap."""
    outline, corner = _BOTTLES[kind]
    profile = _scaled(outline, draw.uniform(0.26, 0.36), draw.uniform(1.35, 1.9), corner)
    neck, top = profile[-1]
    r, slot = neck * 1.12, draw.choice(("accent", "steel", "dark", "wood"))
    stopper = [(neck * 0.85, top), (neck * 0.98, top + 0.17), (0.001, top + 0.17)]
    cup = [(r, top - 0.02), (r * 1.04, top + 0.3), (0.001, top + 0.3)]
    nozzle = [(r * 0.45, top + 0.14), (r * 0.4, top + 0.26), (r * 0.5, top + 0.3), (0.001, top + 0.34)]
    loop = arc((r * 0.8, 0.2), (0, 180), center=(0, top + 0.12, 0), count=18)
    lid = lathe(
        rounded([(r, top - 0.05), (r, top + 0.14), (0.001, top + 0.15)], 0.03), slot, ribs=(24, 0.02, 0)
    )
    caps = {
        "cork": [lathe(rounded(stopper, 0.02), "cork")],
        "cup": [lathe(rounded(cup, 0.05), slot)],
        "screw": [lid],
        "loop": [lid, tube(loop, 0.035, slot, flat=1.6)],
        "sport": [lid, lathe(rounded(nozzle, 0.02), "white", sides=28)],
    }
    return [lathe(_with_base(profile)), *draw.choices(list(caps.values()), (1, 1.5, 3, 2, 1.5))[0]]


def vase(draw: Random, kind: str) -> list[Surface]:
    """Buds, amphorae, spheres, hourglasses and funnels: smooth, ribbed, twisted or cut in facets."""
    height, radius = draw.uniform(1.0, 1.7), draw.uniform(0.34, 0.5)
    profile = _scaled(_VASES[kind], radius, height)
    count, depth = draw.choice((12, 18, 24)), draw.uniform(0.025, 0.05)
    cuts = (_SMOOTH, (count, depth, 0), (count, depth, 1.4 / height), "facets")
    cut = draw.choices(cuts, (4, 2, 0.8, 1.3))[0]
    parts = _pot(profile, 0.04, height * 0.35, _SMOOTH if cut == "facets" else cut, "main")
    if cut == "facets":
        sides = draw.choice((6, 8, 10))
        parts[:2] = [_faceted(part, sides) for part in parts[:2]]
    if kind in ("amphora", "bottle") and draw.random() < 0.5:
        h, r = height, _radius_at(profile, height * 0.84)
        ear = [
            (r * 0.9, h * 0.95, 0),
            (r + 0.24, h * 0.9, 0),
            (r + 0.26, h * 0.72, 0),
            (r * 1.1, h * 0.56, 0),
        ]
        handle = tube(spline(ear, 20), 0.035, sides=12)
        parts += [handle, handle.rotate("y", 180)]
    return parts


def _faceted(surface: Surface, sides: int) -> Surface:
    """Return a surface of revolution pressed onto a prism of ``sides`` faces."""
    x, y, z = np.moveaxis(surface.points, -1, 0)
    sector = 2 * np.pi / sides
    scale = 0.97 / np.cos(np.mod(np.arctan2(x, z) + sector / 2, sector) - sector / 2)
    return replace(surface, points=np.stack([x * scale, y, z * scale], -1))


def lamp(draw: Random, kind: str) -> list[Surface]:
    """Table lamps with turned, stick and tripod feet; mushroom lamps; desk lamps with a jointed arm."""
    height = draw.uniform(0.6, 0.95)
    metal = draw.choice(("steel", "brass", "dark", "wood"))
    if kind == "arm":
        return _desk_lamp(draw, metal, height)
    turned = _scaled(draw.choice(_LAMP_FEET), draw.uniform(0.2, 0.32), height)
    plate = rounded([(0.001, 0), (0.24, 0), (0.24, 0.05), (0.03, 0.07)], 0.02)
    stem = subdivide([(0.026, 0.05), (0.026, height)])
    leg = rod((0.03, height, 0), (0.36, 0, 0), (0.024, 0.016), metal)
    cone = spline([(0.24, 0), (0.25, 0.04), (0.12, height * 0.4), (0.12, height * 0.8)], 24)
    feet = {
        "turned": [lathe(_with_base(turned), ribs=draw.choices((_SMOOTH, (16, 0.03, 0)), (3, 1))[0])],
        "stick": [lathe(plate, metal), lathe(stem, metal, sides=20)],
        "tripod": [leg.rotate("y", degrees) for degrees in (-30, -150, -270)],
        "mushroom": [lathe(cone)],
    }
    return feet[kind] + _lampshade(draw, kind, height)


def _lampshade(draw: Random, kind: str, height: float) -> list[Surface]:
    width, tall = draw.uniform(0.38, 0.52), draw.uniform(0.36, 0.56)
    form = "dome" if kind == "mushroom" else draw.choice(("cone", "drum", "globe", "dome", "pleated"))
    is_open = form not in ("globe", "dome")
    y = height * (0.74 if kind == "mushroom" else 0.92)
    slot = "shade" if kind == "turned" else "main"  # something must show the variant's colour
    outline = np.multiply(_LAMPSHADES[form], (width, tall))
    profile = np.maximum(subdivide(outline if is_open else spline(outline, 34)), (0.001, 0)) + (0, y)
    shade = lathe(profile, slot, ribs=(32, 0.025, 0) if form == "pleated" else _SMOOTH)
    if not is_open:
        return [shade, lathe(subdivide([(profile[0, 0] * 0.98, y + 0.01), (0.001, y + 0.01)]), "glow")]
    edge = arc(profile[-1, 0], plane="zx", center=(0, profile[-1, 1], 0))
    rim = tube(edge, 0.012, slot, sides=8, up=(0, 1, 0), closed=True)
    return [shade, lathe(profile[::-1] - (0.02, 0), "glow"), rim]


def _desk_lamp(draw: Random, metal: str, height: float) -> list[Surface]:
    joint = (-0.22, height * 0.62, 0.0)
    head = (draw.uniform(0.2, 0.34), height * draw.uniform(0.95, 1.1), 0.0)
    profile = _scaled(draw.choice(_DESK_LAMP_HEADS), draw.uniform(0.17, 0.24), 1.0)
    profile = np.maximum(profile, (0.009, 0))
    tilt = draw.uniform(15, 50)
    shade = lathe(profile, sides=48), lathe(profile[::-1] - (0.008, 0), "glow", sides=48)
    return [
        lathe(rounded([(0.001, 0), (0.27, 0), (0.27, 0.06), (0.04, 0.08)], 0.03)),
        rod((0.0, 0.05, 0), joint, (0.022, 0.022), metal),
        rod(joint, head, (0.02, 0.02), metal),
        superellipsoid((0.09, 0.09, 0.09), steps=8).move(*joint),
        *[part.move(y=-0.26).rotate("z", tilt).move(*head) for part in shade],
    ]


def chair(draw: Random, kind: str) -> list[Surface]:
    """Stools, slatted, ladder-back, panel, shell and hoop-back chairs on five kinds of legs."""
    width, depth, seat = draw.uniform(0.5, 0.64), draw.uniform(0.48, 0.58), draw.uniform(0.5, 0.62)
    frame = draw.choice(("wood", "wood", "steel", "dark", "main"))
    seats = (
        slab(superellipse(width, depth, exponent=2.2), 0.07, bevel=0.03),
        slab(superellipse(width, depth, exponent=7), 0.07, bevel=0.03),
        superellipsoid((width, depth, 0.16), exponent=5, bulge=3),
    )
    x, z, height, lean = width * 0.42, -depth * 0.46, draw.uniform(0.45, 0.72), draw.uniform(0.04, 0.12)
    back = [part.move(y=seat, z=z) for part in _chair_back(draw, kind, frame, x, height, lean)]
    if kind not in ("stool", "shell") and draw.random() < 0.3:
        knots = [
            (1, height * 0.5, z - lean * 0.5),
            (1.22, height * 0.48, 0),
            (1.1, height * 0.4, depth * 0.3),
            (1, 0, depth * 0.34),
        ]
        for s in (-x, x):
            armrest = spline(np.multiply(knots, (s, 1, 1)) + (0, seat, 0), 24)
            back.append(tube(armrest, 0.026, frame, up=(0, 1, 0)))
    top = draw.choices(seats, (1, 2, 1))[0].rotate("x", 90).move(y=seat)
    return [top, *back, *_legs(draw, frame, width * 0.38, depth * 0.38, seat)]


def _legs(draw: Random, frame: str, x: float, z: float, seat: float) -> list[Surface]:
    sides, corners = (-x, x), [(s, t) for s in (-x, x) for t in (-z, z)]
    pedestal = [(x * 1.16, 0), (x * 1.1, 0.025), (0.06, 0.06), (0.04, seat * 0.5), (0.05, seat - 0.03)]
    sled = [(seat, -z), (0.03, -z * 1.15), (0.03, z * 1.15), (seat, z)]
    runners = [rounded([(s, *point) for point in sled], 0.07) for s in sides]
    y = seat * 0.45
    bars = [rod((1.1 * s, y, -z), (1.1 * s, y, z), (0.016, 0.016), frame, sides=8) for s in sides]
    bars = bars if draw.random() < 0.5 else []
    kinds = {
        "splay": [rod((s, seat, t), (s * 1.28, 0, t * 1.28), (0.036, 0.022), frame) for s, t in corners]
        + bars,
        "straight": [rod((s, seat, t), (s, 0, t), (0.036, 0.034), frame) for s, t in corners] + bars,
        "cross": [rod((s, seat, 0.7 * t), (s, 0, -1.1 * t), (0.03, 0.03), frame) for s, t in corners],
        "sled": [tube(path, 0.022, frame, up=(1, 0, 0)) for path in runners],
        "pedestal": [lathe(spline(pedestal, 24), frame)],
    }
    return draw.choices(list(kinds.values()), (3, 2, 1, 1.3, 1.3))[0]


def _chair_back(draw: Random, kind: str, frame: str, x: float, height: float, lean: float) -> list[Surface]:
    """Return the back of a chair, as if the seat's rear edge were at the origin."""
    if kind == "stool":
        return []
    if kind == "hoop":
        knots = [(-1, 0, 0), (-1.05, 0.7, 1), (0, 1.1, 1.4), (1.05, 0.7, 1), (1, 0, 0)]
        plate = slab(superellipse(x * 1.7, height * 0.5, exponent=3), 0.03).rotate("x", -8)
        hoop = tube(spline(np.multiply(knots, (x, height, -lean)), 30), 0.028, frame)
        return [hoop, plate.move(y=height * 0.68, z=-lean * 0.75)]
    if kind in ("panel", "shell"):
        wide, tall, bend, up = (2.28, 0.62, 0.35, 0.78) if kind == "panel" else (2.57, 1.15, 1.1, 0.52)
        size = (x * wide, height * tall, 0.1)
        panel = _bent(superellipsoid(size, exponent=draw.choice((3, 4, 6)), bulge=4), bend).rotate("x", -8)
        ends = (0, -0.02, 0.015), (0, height * 0.75, -0.06)
        posts = [rod(*np.add(ends, (s, 0, 0)), (0.022, 0.022), frame) for s in (-x * 0.6, x * 0.6)]
        return [panel.move(y=height * up, z=-0.02), *(posts if kind == "panel" else [])]
    posts = [rod((s, 0, 0), (s, height, -lean), (0.03, 0.024), frame) for s in (-x, x)]
    if kind == "ladder":
        piece = _bent(slab(superellipse(2 * x, 0.1, exponent=6), 0.035, bevel=0.015), -0.25).rotate("x", -6)
        shares = 0.94 - 0.27 * np.arange(draw.randint(2, 4))
        return posts + [piece.move(y=height * share, z=-lean * share) for share in shares]
    rail = spline(
        [(-x * 1.08, height, -lean), (0, height + 0.03, -lean - 0.05), (x * 1.08, height, -lean)], 16
    )
    slats = [
        rod((s, 0, 0), (s, height, -lean - 0.03), (0.016, 0.014), frame, sides=8)
        for s in np.linspace(-x, x, draw.randint(3, 6) + 2)[1:-1]
    ]
    return [*posts, *slats, tube(rail, 0.036, frame, flat=1.2)]


def _bent(surface: Surface, amount: float) -> Surface:
    """Return the surface with its sides (large |x|) pulled towards the viewer."""
    bend = surface.points[..., :1] ** 2 * (0, 0, amount)
    return replace(surface, points=surface.points + bend)


def cushion(draw: Random, kind: str) -> list[Surface]:
    """Square, long and round cushions, bolsters and floor cushions; piping, buttons, fringe."""
    button = superellipsoid((0.1, 0.1, 0.05), "accent", steps=8)
    if kind == "bolster":
        r = draw.uniform(0.16, 0.24)
        roll = subdivide(rounded([(0.001, -0.55), (r, -0.55), (r, 0.55), (0.001, 0.55)], 0.08))
        ends = [button.rotate("y", 90).move(x) for x in (-0.56, 0.56)]
        return [part.move(y=r) for part in (lathe(roll, sides=48).rotate("z", 90), *ends)]
    if kind == "floor":
        tall, ribs = draw.uniform(0.3, 0.46), draw.choice(((8, 0.03, 0), (12, 0.025, 0), _SMOOTH))
        outline = ((0.002, 0), (0.8, 0.03), (1, 0.5), (0.75, 1), (0.002, 0.94))
        body = lathe(_scaled(outline, draw.uniform(0.5, 0.62), tall), ribs=ribs, sides=96)
        return [body, button.rotate("x", 90).move(y=tall * 0.95)]
    wide, tall = {"square": (0.98, 0.98), "long": (1.3, 0.72), "round": (1.0, 1.0)}[kind]
    exponent, corners = (2.0, 0.0) if kind == "round" else (draw.choice((5.0, 7.0, 9.0)), 0.07)
    body = superellipsoid((wide, tall, draw.uniform(0.32, 0.46)), exponent=exponent, steps=30)
    x, y, z = np.moveaxis(body.points, -1, 0)
    reach = (x**2 + y**2) / 0.25  # corners stand out, sides draw in
    pull = 1 - corners * np.cos(2 * np.arctan2(y / tall, x / wide)) ** 2 * np.minimum(reach, 1)
    dent = draw.choices((0.0, 0.45), (7, 3))[0]
    points = np.stack([x * pull, y * pull, z * (1 - dent * np.exp(-reach * 14))], -1)
    seam, parts = points[len(points) // 2], [replace(body, points=points)]
    trim = draw.choices(("none", "piping", "fringe"), (2, 2, 1))[0]
    if trim == "piping":
        parts.append(tube(seam, 0.016, "accent", sides=8, closed=True))
    elif trim == "fringe":
        threads = [np.linspace(start, start * 1.08, 3) for start in subdivide(seam, 0.05)[:-1]]
        parts += [tube(thread, 0.012, "accent", sides=6) for thread in threads]
    parts += [button.move(z=0.12)] if dent else []
    return [part.rotate("x", -12).move(y=tall * 0.47) for part in parts]  # stands and leans back a little


def clock(draw: Random, kind: str) -> list[Surface]:
    """Round, deep, square, six-sided and sunburst wall clocks; twin-bell alarm clocks."""
    rim = superellipse(1.0, 1.0, 64)
    if kind == "square":
        rim = superellipse(0.95, 0.95, 64, exponent=9)
    elif kind == "six":
        rim = subdivide(superellipse(1.0, 1.0, 6), 0.08)
    face = draw.uniform(0.4, 0.45)
    flat = rim * 0.86 if kind in ("square", "six") else superellipse(2 * face, 2 * face, 64)
    parts = [
        slab(rim, 0.14, bevel=0.05).move(z=0.07),
        slab(flat, 0.02, "face", bevel=0.005).move(z=0.14),
        *dial(draw, face * 0.95, 0.155),
    ]
    if kind == "deep":
        parts.append(tube(arc(0.5, center=(0, 0, 0.1)), 0.06, sides=16, closed=True))
    elif kind == "sun":
        count, metal = draw.choice((12, 16, 24)), draw.choice(("brass", "wood", "dark"))
        for i in range(count):
            tip = 0.5 * (1.75 - 0.3 * (i % 2))
            ray = rod((0, 0.45, 0.05), (0, tip, 0.05), (0.022, 0.012), metal, sides=8)
            parts.append(ray.rotate("z", 360 * i / count))
    elif kind == "alarm":
        parts.append(tube(arc((0.2, 0.17), (0, 180), center=(0, 0.61, 0.06), count=16), 0.018, "steel"))
        bell = superellipsoid((0.34, 0.26, 0.34), "steel", steps=14).move(y=0.56, z=0.06)
        foot = rod((0, -0.45, 0.06), (0, -0.625, 0.06), (0.04, 0.02), "dark")
        for s in (-1, 1):
            parts += [bell.rotate("z", s * 30), foot.rotate("z", s * 34)]
        parts = [part.move(y=0.55).rotate("x", -4) for part in parts]
    return parts


def dial(draw: Random, radius: float, z: float, hands: str = "ink") -> list[Surface]:
    """Return the marks and hands of a clock face of this radius at height ``z`` above x-y."""
    parts = []
    marks = draw.choices(("bars", "dots", "quarters", "none"), (3, 2, 2, 1))[0]
    for hour in range(0, 0 if marks == "none" else 12, 3 if marks == "quarters" else 1):
        if marks == "dots":
            outline = superellipse(radius * 0.09, radius * 0.09, 8)
        else:
            wide = 0.05 if hour % 3 else 0.09
            outline = superellipse(radius * wide, radius * 0.18, 8, exponent=8)
        parts.append(slab(outline, 0.01, hands, bevel=0.004).move(y=radius * 0.82).rotate("z", -30 * hour))
    hour, minute = draw.choice(((10, 9), (1, 50), (4, 40), (7, 8)))
    style = draw.choice((1.0, 0.6, 1.5))
    for length, wide, degrees in ((0.52, 0.085, 30 * hour + minute / 2), (0.78, 0.06, 6 * minute)):
        w = wide * style
        outline = np.asarray([(-w, -0.1), (w, -0.1), (w * 0.4, length), (-w * 0.4, length), (-w, -0.1)])
        parts.append(slab(outline * radius, 0.012, hands, bevel=0.004).rotate("z", -degrees).move(z=0.015))
    hub = slab(superellipse(radius * 0.13, radius * 0.13, 16), 0.03, "accent")
    return [part.move(z=z) for part in (*parts, hub.move(z=0.02))]


def _grip(
    width: float, base: float, rise: float, z: float, slot: str = "strap", radius: float = 0.02
) -> Surface:
    """Return a handle from left to right over the bag."""
    knots = [(-0.5, 0, 0), (-0.46, 0.6, 0), (0, 1, 0), (0.46, 0.6, 0), (0.5, 0, 0)]
    path = spline(np.multiply(knots, (width, rise, 1)) + (0, base, z), 32)
    return tube(path, radius, slot, flat=1.7, sides=10)


def _tote(draw: Random) -> list[Surface]:
    tall, flare = draw.uniform(0.66, 0.9), draw.uniform(1.0, 1.25)
    heights = np.asarray([0, 0, 0.05, tall * 0.6, tall])
    sections = zip((0.01, 0.94, 1, (1 + flare) / 2, flare), (0.01, 0.92, 1, 0.9, 0.6), heights, strict=True)
    rows = [
        superellipse(0.7 * wide, 0.26 * deep, exponent=6)[:, [0, 0, 1]] * (1, 0, -1) + (0, y, 0)
        for wide, deep, y in sections
    ]
    body = spline(np.reshape(rows, (len(rows), -1)), 30).reshape(30, -1, 3)
    rise = draw.uniform(0.36, 0.5)
    label = slab(superellipse(0.35, tall * 0.36, exponent=8), 0.03, "accent").move(y=tall * 0.42, z=0.12)
    return [
        Surface(body),
        Surface(body[::-1][:12] * (0.97, 1, 0.9), "lining", occlusion=0.5),
        *[_grip(0.35, tall - 0.1, rise, z, "accent") for z in (-0.07, 0.08)],
        *draw.choice(([], [label])),
    ]


def _handbag(draw: Random) -> list[Surface]:
    wide, tall = draw.uniform(0.8, 1.0), draw.uniform(0.5, 0.66)
    body = superellipsoid((wide, tall, 0.34), exponent=draw.choice((3.0, 4.0, 8.0)), bulge=5)
    rise, thick = draw.uniform(0.26, 0.46), draw.uniform(0.022, 0.036)
    outline = superellipse(wide * 0.94, tall * 0.62, exponent=draw.choice((2.5, 5.0)))
    flap = slab(outline, 0.04, draw.choice(("main", "accent"))).move(y=tall * 0.68, z=0.16)
    clasp = slab(superellipse(0.12, 0.09, 24, exponent=4), 0.04, draw.choice(("brass", "steel")))
    return [
        body.move(y=tall / 2),
        _grip(wide * 0.46, tall * 0.92, rise, 0, "accent", thick),
        *draw.choices(([], [flap]), (2, 3))[0],
        clasp.move(y=tall * 0.42, z=0.2),
    ]


def _backpack(draw: Random) -> list[Surface]:
    wide, tall, deep = size = draw.uniform(0.58, 0.7), draw.uniform(0.85, 1.0), 0.36
    body = superellipsoid(size, exponent=draw.choice((3.5, 5.0)), bulge=4)
    pocket_size = (wide * 0.78, tall * draw.uniform(0.34, 0.46), 0.2)
    pocket = superellipsoid(pocket_size, draw.choice(("main", "accent")), exponent=5, bulge=4)
    flap = slab(superellipse(wide * 0.98, tall * 0.42, exponent=4), 0.06, "accent")
    belt = slab(superellipse(0.045, tall * 0.4, 20, exponent=8), 0.03, "strap")
    belts = [belt.move(s * wide, tall * 0.6, deep * 0.6) for s in (-0.36, 0.36)]
    seam = [(-0.4, 0.55, 0.4), (-0.36, 0.85, 0.34), (0, 0.93, 0.3), (0.36, 0.85, 0.34), (0.4, 0.55, 0.4)]
    zip_ = tube(spline(np.multiply(seam, size), 30), 0.014, "dark", sides=8)
    knots = [(0.3, 0.95, -0.4), (0.58, 0.6, -0.62), (0.52, 0.12, -0.36)]
    straps = [spline(np.multiply(knots, (s, tall, deep)), 24) for s in (-wide, wide)]
    return [
        body.move(y=tall / 2),
        pocket.move(y=tall * 0.27, z=deep * 0.42),
        _grip(0.2, tall * 0.96, 0.13, -deep * 0.2, radius=0.022),
        *[tube(strap, 0.026, "strap", flat=2.0, up=(1, 0, 0)) for strap in straps],
        *draw.choice(([flap.move(y=tall * 0.8, z=deep * 0.43), *belts], [zip_])),
    ]


def _duffel(draw: Random) -> list[Surface]:
    r, half = draw.uniform(0.26, 0.32), 0.6
    roll = subdivide(rounded([(0.001, -half), (r, -half), (r, half), (0.001, half)], 0.1))
    end = slab(superellipse(r * 1.9, r * 1.9), 0.03, "accent").rotate("y", 90)
    belts = [arc(r * 1.02, plane="yz", center=(x, r, 0)) for x in (-half * 0.42, half * 0.42)]
    zip_ = np.linspace((-half * 0.85, 2 * r + 0.004, 0), (half * 0.85, 2 * r + 0.004, 0), 12)
    return [
        lathe(roll, sides=48).rotate("z", 90).move(y=r),
        *[tube(belt, 0.018, "strap", flat=2.4, up=(1, 0, 0), closed=True) for belt in belts],
        *[_grip(half * 0.84, r * 1.9, 0.26, z) for z in (-0.1, 0.1)],
        tube(zip_, 0.014, "dark", sides=8),
        *[end.move(x, r) for x in (-half - 0.002, half + 0.002)],
    ]


def _crossbody(draw: Random) -> list[Surface]:
    wide, tall = draw.uniform(0.7, 0.86), draw.uniform(0.46, 0.6)
    exponent = draw.choice((2.6, 5.0, 9.0))
    body = superellipsoid((wide, tall, 0.24), exponent=exponent, bulge=5)
    outline = superellipse(wide * 0.97, tall * draw.uniform(0.6, 0.85), exponent=exponent)
    flap = slab(outline, 0.05, draw.choice(("main", "accent")))
    strap = _grip(wide * 0.9, tall * 0.8, draw.uniform(0.55, 0.8), -0.02, radius=0.016)
    clasp = superellipsoid((0.1, 0.1, 0.05), draw.choice(("brass", "steel")), exponent=3, steps=10)
    return [body.move(y=tall / 2), flap.move(y=tall * 0.64, z=0.11), strap, clasp.move(y=tall * 0.34, z=0.15)]


_BAGS = {"tote": _tote, "hand": _handbag, "back": _backpack, "duffel": _duffel, "cross": _crossbody}


def bag(draw: Random, kind: str) -> list[Surface]:
    """Totes, handbags, backpacks, duffels and cross-body bags."""
    return _BAGS[kind](draw)


_LASTS = {  # thickness of the sole, height of the collar, length and width of its opening
    "trainer": ((0.07, 0.12), (0.28, 0.32), (0.34, 0.17)),
    "high": ((0.07, 0.08), (0.44, 0.5), (0.3, 0.17)),
    "boot": ((0.07, 0.1), (0.55, 0.8), (0.32, 0.2)),
    "loafer": ((0.05, 0.06), (0.22, 0.25), (0.5, 0.17)),
    "slip": ((0.05, 0.07), (0.23, 0.27), (0.44, 0.17)),
}


def shoe(draw: Random, kind: str) -> list[Surface]:
    """Trainers, high-tops, boots, loafers and slip-ons.

    The footprint and every row of the upper run from the heel along +z to the toe and back along -z.
    """
    sole, collar, opening = _LASTS[kind]
    under, width = draw.uniform(*sole), draw.uniform(0.95, 1.12)
    sharp = 0.03 if kind == "loafer" else 0.0
    knots = [(-0.5, 0), (-0.46, 0.1), (-0.3, 0.125), (-0.05, 0.115), (0.2, 0.165)]
    half = spline([*knots, (0.38, 0.135 - sharp), (0.48, 0.06 - sharp * 0.67), (0.5, 0.0)], 29)
    foot = np.concatenate([half, half[-2::-1] * (1, -1)]) * (1, width)  # [57, 2] of (x, z)
    body = _upper(foot, under, draw.uniform(*collar), opening, draw.uniform(0.13, 0.18), kind == "boot")
    rim, middle = body[-1], body[-1].mean(0)
    well = [rim, (rim - middle) * (0.8, 1, 0.75) + middle - (0, 0.07, 0), 0 * rim + middle - (0, 0.08, 0)]
    trim = tube(rim, 0.012 if kind == "loafer" else 0.02, draw.choice(("accent", "main")), sides=10,
                up=(0, 1, 0), closed=True)  # fmt: skip
    parts = [Surface(body), Surface(np.asarray(well), "lining", occlusion=0.5), trim]
    parts += _sole(draw, kind, foot, under)
    toe, count = body.shape[1] // 2, body.shape[1]
    if kind in ("trainer", "high", "boot"):
        slot = draw.choice(("white", "accent", "dark"))
        for row in np.linspace(9, 21, 7 if kind == "high" else draw.randint(4, 6)).astype(int):
            left, right = body[row, [toe - 5, toe + 5]] * (1, 1, 1.05)
            lace = spline([left, body[row, toe] + (0.01, 0.02, 0), right], 12)
            parts.append(tube(lace, 0.013, slot, sides=8, up=(1, 0, 0)))
    if kind in ("trainer", "high"):
        if draw.random() < 0.5:
            cap = body[1:7, toe - 12 : toe + 13] * (1.012, 1.012, 1.03)
            parts.append(Surface(cap, draw.choice(("accent", "white"))))
        slant = np.linspace(0, -0.12, 13)[:, None] * (1, 0, 0)
        for k in range(draw.choice((0, 0, 1, 2, 3))):
            for column in (11 + 2 * k, count - 12 - 2 * k):
                path = (body[3:16, column] + slant) * (1, 1, 1.06)
                parts.append(tube(path, 0.013, "accent", flat=1.5, up=(1, 0, 0), sides=8))
    elif kind == "loafer":
        band = body[9, toe - 16 : toe + 17] * (1, 1.03, 1.04)
        parts.append(tube(band, 0.02, "accent", flat=2.2, up=(1, 0, 0.01)))
    return parts


def _upper(
    foot: Array, under: float, collar: float, opening: tuple[float, float], toe: float, boot: bool
) -> Array:
    """Return rows ``[24, 57, 3]`` from footprint to collar; the toe stays low, the heel rises straight."""
    center = -0.47 + opening[0] / 2
    rim = arc((opening[0] / 2, opening[1] / 2), (180, -180), center=(center, 0, 0), count=len(foot))[:, :2]
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


def _sole(draw: Random, kind: str, foot: Array, under: float) -> list[Surface]:
    tailored = kind in ("boot", "loafer")
    slot = draw.choice(
        ("rubber", "rubber", "cork" if tailored else "white", "dark" if tailored else "accent")
    )
    sole = slab(foot * 1.04, under, slot, bevel=min(0.03, under * 0.45)).rotate("x", 90)
    if tailored:
        heel = foot[foot[:, 0] < -0.2]
        heel = slab(np.concatenate([heel, heel[:1]]) * 1.03, 0.07, slot, bevel=0.015).rotate("x", 90)
        return [sole.move(y=under / 2 + 0.05), heel.move(y=0.035)]
    stripe = slab(foot * 1.05, under * 0.3, "accent", bevel=0.01).rotate("x", 90).move(y=under * 0.45)
    return [sole.move(y=under / 2), *draw.choices(([], [stripe]), (2, 1))[0]]


def shirt(draw: Random, kind: str) -> list[Surface]:
    """T-shirts, long sleeves, tanks, polos and hoodies before a wall, worn by nobody.

    Rows of the body run from the hem up, columns from the back round by the front.
    """
    hem, chest, long = draw.uniform(0.6, 0.76), draw.uniform(0.68, 0.76), draw.uniform(0.98, 1.12)
    body = _torso(hem, chest, long, draw.uniform(0.22, 0.28))
    front, middle, neck = body * (1, 1, 1.05) + (0, 0, 0.006), body.shape[1] // 2, body[-1]
    lining = Surface(body[::-1][:10] * (0.97, 1, 0.9), "lining", occlusion=0.45)
    parts = [Surface(body), _hem(neck, 0.018, (0, 1, 0), draw.choice(("accent", "main"))), lining]
    if kind == "tank":
        hole = superellipse(0.17, 0.3, 32)
        height = long * 0.79 + hole[:, 1] - 0.3 * np.abs(hole[:, 0])
        out = chest * 0.468 - 0.06 * np.clip((height - long * 0.72) * 8, 0, 1)
        parts += [_hem(np.stack([s * out, height, hole[:, 0]], 1), 0.016, (1, 0, 0)) for s in (-1, 1)]
    else:
        parts += _sleeves(draw, kind, chest, long)
    if kind == "hoodie":
        hood = lathe(spline([(0.2, 0), (0.27, 0.1), (0.2, 0.24), (0.001, 0.3)], 20), sides=40)
        top, knot = neck[:, 1].max() - 0.14, neck[middle, 1] - 0.01
        cords = [np.linspace((x, knot, 0.13), (x, knot - 0.25, 0.17), 6) for x in (-0.06, 0.06)]
        pocket = Surface(front[5:13, middle - 11 : middle + 12] * (1, 1, 1.03))
        parts += [hood.rotate("x", -42).move(y=top, z=-0.1), pocket]
        parts += [tube(cord, 0.008, "white", sides=6) for cord in cords]
    elif kind == "polo":
        flap = np.stack([neck * (1.02, 1, 1.05), neck * (1.25, 1, 1.3), neck * (1.55, 1, 1.5)])
        flap += np.asarray([(0, 0, 0), (0, 0.045, 0), (0, -0.05, 0)])[:, None]
        button = superellipsoid((0.022, 0.022, 0.012), "white", steps=6)
        parts += [Surface(front[20:29, middle - 2 : middle + 3], "accent"), Surface(flap, "accent")]
        parts += [button.move(*front[row, middle]) for row in (22, 25)]
    else:
        outline = superellipse(0.24, 0.24, 40, exponent=draw.choice((2.0, 1.2, 6.0)))
        badge = slab(outline, 0.008, "accent", bevel=0.003).move(0, *front[19, middle, 1:])
        pocket = Surface(front[18:24, middle + 5 : middle + 13], "accent")
        block = Surface(body[14:20] * (1.015, 1, 1.03), "accent")
        parts += draw.choices(([], [pocket], [badge], [block]), (3, 1, 1.5, 1.5))[0]
    behind = min(part.points[..., 2].min() for part in parts)
    return [part.move(z=0.02 - behind) for part in parts]  # off the wall


def _hem(edge: Array, radius: float, up: tuple[float, float, float], slot: str = "accent") -> Surface:
    return tube(edge, radius, slot, sides=10, up=up, closed=True)


def _torso(hem: float, chest: float, long: float, opening: float) -> Array:
    """Return the body of a shirt in rows ``[30, 65, 3]``."""
    angle = np.linspace(-np.pi, np.pi, 65)
    u = np.linspace(0, 1, 30)[:, None]
    wide = np.interp(
        u, (0, 0.35, 0.8, 0.92, 1), (hem, (hem + chest) / 2 - 0.03, chest, chest * 0.82, opening)
    )
    deep = np.interp(u, (0, 0.7, 0.9, 1), (0.3, 0.32, 0.26, 0.2))
    crease = 1 + 0.035 * (1 - u) * np.sin(7 * angle + 2 * u) + 0.012 * np.sin(13 * angle - 5 * u)
    x, z = np.sin(angle) * wide / 2 * crease, np.cos(angle) * deep / 2 * crease
    front = np.clip(np.cos(angle), 0, 1) * np.maximum(0, u - 0.8) / 0.2
    shoulder = 0.06 * np.clip(np.abs(x) / 0.34, 0, 1) * np.clip((u - 0.75) * 4, 0, 1)
    return np.stack([x, u * long - 0.07 * front - shoulder, z], -1)


def _sleeves(draw: Random, kind: str, chest: float, long: float) -> list[Surface]:
    reach = 0.62 if kind in ("long", "hoodie") else draw.uniform(0.22, 0.3)
    slot = draw.choice(("main", "main", "accent"))
    cuffs = kind in ("long", "hoodie", "polo") or draw.random() < 0.3
    taper = np.linspace(0.105, 0.118 if reach < 0.5 else 0.072, 18)
    shoulder = np.asarray((chest * 0.27, long * 0.845, 0))
    hand = shoulder + (0.17 + reach * 0.32, -0.06 - reach * 0.9, 0.03)
    path = spline([shoulder, shoulder + (0.13, -0.075, 0), hand], 18)
    paths = [path * (s, 1, 1) for s in (-1, 1)]
    ends = [path[-3:] + (path[-1] - path[-2]) * 0.5 for path in paths if cuffs]
    return [
        *[tube(path, taper, slot, sides=24, flat=0.85) for path in paths],
        *[tube(end, taper[-1] * 1.03, "accent", sides=24, flat=0.85) for end in ends],
    ]


def watch(draw: Random, kind: str) -> list[Surface]:
    """Round, square, chronograph and smart watches on a strap, links or a band, standing as a loop."""
    r = draw.uniform(0.27, 0.36)
    strap = _strap(draw, r * draw.uniform(0.5, 0.66))
    if kind in ("round", "chrono"):
        case = [(0.001, -0.07), (r * 0.9, -0.07), (r, -0.03), (r, 0.05), (r * 0.88, 0.1), (r * 0.84, 0.085)]
        parts = [lathe(rounded(case, 0.02), "case").rotate("x", 90)]
        face = superellipse(1.72 * r, 1.72 * r, 56)
    else:
        outline = superellipse(1.84 * r, 2.1 * r, 56, exponent=5 if kind == "square" else 4)
        parts = [slab(outline, 0.17, "case", bevel=0.06)]
        face = outline * 0.84
    parts.append(slab(face, 0.02, "dark" if kind == "smart" else "main", bevel=0.004).move(z=0.085))
    if kind == "smart":
        for i, color in enumerate(draw.sample(("accent", "red", "green", "brass"), 3)):
            progress = arc(
                r * (0.6 - 0.15 * i), (30, 30 + draw.uniform(180, 320)), center=(0, 0, 0.1), count=30
            )
            parts.append(tube(progress, 0.02, color, sides=8))
    else:
        parts += dial(draw, r * 0.78, 0.1, draw.choice(("ink", "white", "steel")))
    crowns: tuple[float, ...] = (0.0,)
    if kind == "chrono":
        crowns = (0.0, 0.55, -0.55)
        small = slab(superellipse(r * 0.36, r * 0.36, 24), 0.012, "case")
        parts += [small.move(x * r, y * r, 0.096) for x, y in ((0.4, 0), (-0.4, 0), (0, -0.4))]
    crown = lathe(rounded([(0.001, 0), (0.035, 0), (0.035, 0.06), (0.001, 0.06)], 0.01), "case", sides=16)
    parts += [crown.rotate("z", -90).move(r * 0.95, y * r) for y in crowns]
    return [strap, *[part.rotate("x", -6).move(y=0.62, z=0.02) for part in parts]]


def _strap(draw: Random, half_width: float) -> Surface:
    """Return a loop behind the watch, narrower at the back."""
    links = draw.choice(("leather", "links", "band")) == "links"
    path = arc((0.46, 0.62), plane="zy", center=(0, 0.62, -0.46), count=72)
    loop = tube(path, 1.0, "steel" if links else "accent", sides=20, up=(1, 0, 0), closed=True)
    section = loop.points - path[:, None]
    section = np.sign(section) * np.abs(section) ** 0.55  # from an ellipse to a flat band with round edges
    thick = 0.034 + 0.009 * (np.arange(72) % 2) if links else np.full(72, 0.03)
    width = half_width * (0.82 + 0.18 * np.cos(np.linspace(0, 2 * np.pi, 72)))
    return Surface(path[:, None] + section * np.stack([width, thick, thick], 1)[:, None], loop.slot)


SHAPES: dict[str, Callable[[Random, str], list[Surface]]] = {
    function.__name__: function
    for function in (mug, teapot, bottle, vase, lamp, chair, cushion, clock, bag, shoe, shirt, watch)
}
