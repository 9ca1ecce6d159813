"""From the surfaces of a shape to one list of vertices and triangles.

    M, N = rows and columns of a surface's grid; V, F = vertices, triangles

Does not know: cameras, light, colours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.sample_shop.mesh import Array, Shape


@dataclass(frozen=True)
class Mesh:
    """Vertices and triangles of a whole shape."""

    points: Array  # [V, 3]
    normals: Array  # [V, 3], unit, outward
    uv: Array  # [V, 2]
    occlusion: Array  # [V]
    slot: NDArray[np.int32]  # [V], index into the list of slots
    faces: NDArray[np.int32]  # [F, 3]
    solid: NDArray[np.bool_]  # [F]


def assemble(shape: Shape, slots: list[str]) -> Mesh:
    """Join the shape's surfaces; ``slots`` gives each slot name its number."""
    parts = []
    start = 0
    for s in shape.surfaces:
        m, n = s.points.shape[:2]
        i = (np.arange(m - 1, dtype=np.int32)[:, None] * n + np.arange(n - 1, dtype=np.int32)).ravel() + start
        faces = np.stack([i, i + 1, i + n + 1, i, i + n + 1, i + n], -1).reshape(-1, 3)
        points = s.points.astype(np.float32)
        uv = _arc_lengths(points) if s.uv is None else s.uv.astype(np.float32)
        occlusion = np.broadcast_to(np.asarray(s.occlusion, np.float32), (m, n))
        slot = np.full(m * n, slots.index(s.slot), np.int32)
        flat = (points.reshape(-1, 3), _normals(points).reshape(-1, 3), uv.reshape(-1, 2), occlusion.ravel())
        parts.append((*flat, slot, faces, np.full(len(faces), s.solid)))
        start += m * n
    return Mesh(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def visible(mesh: Mesh, flat: Array) -> NDArray[np.int32]:
    """Return the triangles that can be seen where vertices project to ``flat`` ``[V, 2]``.

    Those that face the camera, and all of surfaces that are not solid.
    """
    a, b, c = (flat[mesh.faces[:, i]] for i in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    seen: NDArray[np.int32] = mesh.faces[(turn > 0) | (~mesh.solid & (turn != 0))]
    return seen


def _normals(p: Array) -> Array:
    along, across = _slope(p, 0), _slope(p, 1)
    if float(np.abs(p[:, 0] - p[:, -1]).max()) < 1e-5:  # closed around: both sides of the seam share a normal
        across[:, 0] = across[:, -1] = p[:, 1] - p[:, -2]
    normal = np.cross(across, along)
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    poor = length[..., 0].max(1) < 1e-7  # a row shrunk to a point: take its neighbour's
    if poor.any():
        good = np.flatnonzero(~poor)
        nearest = good[np.abs(np.arange(len(p))[:, None] - good[None]).argmin(1)]
        normal, length = normal[nearest], length[nearest]
    result: Array = normal / (length + 1e-12)
    return result


def _slope(p: Array, axis: int) -> Array:
    step = np.empty_like(p)
    q, s = (p, step) if axis == 0 else (p.swapaxes(0, 1), step.swapaxes(0, 1))
    s[1:-1] = q[2:] - q[:-2]
    s[0], s[-1] = q[1] - q[0], q[-1] - q[-2]
    return step


def _arc_lengths(p: Array) -> Array:
    across = np.linalg.norm(np.diff(p[len(p) // 2], axis=0), axis=1)
    along = np.linalg.norm(np.diff(p[:, p.shape[1] // 4], axis=0), axis=1)
    u, v = (np.concatenate([[0], np.cumsum(steps)]).astype(np.float32) for steps in (across, along))
    return np.stack(np.broadcast_arrays(u[None], v[:, None]), -1)
