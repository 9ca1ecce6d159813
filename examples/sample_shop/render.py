"""The camera: turns an object, its materials and a scene into an image.

One pass of OpenCV's software rasteriser gives light, highlight and material per pixel, a second one
texture coordinates where a pattern needs them. Drawn at 1.5 times the size and averaged down.

    S = image size in pixels; V, F = vertices, triangles; H, W = the part of the frame that the object fills
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.sample_shop.materials import FINISHES, PATTERNS, Color, Material
from examples.sample_shop.mesh import Array, Mesh, Surface, assemble, rotation

Image = NDArray[np.uint8]
_SUPERSAMPLE = 1.5
_SLOTS = 16
_BRIGHTEST = 4.0  # the rasteriser interpolates values in [0, 1]; light up to this is kept
_NEAR, _FAR = 0.01, 100.0  # objects measure about one
_SHADOW_SCALE = 4  # light and shadow on the background are smooth: worked out at a quarter of the size
_GLOSS = {"matte": 0.03, "fabric": 0.0, "satin": 0.16, "gloss": 0.55, "metal": 0.75, "glass": 0.9}
_FILL_LIGHT = (0.75, 0.1, 0.65)


@dataclass(frozen=True)
class Background:
    """Colours, texture and softness of the surroundings."""

    floor: Color = (0.93, 0.93, 0.93)
    wall: Color = (0.95, 0.95, 0.95)
    edge: float = 1.6  # how softly floor turns into wall: 0.02 a table's edge, above 1 a studio cove
    pattern: str = "plain"  # of the floor or, behind a wall object, the wall
    second: Color = (0.8, 0.8, 0.8)
    period: float = 0.5  # of the pattern, in units of the object
    shadow: float = 0.5  # strength of the cast shadow
    softness: float = 0.035  # blur of the cast shadow, as a share of the frame
    vignette: float = 0.18


@dataclass(frozen=True)
class Scene:
    """How one image is taken. The object must lie within the frame."""

    stage: str = "floor"  # the object stands on y = 0; "wall": it hangs in front of z = 0
    yaw: float = 0.0  # turn of the object, degrees
    pitch: float = 15.0  # elevation of the camera, degrees
    distance: float = 4.0  # of the camera, in radii of the object: small is a wide-angle view
    fill: float = 0.68  # share of the frame that the object spans
    shift: tuple[float, float] = (0.0, 0.0)  # of the object, right and down, in shares of the frame
    light: tuple[float, float, float] = (-0.5, 0.75, 0.6)  # direction to the main light
    key: float = 0.85  # strength of the main light
    ambient: float = 0.5  # strength of the light from all around
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of the light; below one is weaker
    background: Background = field(default_factory=Background)


def render(surfaces: Sequence[Surface], materials: Mapping[str, Material], scene: Scene, size: int) -> Image:
    """Return the image ``[S, S, 3]``, display RGB."""
    mesh = assemble(surfaces, list(materials))
    turn = rotation("y", scene.yaw)
    mesh = replace(mesh, points=mesh.points @ turn.T, normals=mesh.normals @ turn.T)
    plane = turn @ np.asarray((0, 0, 1) if scene.stage == "wall" else (0, 1, 0), np.float32)
    camera = _aim(mesh.points, scene)
    image = _paint_background(scene, camera, mesh, plane, size)
    side = int(np.ceil(scene.fill * size)) + 4  # of the square that the object spans
    close_up = replace(camera, center=camera.aim, focal=camera.focal * size / side)
    object_ = _draw_object(scene, close_up, mesh, list(materials.values()), int(side * _SUPERSAMPLE))
    color, coverage = (cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in object_)
    corner = np.round(size / 2 + np.asarray(scene.shift) * size - side / 2).astype(int)
    x, y = np.clip(corner, 0, size - side)
    frame = image[y : y + side, x : x + side]
    frame *= _gray(1 - coverage)
    frame += color * np.asarray(scene.tint, np.float32)
    return np.asarray(cv2.convertScaleAbs(image, alpha=255), np.uint8)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with a shift lens."""

    rotation: Array  # [3, 3], world to camera
    target: Array  # [3], world point that the camera turns about
    distance: float  # from the target
    aim: Array  # [2], direction (x/-z, y/-z) of the middle of the object
    center: Array  # [2], and of the middle of the image
    focal: float  # in image heights

    @property
    def eye(self) -> Array:
        """Return where the camera stands in the world, ``[3]``."""
        return self.target + self.distance * self.rotation[2]

    def view(self, points: Array) -> Array:
        """Return world points ``[V, 3]`` as the rasteriser sees them: ahead is -z, the middle is (0, 0)."""
        seen = (points - self.target) @ self.rotation.T - np.asarray((0, 0, self.distance), np.float32)
        seen[:, :2] += self.center * seen[:, 2:]
        return seen.astype(np.float32)

    def rasterise(
        self, points: Array, faces: NDArray[np.int32], values: Array, size: int, *, cull: bool = True
    ) -> tuple[Array, Array]:
        """Return ``values`` ``[V, 3]`` in [0, 1] as an image ``[S, S, 3]``, and 1 where a face is ``[S, S]``.

        ``cull`` leaves out the faces that turn their back on the camera.
        """
        image, depth = np.zeros((size, size, 3), np.float32), np.full((size, size), _FAR, np.float32)
        settings = cv2.TriangleRasterizeSettings()
        settings.setCullingMode(cv2.RASTERIZE_CULLING_CW if cull else cv2.RASTERIZE_CULLING_NONE)
        settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
        field_of_view, pose = 2 * float(np.arctan(0.5 / self.focal)), np.eye(4, dtype=np.float32)[:3]
        vertices, values = self.view(points)[:, None], values.astype(np.float32)[:, None]
        cv2.triangleRasterize(
            vertices, faces[:, None], values, image, depth, pose, field_of_view, _NEAR, _FAR, settings
        )
        return image, (depth < 0.99 * _FAR).astype(np.float32)


