"""Surfaces in three dimensions: the primitives that every drawn product is made of.

A surface is a grid of points, so that normals, texture coordinates and triangles follow by rule.
Axes: x to the right, y up, z towards the viewer; the floor is y = 0. Units: about one per object.

    M, N = rows and columns of a grid; the outside of a surface is where d/dN x d/dM points

Does not know: colours, light, or what is being built.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """One grid of points and the name of what it is made of."""

    points: Array  # [M, N, 3]
    slot: str = "main"
    """Which of the product's materials covers it."""
    uv: Array | None = None  # [M, N, 2], in the units of ``points``; None: arc length along both axes
    occlusion: Array | float = 1.0  # [M, N] or scalar: share of ambient light that reaches it
    solid: bool = True
    """False: both sides are seen (cloth, a leaf); True: the back is never in view."""


@dataclass
class Shape:
    """All surfaces of one object, and where it stands."""

    surfaces: list[Surface] = field(default_factory=list)
    stage: str = "floor"
    """``floor``: stands on y = 0; ``wall``: hangs in front of z = 0."""
    yaw: tuple[float, float] = (-35.0, 35.0)
    """Range of turns, in degrees, from which a photographer would take it."""
    pitch: tuple[float, float] = (6.0, 30.0)
    """Range of camera elevation, in degrees."""

    def add(self, *surfaces: Surface) -> None:
        """Append surfaces."""
        self.surfaces.extend(surfaces)


@lru_cache(maxsize=64)
def _circle(count: int) -> tuple[Array, Array]:
    angle = np.linspace(0, 2 * np.pi, count + 1, dtype=np.float32)
    return np.cos(angle), np.sin(angle)


def curve(knots: Array | Sequence[Sequence[float] | Array], count: int = 32) -> Array:
    """Return ``count`` points ``[count, D]`` of the Catmull-Rom spline through ``knots``."""
    k = np.asarray(knots, np.float32)
    padded = np.concatenate([2 * k[:1] - k[1:2], k, 2 * k[-1:] - k[-2:-1]])
    t = np.linspace(0, len(k) - 1, count, dtype=np.float32)
    i = np.minimum(t.astype(np.int32), len(k) - 2)
    f = (t - i)[:, None]
    p0, p1, p2, p3 = (padded[i + j] for j in range(4))
    result: Array = 0.5 * (
        2 * p1 + (p2 - p0) * f + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2 + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    )
    return result


def rounded(corners: Sequence[Point], radius: float, steps: int = 5, *, closed: bool = False) -> Array:
    """Return a polyline ``[K, 2]`` through ``corners``, each inner corner replaced by a small arc."""
    c = [np.asarray(p, np.float32) for p in corners]
    result = [] if closed else [c[0]]
    for i in range(0 if closed else 1, len(c) if closed else len(c) - 1):
        before, at, after = c[i - 1], c[i], c[(i + 1) % len(c)]
        a, b = before - at, after - at
        reach = min(radius, float(np.hypot(*a)) * 0.49, float(np.hypot(*b)) * 0.49)
        start, end = at + a / max(np.hypot(*a), 1e-6) * reach, at + b / max(np.hypot(*b), 1e-6) * reach
        for t in np.linspace(0, 1, steps + 1):
            result.append((1 - t) ** 2 * start + 2 * t * (1 - t) * at + t**2 * end)
    result.append(result[0] if closed else c[-1])
    return np.asarray(result, np.float32)


def dense(path: Array | Sequence[Sequence[float]], longest: float = 0.07) -> Array:
    """Return the polyline ``[K, D]`` with points added so that no piece is longer than ``longest``."""
    p = np.asarray(path, np.float32)
    pieces = np.maximum(1, np.ceil(np.linalg.norm(np.diff(p, axis=0), axis=1) / longest)).astype(int)
    parts = [
        p[i] + (p[i + 1] - p[i]) * (np.arange(n, dtype=np.float32) / n)[:, None] for i, n in enumerate(pieces)
    ]
    return np.concatenate([*parts, p[-1:]])


