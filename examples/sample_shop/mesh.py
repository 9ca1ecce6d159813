"""Surfaces in three dimensions, and the triangle mesh they make together.

A surface is a grid of points, so that its normals, texture coordinates and triangles follow by rule.
Axes: x to the right, y up, z towards the viewer; the floor is y = 0. Units: about one per object.

    M, N = rows and columns of a grid, whose outside is where d/dN x d/dM points
    V, F = vertices, triangles of a mesh
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Surface:
    """One grid of points and the material slot that covers it."""

    points: Array  # [M, N, 3]
    slot: str = "main"
    uv: Array | None = None  # [M, N, 2], in the units of ``points``; None: arc length along both axes
    occlusion: Array | float = 1.0  # [M, N] or scalar: share of ambient light that reaches it

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Surface":
        """Return the surface shifted."""
        return replace(self, points=self.points + np.asarray((x, y, z), np.float32))

    def rotate(self, axis: str, degrees: float) -> "Surface":
        """Return the surface rotated about an axis through the origin, by the right-hand rule."""
        return replace(self, points=self.points @ rotation(axis, degrees).T)


def rotation(axis: str, degrees: float) -> Array:
    """Return the rotation matrix ``[3, 3]`` about ``x``, ``y`` or ``z``."""
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix().astype(np.float32)


@dataclass(frozen=True)
class Mesh:
    """Vertices and triangles of a whole object."""

    points: Array  # [V, 3]
    normals: Array  # [V, 3], unit, outward
    uv: Array  # [V, 2]
    occlusion: Array  # [V]
    slot: NDArray[np.int32]  # [V], index into the list of slots
    faces: NDArray[np.int32]  # [F, 3]


def assemble(surfaces: Sequence[Surface], slots: Sequence[str]) -> Mesh:
    """Join ``surfaces`` into one mesh; the position of a slot in ``slots`` is its number."""
    parts, start = [], 0
    for surface in surfaces:
        points = surface.points.astype(np.float32)
        m, n = points.shape[:2]
        corner = start + np.arange(m * n, dtype=np.int32).reshape(m, n)[:-1, :-1].ravel()
        faces = np.stack([corner, corner + 1, corner + n + 1, corner, corner + n + 1, corner + n], -1)
        uv = surface.uv
        if uv is None:  # arc lengths along the middle row and a quarter column
            uv = np.stack(np.meshgrid(_lengths(points[m // 2]), _lengths(points[:, n // 4])), -1)
        occlusion = np.broadcast_to(np.float32(surface.occlusion), (m, n))
        slot = np.full(m * n, slots.index(surface.slot), np.int32)
        flat = (points.reshape(-1, 3), _normals(points).reshape(-1, 3), uv.reshape(-1, 2), occlusion.ravel())
        parts.append((*flat, slot, faces.reshape(-1, 3)))
        start += m * n
    return Mesh(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _normals(points: Array) -> Array:
    """Return the unit normals ``[M, N, 3]`` of a grid."""
    along, across = np.gradient(points, axis=(0, 1))
    if np.abs(points[:, 0] - points[:, -1]).max() < 1e-5:  # closed around: both sides of the seam agree
        across[:, 0] = across[:, -1] = points[:, 1] - points[:, -2]
    normals = np.cross(across, along)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    good = np.flatnonzero(length.max((1, 2)) > 2.5e-8)  # a row shrunk to a point takes its neighbour's
    nearest = good[np.abs(np.arange(len(points))[:, None] - good).argmin(1)]
    return (normals / (length + 1e-12))[nearest]


def _lengths(path: Array) -> Array:
    """Return how far along ``path`` ``[K, D]`` each of its points lies, ``[K]``."""
    steps = np.linalg.norm(np.diff(path, axis=0, prepend=path[:1]), axis=1)
    return np.cumsum(steps).astype(np.float32)


# Paths: lists of points, [K, 2] or [K, 3].


def spline(knots: ArrayLike, count: int = 32) -> Array:
    """Return ``count`` points ``[count, D]`` of the Catmull-Rom spline through ``knots``."""
    k = np.asarray(knots, np.float32)
    through = CubicHermiteSpline(np.arange(len(k)), k, np.gradient(k, axis=0))
    return np.asarray(through(np.linspace(0, len(k) - 1, count)), np.float32)


def rounded(corners: ArrayLike, radius: float) -> Array:
    """Return a polyline ``[K, D]`` through ``corners``, each inner corner replaced by a small arc."""
    c = np.asarray(corners, np.float32)
    t = np.linspace(0, 1, 6, dtype=np.float32)[:, None]
    arcs = []
    for before, at, after in zip(c, c[1:], c[2:], strict=False):
        a, b = before - at, after - at
        lengths = np.linalg.norm(a), np.linalg.norm(b)
        reach = min(radius, 0.49 * min(lengths))
        start, end = at + a / lengths[0] * reach, at + b / lengths[1] * reach
        arcs.append((1 - t) ** 2 * start + 2 * t * (1 - t) * at + t**2 * end)
    return np.concatenate([c[:1], *arcs, c[-1:]])


def subdivide(path: ArrayLike, longest: float = 0.07) -> Array:
    """Return the polyline ``[K, D]`` with points added so that no piece is longer than ``longest``."""
    p = np.asarray(path, np.float32)
    at = _lengths(p)
    every = np.union1d(at, np.arange(0, at[-1], longest, np.float32))
    return np.stack([np.interp(every, at, axis) for axis in p.T], -1).astype(np.float32)


def superellipse(width: float, height: float, count: int = 48, *, exponent: float = 2.0) -> Array:
    """Return a closed outline ``[count + 1, 2]``: exponent 2 is an ellipse, 8 nearly a rectangle."""
    angle = np.linspace(0, 2 * np.pi, count + 1, dtype=np.float32)
    return np.stack(
        [_power(np.cos(angle), 2 / exponent) * width / 2, _power(np.sin(angle), 2 / exponent) * height / 2],
        -1,
    )


def _power(x: Array, exponent: float) -> Array:
    return np.sign(x) * np.abs(x) ** np.float32(exponent)


def arc(
    radius: float | tuple[float, float],
    degrees: tuple[float, float] = (0, 360),
    *,
    plane: str = "xy",
    center: tuple[float, float, float] = (0, 0, 0),
    count: int = 48,
) -> Array:
    """Return ``count`` points ``[count, 3]`` of a circle or ellipse in ``plane``.

    ``radius`` may differ along the plane's two axes; 0 degrees lies on the first of them.
    """
    angle = np.deg2rad(np.linspace(*degrees, count))
    points = np.zeros((count, 3), np.float32)
    points[:, ["xyz".index(axis) for axis in plane]] = np.stack([np.cos(angle), np.sin(angle)], 1) * radius
    return points + np.asarray(center, np.float32)


# Primitives.


def lathe(
    profile: ArrayLike, slot: str = "main", *, sides: int = 64, ribs: tuple[float, ...] = (0, 0.0, 0.0)
) -> Surface:
    """Rotate ``profile`` ``[M, 2]`` of (radius, height), from the bottom up, about the y axis.

    ``ribs`` is (how many, how deep as a share of the radius, radians that they twist per unit of height).
    A profile that runs downwards is seen from within, as the inside of a cup.
    """
    p = np.asarray(profile, np.float32)
    angle = np.linspace(0, 2 * np.pi, sides + 1, dtype=np.float32)
    count, depth, twist = ribs
    radius, height = p[:, :1], np.repeat(p[:, 1:], sides + 1, axis=1)
    radius = radius * (1 + depth * np.cos(count * (angle - twist * height)))
    points = np.stack([-radius * np.sin(angle), height, -radius * np.cos(angle)], -1)  # the seam is behind
    return Surface(points, slot, np.stack(np.meshgrid(angle * p[:, 0].max(), _lengths(p)), -1))


def tube(
    path: ArrayLike,
    radius: float | Array,
    slot: str = "main",
    *,
    sides: int = 14,
    flat: float = 1.0,
    up: tuple[float, float, float] = (0.0, 0.0, 1.0),
    closed: bool = False,
) -> Surface:
    """Sweep an ellipse along ``path`` ``[K, 3]``.

    ``radius`` is one number or one per point; ``flat`` stretches the section along ``up``. The ends are
    capped, or joined where the path is ``closed``: its last point is its first.
    """
    p = np.asarray(path, np.float32)
    r = np.broadcast_to(np.float32(radius), len(p))
    ahead = np.gradient(p, axis=0)
    if closed:
        ahead[0] = ahead[-1] = p[1] - p[-2]
    else:  # a last ring shrunk to a point at either end
        p, ahead = (np.concatenate([a[:1], a, a[-1:]]) for a in (p, ahead))
        r = np.concatenate([[1e-4], r, [1e-4]]).astype(np.float32)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9
    side = np.cross(ahead, np.asarray(up, np.float32))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    angle = np.linspace(0, 2 * np.pi, sides + 1, dtype=np.float32)[None, :, None]
    section = side[:, None] * np.cos(angle) + np.cross(ahead, side)[:, None] * (flat * np.sin(angle))
    across, along = np.meshgrid(angle * r.max(), _lengths(p))
    uv = (along, across) if slot == "wood" else (across, along)  # grain runs along a stick, stripes around it
    return Surface(p[:, None] + r[:, None, None] * section, slot, np.stack(uv, -1))


def rod(
    start: Sequence[float],
    end: Sequence[float],
    radii: tuple[float, float],
    slot: str = "main",
    *,
    sides: int = 12,
) -> Surface:
    """Return a straight stick, thick ``radii`` at its ends."""
    up = (1.0, 0.0, 0.0) if abs(end[2] - start[2]) > abs(end[0] - start[0]) else (0.0, 0.0, 1.0)
    return tube(np.linspace(start, end, 8), np.linspace(*radii, 8), slot, sides=sides, up=up)


def slab(outline: Array, thickness: float, slot: str = "main", *, bevel: float = 0.02) -> Surface:
    """Return a plate in the x-y plane: ``outline`` ``[N, 2]``, closed, star-shaped about its middle.

    Lies between z = -thickness/2 and thickness/2; ``bevel`` rounds its edges.
    """
    half, reach = thickness / 2, np.ptp(outline, axis=0).max() / 2
    bevel = min(bevel, half * 0.98, reach * 0.5)
    t = np.linspace(0, np.pi / 2, 4)
    edge, flat = 1 - bevel / reach * (1 - np.sin(t)), np.linspace(0.001, 1 - 1.3 * bevel / reach, 4)
    scale, depth = np.append(flat, edge), np.append(np.full(4, -half), -half + bevel * (1 - np.cos(t)))
    return _inflate(outline, np.append(scale, scale[::-1]), np.append(depth, -depth[::-1]), slot)


def superellipsoid(
    size: tuple[float, float, float],
    slot: str = "main",
    *,
    exponent: float = 2.0,
    bulge: float = 2.0,
    steps: int = 28,
) -> Surface:
    """Return a closed, puffed body of the given width, height and depth about the origin (Barr 1981).

    ``exponent`` is of its outline seen from the front (2 an ellipse, 8 nearly a rectangle), ``bulge`` of
    its thickness (2 a lens, 6 a box).
    """
    lift = np.linspace(-np.pi / 2, np.pi / 2, steps + 1, dtype=np.float32)
    shrink, depth = np.maximum(_power(np.cos(lift), 2 / bulge), 1e-3), _power(np.sin(lift), 2 / bulge)
    outline = superellipse(size[0], size[1], 2 * steps, exponent=exponent)
    return _inflate(outline, shrink, depth * size[2] / 2, slot)


def _inflate(outline: Array, scale: Array, depth: Array, slot: str) -> Surface:
    """Stack copies of a closed ``outline`` ``[N, 2]``, scaled about its middle, at depths along z."""
    o = np.asarray(outline, np.float32)
    if np.sum(o[:-1, 0] * o[1:, 1] - o[1:, 0] * o[:-1, 1]) < 0:  # clockwise
        o = o[::-1]
    middle = (o.max(0) + o.min(0)) / 2
    flat = middle + (o - middle) * scale[:, None, None]
    points = np.concatenate([flat, np.broadcast_to(depth[:, None, None], (*flat.shape[:2], 1))], -1)
    return Surface(points.astype(np.float32), slot, flat)
