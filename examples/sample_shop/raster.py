"""OpenCV's software rasteriser behind two functions.

    V, F = vertices, triangles; H, W = size of the image in pixels

Does not know: what is drawn.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.sample_shop.mesh import Array

Triangles = NDArray[np.int32]
FAR = 100.0
"""Depth where nothing was drawn; objects measure about one."""
_NEAR = 0.01
_POSE = np.eye(4, dtype=np.float32)[:3]


def rasterise(
    seen: Array, faces: Triangles, values: Array, center: Array, focal: float, size: tuple[int, int]
) -> tuple[Array, Array]:
    """Draw ``values`` ``[V, 3]``, interpolated; return them ``[H, W, 3]`` and the depth ``[H, W]``.

    ``seen`` are points ``[V, 3]`` as the camera sees them (z negative ahead); ``center`` is the direction
    (x/-z, y/-z) of the middle of the image; ``focal`` in pixels; ``size`` is (W, H).
    """
    wide, high = size
    color, depth = np.zeros((high, wide, 3), np.float32), np.full((high, wide), FAR, np.float32)
    if len(faces):
        field = 2 * float(np.arctan(high / 2 / focal))
        points = _shifted(seen, center)[:, None]
        cv2.triangleRasterize(
            points, faces[:, None], values[:, None], color, depth, _POSE, field, _NEAR, FAR, _settings()
        )
    return color, depth


def silhouette(seen: Array, faces: Triangles, center: Array, focal: float, size: int) -> Array:
    """Return which pixels ``[size, size]`` the triangles cover, 0.0 or 1.0; arguments as above."""
    depth = np.full((size, size), FAR, np.float32)
    if len(faces):
        field = 2 * float(np.arctan(size / 2 / focal))
        points = _shifted(seen, center)[:, None]
        cv2.triangleRasterizeDepth(points, faces[:, None], depth, _POSE, field, _NEAR, FAR, _settings())
    return covered(depth)


def covered(depth: Array) -> Array:
    """Return 1.0 where something was drawn, 0.0 elsewhere."""
    return (depth < 0.99 * FAR).astype(np.float32)


def _shifted(seen: Array, center: Array) -> Array:
    """Apply a shift lens: the middle of the image moves, the perspective stays."""
    points = seen.astype(np.float32)
    points[:, :2] += (center * seen[:, 2:]).astype(np.float32)
    return points


def _settings() -> cv2.TriangleRasterizeSettings:
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    return settings
