"""The photographer: chooses background, light and viewpoint of each image, and takes it.

The first image of a product is mostly a packshot: a light cove, a view from slightly above. The others
are taken anywhere.
"""

from collections.abc import Mapping
from functools import lru_cache
from random import Random

from examples.sample_shop.materials import Material, linear, materials
from examples.sample_shop.mesh import Surface
from examples.sample_shop.products import CATEGORIES, Product, rng
from examples.sample_shop.render import Background, Image, Scene, render
from examples.sample_shop.shapes import SHAPES

_COVES = ("#f4f4f3", "#ececea", "#f3efe8", "#e9eef1", "#f2ebe9", "#e6e9e2")
_WALLS = ("#d9d3c8", "#c7d0cc", "#cfc6d2", "#e3d2c3", "#b9c4cf", "#dcdcd6", "#8f9a94", "#c9a894", "#5d6a73")
_TABLES = (
    ("#cfae88", "#b08a5e", "grain", 0.55),
    ("#8b6246", "#6c4730", "grain", 0.6),
    ("#e2d3bb", "#cdb797", "grain", 0.5),
    ("#dedbd5", "#b9b4aa", "terrazzo", 0.16),
    ("#e8e6e1", "#c9cbc8", "checks", 0.5),
    ("#c9bfae", "#b3a791", "weave", 0.05),
    ("#9fa8a3", "#8b958f", "speckle", 0.12),
    ("#d5c9c4", "#d5c9c4", "plain", 1.0),
    ("#7f8a86", "#7f8a86", "plain", 1.0),
)
_LIGHTS = (  # direction, key, ambient, tint, softness of shadows
    ((-0.5, 0.75, 0.6), 0.82, 0.5, (1.0, 1.0, 1.0), 0.035),
    ((0.55, 0.8, 0.55), 0.8, 0.5, (1.0, 1.0, 1.0), 0.035),
    ((-0.75, 0.5, 0.5), 0.95, 0.4, (1.0, 0.975, 0.93), 0.018),
    ((0.2, 0.95, 0.5), 0.72, 0.56, (1.0, 1.0, 1.0), 0.06),
    ((0.8, 0.55, 0.35), 0.95, 0.36, (1.0, 0.965, 0.9), 0.014),
    ((-0.3, 0.7, 0.8), 0.66, 0.5, (0.94, 0.97, 1.0), 0.05),
)


def num_photos(seed: int, owner: int) -> int:
    """Return how many images a product has, 1 to 3."""
    return rng(seed, "images", owner).choices((1, 2, 3), (35, 40, 25))[0]


def photograph(seed: int, product: Product, index: int, revision: int, size: int) -> Image:
    """Return image ``index`` (0 the first) ``[size, size, 3]``, RGB; a new revision is a new take."""
    draw = rng(seed, "scene", product.owner, index, revision)
    packshot = index == 0 and draw.random() < 0.8
    return take(product, materials(product), compose(draw, product, packshot=packshot), size)


def take(product: Product, covers: Mapping[str, Material], scene: Scene, size: int) -> Image:
    """Return the image ``[size, size, 3]``, RGB, of the product in these materials, in this scene."""
    surfaces = _surfaces(product.design.category, product.design.kind, product.design.form)
    present = {surface.slot for surface in surfaces}
    return render(surfaces, {slot: m for slot, m in covers.items() if slot in present}, scene, size)


@lru_cache(maxsize=8)  # the images of a design are taken one after the other
def _surfaces(category: str, kind: str, form: tuple[str | int, ...]) -> list[Surface]:
    return SHAPES[category](rng(*form), kind)


def compose(draw: Random, product: Product, *, packshot: bool) -> Scene:
    """Return a scene for the product: a packshot, or an image taken anywhere."""
    design = product.design
    category = CATEGORIES[design.category]
    (x, y, z), key, ambient, tint, softness = draw.choice(_LIGHTS[:2] if packshot else _LIGHTS)
    spread, above, (low, high) = 1.0 if packshot else 1.25, 0 if packshot else 8, category["view"]["pitch"]
    middle = sum(category["view"]["yaw"]) / 2
    across, up, down = (0.02, 0.01, 0.03) if packshot else (0.08, 0.05, 0.07)
    return Scene(
        stage=category["kinds"][design.kind].get("stage", category.get("stage", "floor")),
        yaw=middle + spread * (draw.uniform(*category["view"]["yaw"]) - middle),
        pitch=draw.uniform(low, high + above),
        distance=draw.uniform(3.2, 5.5),
        fill=draw.uniform(0.66, 0.78) if packshot else draw.uniform(0.48, 0.82),
        shift=(draw.uniform(-across, across), draw.uniform(-up, down)),
        light=(x + draw.uniform(-0.12, 0.12), y, z + draw.uniform(-0.12, 0.12)),
        key=key * draw.uniform(0.93, 1.07),
        ambient=ambient * draw.uniform(0.92, 1.08),
        tint=tint,
        background=_cove(draw, softness) if packshot or draw.random() < 0.25 else _room(draw, softness),
    )


def _cove(draw: Random, softness: float) -> Background:
    color = linear(draw.choice(_COVES))
    return Background(
        floor=color,
        wall=color,
        edge=2.0,
        shadow=draw.uniform(0.35, 0.55),
        softness=softness,
        vignette=draw.uniform(0.08, 0.2),
    )


def _room(draw: Random, softness: float) -> Background:
    floor, second, pattern, period = draw.choice(_TABLES)
    return Background(
        floor=linear(floor),
        second=linear(second),
        pattern=pattern,
        period=period * draw.uniform(0.8, 1.3),
        wall=linear(draw.choice(_WALLS)),
        edge=draw.choice((0.02, 0.03, 0.1, 0.25)),
        shadow=draw.uniform(0.45, 0.7),
        softness=softness,
        vignette=draw.uniform(0.12, 0.3),
    )