def _aim(points: Array, scene: Scene) -> Camera:
    """Place the camera so that ``points`` ``[V, 3]`` fill the frame as the scene says."""
    low, high = points.min(0), points.max(0)
    distance = scene.distance * float(np.linalg.norm(high - low)) / 2
    camera = Camera(rotation("x", scene.pitch), (low + high) / 2, distance, np.zeros(2), np.zeros(2), 1.0)
    seen = camera.view(points)
    flat = seen[:, :2] / -seen[:, 2:]
    focal = scene.fill / float(np.ptp(flat, axis=0).max())
    aim = (flat.min(0) + flat.max(0)) / 2
    return replace(camera, aim=aim, center=aim - np.multiply(scene.shift, (1, -1)) / focal, focal=focal)


def _shade(scene: Scene, camera: Camera, mesh: Mesh, materials: Sequence[Material]) -> tuple[Array, Array]:
    """Return diffuse light and highlight per vertex, ``[V]`` each; 1 is a white surface fully lit.

    A main light, a fill, light from all around; the mirror image of a softbox and a window in glossy
    things, a simple studio in metal ones.
    """
    light, towards_eye = _unit(np.asarray(scene.light, np.float32)), _unit(camera.eye - mesh.points)
    facing = np.einsum("ij,ij->i", mesh.normals, towards_eye)
    normals = np.where(facing[:, None] < 0, -mesh.normals, mesh.normals)  # the far side of cloth faces us too
    facing = np.abs(facing)
    mirror = 2 * facing[:, None] * normals - towards_eye
    finish = np.asarray([FINISHES.index(m.finish) for m in materials])[mesh.slot]
    metal, fabric = finish == FINISHES.index("metal"), finish == FINISHES.index("fabric")

    direct = normals @ light
    direct = np.maximum(0, np.where(fabric, (direct + 0.35) / 1.35, direct))
    fill = 0.16 * np.maximum(0, normals @ np.asarray(_FILL_LIGHT, np.float32))
    around = scene.ambient * (0.62 + 0.38 * normals[:, 1]) + fill
    diffuse = scene.key * direct * (0.35 + 0.65 * mesh.occlusion) + around * mesh.occlusion

    rim = (1 - facing) ** 4
    softbox = np.clip((mirror @ light - 0.86) * 9, 0, 1) ** 2
    window = np.clip(1 - np.abs(mirror[:, 0] - 0.72) * 7, 0, 1)
    window = window * np.clip(1.1 - np.abs(mirror[:, 1]) * 1.2, 0, 1)
    gloss = np.asarray([_GLOSS[m.finish] for m in materials], np.float32)[mesh.slot]
    highlight = gloss * mesh.occlusion * (0.75 * softbox + 0.3 * window + 0.35 * rim)

    y = mirror[:, 1]  # bright above, a dark horizon, a grey floor
    studio = 0.28 + 0.75 * np.clip(y * 1.3 + 0.25, 0, 1) - 0.32 * np.exp(-((y + 0.05) ** 2) * 24)
    reflected = (studio + 0.7 * softbox + 0.5 * window) * (0.4 + 0.6 * mesh.occlusion)
    diffuse = np.where(metal, 0.25 * diffuse + reflected, diffuse + 0.12 * fabric * rim)
    glow = np.asarray([m.glow for m in materials], np.float32)[mesh.slot]
    return diffuse + glow * (0.55 + 0.6 * facing), np.where(metal, 0.25, 1) * highlight


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _draw_object(
    scene: Scene, camera: Camera, mesh: Mesh, materials: Sequence[Material], size: int
) -> tuple[Array, Array]:
    """Return colour ``[S, S, 3]`` (display scale 0 to 1, black where nothing is) and coverage ``[S, S]``."""
    diffuse, highlight = _shade(scene, camera, mesh, materials)
    values = np.stack([diffuse / _BRIGHTEST, highlight / _BRIGHTEST, mesh.slot / _SLOTS], -1)
    image, coverage = camera.rasterise(mesh.points, mesh.faces, values, size)
    bright, shiny, slot = cv2.split(image)
    slot = cv2.convertScaleAbs(slot, alpha=_SLOTS)
    palette = np.zeros((256, 1, 3), np.float32)
    palette[: len(materials), 0] = [m.color for m in materials]
    color = cv2.LUT(_gray(slot), palette)
    patterned = [i for i, m in enumerate(materials) if m.pattern != "plain"]
    if patterned:
        reach = 2 * float(np.abs(mesh.uv).max())  # texture coordinates, brought into [0, 1] and back
        uv = np.pad(mesh.uv / reach + 0.5, ((0, 0), (0, 1)))
        u, v, _ = cv2.split((camera.rasterise(mesh.points, mesh.faces, uv, size)[0] - 0.5) * reach)
        for i in patterned:
            material = materials[i]
            share = PATTERNS[material.pattern](u / material.period, v / material.period) * (slot == i)
            change = np.subtract(material.second, material.color, dtype=np.float32)
            color += cv2.transform(share.astype(np.float32), change[:, None])
    color = cv2.multiply(color, _gray(bright), scale=_BRIGHTEST)
    color = cv2.sqrt(cv2.scaleAdd(_gray(shiny), _BRIGHTEST, color))
    return cv2.multiply(color, _gray(coverage)), coverage


