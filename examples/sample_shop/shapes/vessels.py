"""Turned pots and what is fixed to them: outlines, insides, handles.

An outline is a table of (share of the radius, share of the height), from the foot up.

Does not know: categories, colours or words.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from examples.sample_shop.mesh import Array, Surface, curve, dense, lathe, rounded, tube

Knots = Sequence[tuple[float, float]]
Ribs = tuple[int, float]
PLAIN: Ribs = (0, 0.0)


def outline(knots: Knots, radius: float, height: float, *, corner: float | None = None) -> Array:
    """Return a profile ``[M, 2]``: a smooth curve, or straight lines with corners rounded by ``corner``."""
    points = [(r * radius, h * height) for r, h in knots]
    return dense(curve(points, 34) if corner is None else rounded(points, corner))


def at_height(profile: Array, y: float) -> float:
    """Return the radius of a profile at height ``y``."""
    return float(np.interp(y, profile[:, 1], profile[:, 0]))


def closed_below(profile: Array) -> Array:
    """Return the profile with a foot that reaches the axis."""
    return np.concatenate([[(0.001, profile[0, 1])], profile])


def pot(
    profile: Array, *, wall: float, depth: float, ribs: Ribs = PLAIN, inside: str = "accent"
) -> list[Surface]:
    """Return the outside, lip, inside and bottom of an open pot; ``depth`` of the inside that is drawn."""
    top = profile[-1]
    lip = top + np.asarray([(0, 0), (-0.2, 0.35), (-0.8, 0.35), (-1, 0)]) * wall
    inner = profile[profile[:, 1] > top[1] - depth][::-1] - (wall, 0)
    inner[:, 0] = np.maximum(inner[:, 0], 0.002)
    light = np.clip(1 - (top[1] - inner[:, 1]) / max(depth, 1e-6) * 0.75, 0.22, 1)[:, None]
    well = lathe(inner, inside)
    bottom = np.asarray([inner[-1], (0.001, inner[-1, 1])])
    return [
        lathe(closed_below(profile), ribs=ribs),
        lathe(lip, ribs=(ribs[0], ribs[1] * 0.4)),
        replace(well, occlusion=np.broadcast_to(light, well.points.shape[:2])),
        lathe(bottom, inside, occlusion=0.25),
    ]


def handle(
    kind: str, profile: Array, span: tuple[float, float], reach: float, thick: float, slot: str
) -> Surface:
    """Return a handle on the right of a pot, between two heights; kinds: round, ear, drop, ring, square."""
    low, high = span
    middle = (low + high) / 2
    r = at_height(profile, middle) * 0.92
    forms: dict[str, list[tuple[float, float]]] = {
        "round": [(0, low), (0.75, low + 0.02), (1, middle), (0.75, high - 0.02), (0, high)],
        "ear": [(0, low), (0.45, low + 0.1), (1, middle + 0.12), (0.7, high + 0.03), (0, high - 0.02)],
        "drop": [(0, low), (0.95, low + 0.06), (0.9, middle - 0.02), (0.4, high - 0.03), (0, high)],
        "ring": [
            (0, middle - 0.16),
            (0.6, middle - 0.2),
            (1.1, middle),
            (0.6, middle + 0.2),
            (0, middle + 0.16),
        ],
        "square": [(0, low), (1, low), (1, high), (0, high)],
    }
    points = [(r + x * reach, y) for x, y in forms[kind]]
    path = rounded(points, 0.09, 6) if kind == "square" else curve(points, 26)
    return tube(np.concatenate([path, np.zeros((len(path), 1))], 1), thick, slot, flat=1.5)


def faceted(surface: Surface, sides: int) -> Surface:
    """Return a turned surface pressed onto a prism of ``sides`` faces."""
    points = surface.points.copy()
    sector = 2 * np.pi / sides
    inner = np.mod(np.arctan2(points[..., 0], points[..., 2]) + sector / 2, sector) - sector / 2
    points[..., (0, 2)] *= (0.97 / np.cos(inner))[..., None]
    return replace(surface, points=points)


def twisted(surface: Surface, degrees: float) -> Surface:
    """Return the surface turned by ``degrees`` per unit of height."""
    x, y, z = np.moveaxis(surface.points, -1, 0)
    c, s = np.cos(np.deg2rad(degrees) * y), np.sin(np.deg2rad(degrees) * y)
    return replace(surface, points=np.stack([c * x + s * z, y, c * z - s * x], -1))
