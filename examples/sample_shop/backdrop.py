"""What stands behind and under an object: a studio cove, a table before a wall, the shadows on them.

    S = image size in pixels; V, F = vertices, triangles

Does not know: the object, beyond the shadow it throws.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.sample_shop.mesh import Array
from examples.sample_shop.raster import Triangles, silhouette
from examples.sample_shop.surface import PATTERNS, Color

_COARSE = 4  # light and shadow are smooth: they are worked out at a quarter of the size


@dataclass(frozen=True)
class Backdrop:
    """Colours, texture and softness of the surroundings."""

    floor: Color = (0.93, 0.93, 0.93)
    wall: Color = (0.95, 0.95, 0.95)
    edge: float = 1.6
    """How softly floor turns into wall: 0.02 a table's edge, above 1 a studio cove."""
    pattern: str = "plain"
    second: Color = (0.8, 0.8, 0.8)
    size: float = 0.5
    """Period of the floor's (or, behind a wall object, the wall's) pattern, in units of the object."""
    shadow: float = 0.5
    """Strength of the cast shadow."""
    softness: float = 0.035
    """Blur of the cast shadow, as a share of the frame."""
    vignette: float = 0.18


@dataclass(frozen=True)
class Frame:
    """The camera and the plane the object stands on or hangs before."""

    size: int
    focal: float
    """Pixels."""
    center: Array  # [2]: direction (x/-z, y/-z) of the middle of the image
    middle: Array  # [3]: world point that the camera turns about
    look: Array  # [3, 3]: world to camera
    eye: Array  # [3]: shift of the turned world in front of the camera
    normal: Array  # [3]: of the plane, which goes through the origin

    def see(self, points: Array) -> Array:
        """Return world points ``[V, 3]`` as the camera sees them."""
        return (points - self.middle) @ self.look.T + self.eye


def paint(
    backdrop: Backdrop, frame: Frame, points: Array, faces: Triangles, light: Array, tint: Array
) -> Array:
    """Return the empty scene ``[S, S, 3]``, display scale 0 to 1, with the object's shadows on it."""
    size, small = frame.size, max(32, frame.size // _COARSE)
    across, deep, level = _plane(frame, small)
    bright = np.sqrt(np.clip(_brightness(backdrop, frame, points, faces, light, small), 0, 1.1))
    floor, wall, second = (
        np.sqrt(np.asarray(c, np.float32)) * tint for c in (backdrop.floor, backdrop.wall, backdrop.second)
    )
    if frame.normal[1] > 0.5:
        ground = np.clip((deep + 1.5 + backdrop.edge / 2) / backdrop.edge, 0, 1)
        ground = np.where(level, ground * ground * (3 - 2 * ground), 0).astype(np.float32)
    else:
        ground = np.ones((small, small), np.float32)
    if backdrop.pattern == "plain":
        canvas = (wall + ground[..., None] * (floor - wall)) * bright[..., None]
        return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_CUBIC))
    u, v, bright, ground = (
        cv2.resize(c, (size, size), interpolation=cv2.INTER_LINEAR) for c in (across, deep, bright, ground)
    )
    share = PATTERNS[backdrop.pattern](u / np.float32(backdrop.size), v / np.float32(backdrop.size))
    paths = cv2.merge([ground * bright, share * ground * bright, bright])
    weights = np.stack(
        [floor - wall, second - floor, wall], 1
    )  # wall + ground * (floor - wall + share * (second - floor))
    return np.asarray(cv2.transform(paths, weights))


def _plane(frame: Frame, count: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return where rays of a ``count`` x ``count`` grid meet the plane: across, deep, and whether they do."""
    step = (np.arange(count, dtype=np.float32) + 0.5) / count - 0.5
    x = frame.center[0] + step[None, :] * frame.size / frame.focal
    y = frame.center[1] - step[:, None] * frame.size / frame.focal
    rays = np.stack([*np.broadcast_arrays(x, y), -np.ones((count, count), np.float32)], -1) @ frame.look
    camera = frame.middle - frame.eye @ frame.look
    towards = rays @ frame.normal
    height = float((camera) @ frame.normal)
    level = towards < -1e-3
    hit = camera + rays * (height / np.maximum(-towards, 1e-3))[..., None]
    deep = hit[..., 2] if frame.normal[1] > 0.5 else hit[..., 1]
    return np.clip(hit[..., 0], -40, 40).astype(np.float32), np.clip(deep, -40, 40).astype(np.float32), level


def _brightness(
    backdrop: Backdrop, frame: Frame, points: Array, faces: Triangles, light: Array, count: int
) -> Array:
    """Return the light that reaches the scenery ``[count, count]``: pool of light, vignette, shadows."""
    step = np.linspace(-1, 1, count, dtype=np.float32)
    x, y = step[None, :] - np.float32(0.5 * light[0]), step[:, None] + np.float32(0.35)
    pool = 1.04 - np.float32(backdrop.vignette) * np.minimum(x * x * 0.6 + y * y * 0.5, 1.8)
    wall = frame.normal[1] < 0.5
    down = light if wall else light / max(float(light[1]), 0.35)
    along = float(down @ frame.normal)
    distance = (points) @ frame.normal
    cast = points - down * (distance / max(along, 0.25))[:, None]
    shadow = _blur(_mask(frame, cast, faces, count), backdrop.softness * count)
    low = np.float32(0.16 * float(np.ptp(distance)))
    near = faces[(distance[faces] < low + float(distance.min())).all(1)]
    contact = _blur(
        _mask(frame, points - distance[:, None] * frame.normal, near if not wall else faces, count),
        0.014 * count,
    )
    result: Array = pool * (1 - np.float32(backdrop.shadow) * shadow) * (1 - np.float32(0.45) * contact)
    return result


def _mask(frame: Frame, points: Array, faces: Triangles, count: int) -> Array:
    focal = frame.focal * count / frame.size
    return silhouette(frame.see(points), faces, frame.center, focal, count)


def _blur(mask: Array, sigma: float) -> Array:
    result: Array = cv2.GaussianBlur(mask, (0, 0), max(float(sigma), 0.5))
    return result