def _gray(channel: Array) -> Array:
    """Return ``channel`` ``[S, S]`` three times over, ``[S, S, 3]``: NumPy broadcasts short axes slowly."""
    return cv2.merge([channel] * 3)


def _paint_background(scene: Scene, camera: Camera, mesh: Mesh, plane: Array, size: int) -> Array:
    """Return the empty scene ``[S, S, 3]``, display scale 0 to 1, with the object's shadows on it.

    ``plane`` is the normal ``[3]`` of the floor or the wall, which goes through the origin.
    """
    background, small = scene.background, max(32, size // _SHADOW_SCALE)
    bright = np.sqrt(_light_background(scene, camera, mesh, plane, small))
    floor, wall, second = np.sqrt((background.floor, background.wall, background.second)) * scene.tint
    step = ((np.arange(small) + 0.5) / small - 0.5) / camera.focal
    x, y = np.meshgrid(camera.center[0] + step, camera.center[1] - step)
    rays = np.stack([x, y, -np.ones_like(x)], -1) @ camera.rotation
    hits = camera.eye + rays * (camera.eye @ plane / np.maximum(-(rays @ plane), 1e-3))[..., None]
    u, v, ground = hits[..., 0], hits[..., 1], np.ones_like(x)
    if scene.stage == "floor":
        v = hits[..., 2]
        ground = np.clip((v + 1.5 + background.edge / 2) / background.edge, 0, 1)
        ground = ground * ground * (3 - 2 * ground)
    ground, u, v, bright = (
        cv2.resize(np.clip(c, -40, 40).astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
        for c in (ground, u, v, bright)
    )
    share = np.zeros_like(u)
    if background.pattern != "plain":
        share = PATTERNS[background.pattern](u / background.period, v / background.period)
    weights = np.stack([floor - wall, second - floor, wall], 1).astype(np.float32)
    return np.asarray(cv2.transform(cv2.merge([ground * bright, share * ground * bright, bright]), weights))


def _light_background(scene: Scene, camera: Camera, mesh: Mesh, plane: Array, size: int) -> Array:
    """Return the light on the background ``[S, S]``: a pool of light, the vignette, the object's shadows."""
    background, light = scene.background, _unit(np.asarray(scene.light, np.float32))
    step = np.linspace(-1, 1, size)
    x, y = np.meshgrid(step - 0.5 * light[0], step + 0.35)
    pool = 1.04 - background.vignette * np.minimum(x * x * 0.6 + y * y * 0.5, 1.8)
    height, touching = mesh.points @ plane, mesh.faces
    if scene.stage == "floor":
        light = light / max(float(light[1]), 0.35)
        touching = mesh.faces[height[mesh.faces].max(1) < height.min() + 0.16 * np.ptp(height)]
    cast = mesh.points - light * (height / max(float(light @ plane), 0.25))[:, None]
    below = mesh.points - height[:, None] * plane
    shadow, contact = (
        cv2.GaussianBlur(
            camera.rasterise(points, faces, np.zeros_like(points), size, cull=False)[1],
            (0, 0),
            max(blur, 0.5),
        )
        for points, faces, blur in (
            (cast, mesh.faces, background.softness * size),
            (below, touching, 0.014 * size),
        )
    )
    return np.clip(pool * (1 - background.shadow * shadow) * (1 - 0.45 * contact), 0, 1.1)