def lathe(
    profile: Array | Sequence[Point],
    slot: str = "main",
    *,
    sides: int = 64,
    ribs: tuple[int, float] = (0, 0.0),
    occlusion: float = 1.0,
) -> Surface:
    """Turn ``profile`` ``[M, 2]`` of (radius, height), from the bottom up, about the y axis.

    ``ribs`` is (how many, how deep as a share of the radius). A profile that runs downwards is seen from
    within, as the inside of a cup.
    """
    p = np.asarray(profile, np.float32)
    cos, sin = _circle(sides)
    radius = p[:, :1] * np.ones_like(cos)
    if ribs[0]:
        angle = np.linspace(0, 2 * np.pi, sides + 1, dtype=np.float32)
        radius = radius * (1 + ribs[1] * np.cos(ribs[0] * angle))
    height = np.broadcast_to(p[:, 1:], radius.shape)
    points = np.stack([-radius * sin, height, -radius * cos], -1)  # the seam is behind
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))]).astype(np.float32)
    around = np.linspace(0, 2 * np.pi, sides + 1, dtype=np.float32) * float(p[:, 0].max())
    uv = np.stack(np.broadcast_arrays(around[None], length[:, None]), -1)
    return Surface(points.astype(np.float32), slot, uv, occlusion)


def tube(
    path: Array | Sequence[Sequence[float]],
    radius: float | Sequence[float] | Array,
    slot: str = "main",
    *,
    sides: int = 14,
    flat: float = 1.0,
    up: tuple[float, float, float] = (0.0, 0.0, 1.0),
) -> Surface:
    """Sweep an ellipse along ``path`` ``[M, 3]``, ends closed.

    ``radius`` is one number or one per point; ``flat`` stretches the section along ``up``.
    """
    p = np.asarray(path, np.float32)
    r = np.broadcast_to(np.asarray(radius, np.float32), len(p))
    ahead = np.gradient(p, axis=0)
    p = np.concatenate([p[:1], p, p[-1:]])
    ahead = np.concatenate([ahead[:1], ahead, ahead[-1:]])
    r = np.concatenate([[1e-4], r, [1e-4]]).astype(np.float32)[:, None, None]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    side = np.cross(ahead, np.asarray(up, np.float32))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    other = np.cross(ahead, side)
    cos, sin = _circle(sides)
    section = side[:, None] * cos[None, :, None] + other[:, None] * (flat * sin[None, :, None])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    around = np.linspace(0, 2 * np.pi, sides + 1) * float(r.max())
    along, across = np.broadcast_arrays(length[:, None], around[None])
    uv = (along, across) if slot == "wood" else (across, along)  # grain runs along a stick, stripes around it
    return Surface((p[:, None] + r * section).astype(np.float32), slot, np.stack(uv, -1).astype(np.float32))


def rod(
    a: Sequence[float], b: Sequence[float], radii: tuple[float, float], slot: str = "main", *, sides: int = 12
) -> Surface:
    """Return a straight stick from ``a`` to ``b``, thick ``radii`` at its ends."""
    t = np.linspace(0, 1, 8)
    path = np.asarray(a) + (np.asarray(b) - np.asarray(a)) * t[:, None]
    up = (1.0, 0.0, 0.0) if abs(b[2] - a[2]) > abs(b[0] - a[0]) else (0.0, 0.0, 1.0)
    return tube(path, radii[0] + (radii[1] - radii[0]) * t, slot, sides=sides, up=up)


def ring(
    path: Array | Sequence[Sequence[float]],
    radius: float,
    slot: str = "main",
    *,
    sides: int = 10,
    flat: float = 1.0,
    up: tuple[float, float, float] = (0.0, 1.0, 0.0),
) -> Surface:
    """Sweep an ellipse along a closed ``path`` ``[M, 3]`` whose last point is its first; see :func:`tube`."""
    p = np.asarray(path, np.float32)
    wrapped = tube(np.concatenate([p[-3:-1], p, p[1:3]]), radius, slot, sides=sides, flat=flat, up=up)
    assert wrapped.uv is not None
    return replace(wrapped, points=wrapped.points[3:-3], uv=wrapped.uv[3:-3])


