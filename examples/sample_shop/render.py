"""The camera: turns a shape, its materials and a scene into an image.

One pass of the rasteriser gives light, highlight and material per pixel; a second one texture
coordinates where a pattern needs them. Drawn at 1.5 times the size and averaged down.

    S = image size in pixels; V, F = vertices, triangles; H, W = the object's box, supersampled

Does not know: what is being photographed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.sample_shop.backdrop import Backdrop, Frame, paint
from examples.sample_shop.light import shine
from examples.sample_shop.mesh import Array, Shape, rotation
from examples.sample_shop.raster import Triangles, covered, rasterise
from examples.sample_shop.surface import PATTERNS, Material
from examples.sample_shop.triangles import Mesh, assemble, visible

Image = NDArray[np.uint8]
_SUPERSAMPLE = 1.5
_SLOTS = 16
_RANGE = 4.0  # light up to this is kept: the rasteriser interpolates values in [0, 1]


@dataclass(frozen=True)
class Scene:
    """How one image is taken."""

    yaw: float = 0.0
    """Turn of the object, degrees."""
    pitch: float = 15.0
    """Elevation of the camera, degrees."""
    distance: float = 4.0
    """Of the camera, in radii of the object: small is a wide-angle view."""
    fill: float = 0.68
    """Share of the frame that the object spans."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Of the object from the middle, right and down, in shares of the frame."""
    light: tuple[float, float, float] = (-0.5, 0.75, 0.6)
    """Direction to the main light."""
    key: float = 0.85
    """Strength of the main light."""
    ambient: float = 0.5
    """Strength of the light from all around."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Colour of the light: below one is weaker in that channel."""
    backdrop: Backdrop = field(default_factory=Backdrop)


def render(shape: Shape, materials: Mapping[str, Material], scene: Scene, size: int = 512) -> Image:
    """Return the image ``[S, S, 3]``, display RGB."""
    mesh = assemble(shape, list(materials))
    covers = list(materials.values())
    turned = rotation("y", scene.yaw)
    points, normals = mesh.points @ turned.T, mesh.normals @ turned.T
    light = np.asarray(scene.light, np.float32) / np.float32(np.linalg.norm(scene.light))
    frame, seen, low, high = _aim(points, shape.stage, turned, scene, size)
    tint = np.asarray(scene.tint, np.float32)
    canvas = paint(scene.backdrop, frame, points, mesh.faces, light, tint)
    view = -(seen @ frame.look)
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    lit = shine(mesh, normals, view, covers, light, (scene.key, scene.ambient))
    box = np.ceil((high - low) * frame.focal).astype(int) + 4
    lens = _Lens(seen, (low + high) / 2, frame.focal * _SUPERSAMPLE, _whole(box * _SUPERSAMPLE))
    faces = visible(mesh, seen[:, :2] / -seen[:, 2:])
    color, alpha = _draw(lens, mesh, faces, lit, covers)
    target = (int(box[0]), int(box[1]))
    color, alpha = (cv2.resize(c, target, interpolation=cv2.INTER_AREA) for c in (color, alpha))
    at = np.round(size / 2 + np.asarray(scene.shift) * size - box / 2).astype(int)
    _compose(canvas, color * tint, alpha, at)
    return np.asarray(cv2.convertScaleAbs(canvas, alpha=255), np.uint8)


def _aim(
    points: Array, stage: str, turned: Array, scene: Scene, size: int
) -> tuple[Frame, Array, Array, Array]:
    """Place the camera; return the frame, points as it sees them, and corners of their box (x/-z, y/-z)."""
    middle = (points.min(0) + points.max(0)) / 2
    look = rotation("x", scene.pitch)
    radius = float(np.linalg.norm(points.max(0) - points.min(0)) / 2)
    eye = np.asarray((0, 0, -scene.distance * radius), np.float32)
    seen = ((points - middle) @ look.T + eye).astype(np.float32)
    flat = seen[:, :2] / -seen[:, 2:]
    low, high = flat.min(0), flat.max(0)
    focal = float(scene.fill * size / (high - low).max())
    center = (low + high) / 2 - np.asarray((scene.shift[0], -scene.shift[1]), np.float32) * size / focal
    normal = turned @ np.asarray((0, 0, 1) if stage == "wall" else (0, 1, 0), np.float32)
    return Frame(size, focal, center, middle, look, eye, normal), seen, low, high


