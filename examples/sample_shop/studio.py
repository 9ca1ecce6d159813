"""The photographer: chooses background, light and viewpoint of each image, and takes it.

The first image of a product is a packshot: a light cove, a view from slightly above. The others are
taken anywhere.

Does not know: words, prices, nights.
"""

from examples.sample_shop.backdrop import Backdrop
from examples.sample_shop.design import Product, materials
from examples.sample_shop.dice import Dice
from examples.sample_shop.render import Image, Scene, render
from examples.sample_shop.shapes import SHAPES
from examples.sample_shop.surface import linear

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
    return Dice(seed, "images", owner).weighted(((1, 35), (2, 40), (3, 25)))


def photograph(seed: int, product: Product, index: int, revision: int, size: int) -> Image:
    """Return image ``index`` (0 the first) ``[size, size, 3]``, RGB; a new revision is a new take."""
    shape = SHAPES[product.design.category](Dice(*product.design.form), product.design.kind.name, 1.0)
    dice = Dice(seed, "scene", product.owner, index, revision)
    packshot = index == 0 and dice.chance(0.8)
    direction, key, ambient, tint, softness = _LIGHTS[dice.integer(0, 1 if packshot else len(_LIGHTS) - 1)]
    spread = 1.0 if packshot else 1.25
    middle = (shape.yaw[0] + shape.yaw[1]) / 2
    scene = Scene(
        yaw=middle + spread * (dice.uniform(*shape.yaw) - middle),
        pitch=dice.uniform(shape.pitch[0], shape.pitch[1] if packshot else shape.pitch[1] + 8),
        distance=dice.uniform(3.2, 5.5),
        fill=dice.uniform(0.66, 0.78) if packshot else dice.uniform(0.48, 0.82),
        shift=(dice.uniform(-0.02, 0.02), dice.uniform(-0.01, 0.03))
        if packshot
        else (dice.uniform(-0.08, 0.08), dice.uniform(-0.05, 0.07)),
        light=(
            direction[0] + dice.uniform(-0.12, 0.12),
            direction[1],
            direction[2] + dice.uniform(-0.12, 0.12),
        ),
        key=key * dice.uniform(0.93, 1.07),
        ambient=ambient * dice.uniform(0.92, 1.08),
        tint=tint,
        backdrop=_cove(dice, softness) if packshot or dice.chance(0.25) else _room(dice, softness),
    )
    present = {surface.slot for surface in shape.surfaces}
    cover = {slot: m for slot, m in materials(product).items() if slot in present}
    return render(shape, cover, scene, size)


def _cove(dice: Dice, softness: float) -> Backdrop:
    color = linear(dice.choice(_COVES))
    return Backdrop(
        floor=color,
        wall=color,
        edge=2.0,
        shadow=dice.uniform(0.35, 0.55),
        softness=softness,
        vignette=dice.uniform(0.08, 0.2),
    )


def _room(dice: Dice, softness: float) -> Backdrop:
    floor, second, pattern, period = dice.choice(_TABLES)
    return Backdrop(
        floor=linear(floor),
        second=linear(second),
        pattern=pattern,
        size=period * dice.uniform(0.8, 1.3),
        wall=linear(dice.choice(_WALLS)),
        edge=dice.choice((0.02, 0.03, 0.1, 0.25)),
        shadow=dice.uniform(0.45, 0.7),
        softness=softness,
        vignette=dice.uniform(0.12, 0.3),
    )