def slab(
    outline: Array, thickness: float, slot: str = "main", *, bevel: float = 0.02, rings: int = 4
) -> Surface:
    """Return a plate in the x-y plane: ``outline`` ``[N, 2]``, closed, star-shaped about its middle.

    Lies between z = -thickness/2 and thickness/2; ``bevel`` rounds its edges.
    """
    o = np.asarray(outline, np.float32)
    area = np.sum(o[:-1, 0] * o[1:, 1] - o[1:, 0] * o[:-1, 1])
    o = o if area > 0 else o[::-1]
    middle = (o.max(0) + o.min(0)) / 2
    reach = float(np.abs(o - middle).max())
    half = thickness / 2
    bevel = min(bevel, half * 0.98, reach * 0.5)
    steps: list[tuple[float, float]] = [
        (s, -half) for s in np.linspace(0.001, 1 - 1.3 * bevel / reach, rings)
    ]
    for t in np.linspace(0, np.pi / 2, 4):
        steps.append((1 - bevel / reach * (1 - np.sin(t)), -half + bevel * (1 - np.cos(t))))
    steps += [(s, -z) for s, z in reversed(steps)]
    points = np.empty((len(steps), len(o), 3), np.float32)
    for row, (scale, z) in enumerate(steps):
        points[row, :, :2] = middle + (o - middle) * scale
        points[row, :, 2] = z
    return Surface(points, slot, np.ascontiguousarray(points[..., :2]))


def pillow(
    size: tuple[float, float, float],
    slot: str = "main",
    *,
    square: float = 4.0,
    bulge: float = 2.0,
    steps: int = 28,
) -> Surface:
    """Return a closed, puffed body of the given width, height and depth, centred on the origin.

    ``square`` is the exponent of its outline seen from the front (2 an ellipse, 8 nearly a rectangle),
    ``bulge`` of its thickness (2 a lens, 6 a box).
    """
    cos, sin = _circle(2 * steps)
    outline = np.stack([_power(cos, 2 / square), _power(sin, 2 / square)], -1)
    lift = np.linspace(-np.pi / 2, np.pi / 2, steps + 1, dtype=np.float32)
    shrink, z = np.maximum(_power(np.cos(lift), 2 / bulge), 1e-3), _power(np.sin(lift), 2 / bulge)
    points = np.concatenate(
        [shrink[:, None, None] * outline[None], np.broadcast_to(z[:, None, None], (len(z), len(cos), 1))], -1
    ) * (np.asarray(size, np.float32) / 2)
    points = points.astype(np.float32)
    return Surface(points, slot, np.ascontiguousarray(points[..., :2]))


def _power(x: Array, exponent: float) -> Array:
    result: Array = np.sign(x) * np.abs(x) ** np.float32(exponent)
    return result


def loft(sections: Sequence[Array] | Array, slot: str = "main", *, solid: bool = True) -> Surface:
    """Join ``sections`` ``[M][N, 3]``, each a row of points, into one skin."""
    return Surface(np.asarray(sections, np.float32), slot, solid=solid)


def ellipse(width: float, height: float, count: int = 48, *, square: float = 2.0) -> Array:
    """Return a closed outline ``[count + 1, 2]``; ``square`` above 2 makes it more of a rectangle."""
    cos, sin = _circle(count)
    return np.stack([_power(cos, 2 / square) * width / 2, _power(sin, 2 / square) * height / 2], -1)


def move(surface: Surface, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Surface:
    """Return the surface shifted."""
    return replace(surface, points=surface.points + np.asarray((x, y, z), np.float32))


def turn(surface: Surface, axis: str, degrees: float) -> Surface:
    """Return the surface turned about an axis through the origin, counter-clockwise seen from its tip."""
    return replace(surface, points=surface.points @ rotation(axis, degrees).T)


def scale(surface: Surface, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Surface:
    """Return the surface stretched by positive factors."""
    return replace(surface, points=surface.points * np.asarray((x, y, z), np.float32))


def rotation(axis: str, degrees: float) -> Array:
    """Return the rotation matrix ``[3, 3]`` about ``x``, ``y`` or ``z``."""
    a = np.deg2rad(degrees)
    c, s = np.cos(a), np.sin(a)
    rows = {
        "x": ((1, 0, 0), (0, c, -s), (0, s, c)),
        "y": ((c, 0, s), (0, 1, 0), (-s, 0, c)),
        "z": ((c, -s, 0), (s, c, 0), (0, 0, 1)),
    }
    return np.asarray(rows[axis], np.float32)