@dataclass(frozen=True)
class _Lens:
    """What the rasteriser needs of the camera."""

    seen: Array  # [V, 3]
    center: Array  # [2]
    focal: float
    size: tuple[int, int]

    def draw(self, faces: Triangles, values: Array) -> tuple[Array, Array]:
        """Return interpolated values ``[H, W, 3]`` and depth ``[H, W]``."""
        return rasterise(self.seen, faces, values.astype(np.float32), self.center, self.focal, self.size)


def _draw(
    lens: _Lens, mesh: Mesh, faces: Triangles, lit: tuple[Array, Array], covers: list[Material]
) -> tuple[Array, Array]:
    """Return colour ``[H, W, 3]`` (display scale 0 to 1, black where nothing is) and coverage ``[H, W]``."""
    diffuse, highlight = lit
    per_vertex = np.stack([diffuse / _RANGE, highlight / _RANGE, mesh.slot / _SLOTS], -1)
    values, depth = lens.draw(faces, per_vertex)
    bright, shiny, slot = cv2.split(values)
    slot = cv2.convertScaleAbs(slot, alpha=_SLOTS)
    palette = np.zeros((256, 1, 3), np.float32)
    palette[: len(covers), 0] = [m.color for m in covers]
    color = cv2.LUT(cv2.merge([slot] * 3), palette)
    _print(
        color,
        slot,
        mesh,
        covers,
        lambda slots, uv: lens.draw(faces[np.isin(mesh.slot[faces[:, 0]], slots)], uv)[0],
    )
    color = cv2.multiply(color, cv2.merge([bright] * 3), scale=_RANGE)
    color = cv2.sqrt(cv2.scaleAdd(cv2.merge([shiny] * 3), _RANGE, color))
    mask = covered(depth)
    return cv2.multiply(color, cv2.merge([mask] * 3)), mask


def _print(
    color: Array, slot: Array, mesh: Mesh, covers: list[Material], draw: Callable[[list[int], Array], Array]
) -> None:
    """Put patterns onto ``color`` ``[H, W, 3]``, in place; ``draw`` rasterises values on some slots."""
    patterned = [i for i, m in enumerate(covers) if m.pattern != "plain" and bool((mesh.slot == i).any())]
    if not patterned:
        return
    reach = float(np.abs(mesh.uv).max()) * 2 + 1e-6
    uv = draw(patterned, np.concatenate([mesh.uv / reach + 0.5, np.zeros((len(mesh.uv), 1))], 1))
    for i in patterned:
        mask = cv2.inRange(slot, np.asarray(float(i)), np.asarray(float(i)))
        x, y, wide, high = cv2.boundingRect(mask)
        if not wide:
            continue
        at = (slice(y, y + high), slice(x, x + wide))
        scale = np.float32(reach / covers[i].size)
        u, v = (channel * scale - scale / 2 for channel in cv2.split(uv[at])[:2])
        share = PATTERNS[covers[i].pattern](u, v)
        share = cv2.multiply(share.astype(np.float32), mask[at], scale=1 / 255, dtype=cv2.CV_32F)
        change = np.asarray(covers[i].second, np.float32) - np.asarray(covers[i].color, np.float32)
        color[at] += cv2.transform(share, change[:, None])


def _compose(canvas: Array, color: Array, alpha: Array, at: NDArray[np.int_]) -> None:
    """Lay the object over the canvas ``[S, S, 3]`` in [0, 1], cut at the frame, in place."""
    size, x, y = len(canvas), int(at[0]), int(at[1])
    left, top = max(0, x), max(0, y)
    right, bottom = min(size, x + color.shape[1]), min(size, y + color.shape[0])
    inner = (slice(top - y, bottom - y), slice(left - x, right - x))
    rest = cv2.merge([1 - alpha[inner]] * 3)
    canvas[top:bottom, left:right] = cv2.add(cv2.multiply(canvas[top:bottom, left:right], rest), color[inner])


def _whole(size: NDArray[np.floating]) -> tuple[int, int]:
    return int(np.ceil(size[0])), int(np.ceil(size[1]))
