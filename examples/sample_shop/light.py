"""How a studio's light falls on finishes: matte, fabric, satin, gloss, metal, glass.

Worked out per vertex and interpolated: a main light, a fill, light from all around, the mirror image of a
softbox and a window in glossy things, a simple studio in metal ones.

    V = vertices

Does not know: patterns, backgrounds, pixels.
"""

import numpy as np

from examples.sample_shop.mesh import Array
from examples.sample_shop.surface import FINISHES, Material
from examples.sample_shop.triangles import Mesh

_GLOSS = {"matte": 0.03, "fabric": 0.0, "satin": 0.16, "gloss": 0.55, "metal": 0.75, "glass": 0.9}
_FILL = np.asarray((0.75, 0.1, 0.65), np.float32)


def shine(
    mesh: Mesh,
    normals: Array,
    view: Array,
    materials: list[Material],
    light: Array,
    power: tuple[float, float],
) -> tuple[Array, Array]:
    """Return diffuse light and highlight per vertex, ``[V]`` each; 1 is a white surface fully lit.

    ``normals`` and ``view`` (towards the camera) are unit vectors ``[V, 3]``; ``light`` points to the
    main light; ``power`` is of the main light and of the light from all around.
    """
    towards = np.einsum("ij,ij->i", normals, view)
    normals = np.where((towards < 0)[:, None], -normals, normals)  # the far side of cloth faces us too
    towards = np.abs(towards)
    mirror = 2 * towards[:, None] * normals - view
    finish = np.asarray([FINISHES.index(m.finish) for m in materials])[mesh.slot]
    metal, fabric = finish == FINISHES.index("metal"), finish == FINISHES.index("fabric")

    direct = normals @ light
    direct = np.where(fabric, np.maximum(0, (direct + 0.35) / 1.35), np.maximum(0, direct))
    around = power[1] * (0.62 + 0.38 * normals[:, 1]) + 0.16 * np.maximum(0, normals @ _FILL)
    diffuse = power[0] * direct * (0.35 + 0.65 * mesh.occlusion) + around * mesh.occlusion

    rim = (1 - towards) ** 4
    softbox = np.clip((mirror @ light - 0.86) * 9, 0, 1) ** 2
    window = np.clip(1 - np.abs(mirror[:, 0] - 0.72) * 7, 0, 1) * np.clip(
        1.1 - np.abs(mirror[:, 1]) * 1.2, 0, 1
    )
    gloss = np.asarray([_GLOSS[m.finish] for m in materials], np.float32)[mesh.slot]
    highlight = gloss * mesh.occlusion * (0.75 * softbox + 0.3 * window + 0.35 * rim)
    studio = _studio(mirror[:, 1]) + 0.7 * softbox + 0.5 * window

    diffuse = np.where(metal, 0.25 * diffuse + studio * (0.4 + 0.6 * mesh.occlusion), diffuse)
    diffuse = np.where(fabric, diffuse + 0.12 * rim, diffuse)
    glow = np.asarray([m.glow for m in materials], np.float32)[mesh.slot]
    return diffuse + glow * (0.55 + 0.6 * towards), np.where(metal, 0.25 * highlight, highlight)


def _studio(height: Array) -> Array:
    """Return what a mirror sees at this height: bright above, a dark horizon, a grey floor."""
    seen: Array = (
        0.28 + 0.75 * np.clip(height * 1.3 + 0.25, 0, 1) - 0.32 * np.exp(-((height + 0.05) ** 2) * 24)
    )
    return seen
