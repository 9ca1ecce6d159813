"""Products of other shops, for a tower to learn from: none of them is in the shop of ``make demo``.

Each shop is drawn from a seed of its own, so its shapes are its own. Half of its designs are covered in what
their brand would not choose, the palette drifts from product to product, and half of the images are taken
where no photographer of the shop would: a tower that has seen them does not depend on such habits.
"""

import colorsys
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random

from examples.sample_shop.materials import PATTERNS, Color, Material, materials
from examples.sample_shop.photo import compose, take
from examples.sample_shop.products import BRANDS, CATEGORIES, HUES, STYLES, Design, Product, product, rng
from examples.sample_shop.render import Background, Image, Scene

TRAINING_SEEDS = range(1001, 1015)
VALIDATION_SEEDS = range(2001, 2005)
PRODUCTS_PER_SHOP = 600
VARIANTS = 3  # of each design
_STRUCTURES = ("grain", "weave", "knit")  # of a material, and not printed on it


def designs(seed: int, num_products: int = PRODUCTS_PER_SHOP) -> list[Design]:
    """Return the designs of the first products of the shop that ``seed`` draws."""
    found = {one.design.key: one.design for one in (product(seed, n) for n in range(num_products))}
    return list(found.values())


def training_products(seed: int, num_products: int = PRODUCTS_PER_SHOP) -> Iterator[Product]:
    """Yield the products of a shop to learn from: ``VARIANTS`` colours of each of its designs."""
    for own in designs(seed, num_products):
        wider = _widen(own, rng(seed, "wider", own.key))
        for variant in range(VARIANTS):
            number = variant * PRODUCTS_PER_SHOP + int(own.key[1:])
            yield Product(number, wider, variant, size="", owner=number)


def training_image(seed: int, product: Product, view: int, size: int) -> Image:
    """Return an image ``[size, size, 3]``, RGB: view 0 as the shop takes it, others taken anywhere."""
    draw = rng(seed, "training scene", product.number, view)
    scene = compose(draw, product, packshot=view == 0 and draw.random() < 0.5)
    drift = rng(seed, "drift", product.number)
    gains = tuple(drift.lognormvariate(0, 0.1) for _ in range(3))
    covers = {slot: _recolor(material, gains) for slot, material in materials(product).items()}
    return take(product, covers, _unsettle(draw, scene) if view else scene, size)


def shapes(seeds: Sequence[int], num_products: int = PRODUCTS_PER_SHOP) -> set[int]:
    """Return what names the shapes of the shops of ``seeds``: 64 bits of the chance that draws each."""
    return {rng(*one.form).getrandbits(64) for seed in seeds for one in designs(seed, num_products)}


def digest_of(shapes: set[int]) -> str:
    """Return a hash (16 hex characters) of a set of shapes."""
    listed = b"".join(shape.to_bytes(8, "big") for shape in sorted(shapes))
    return hashlib.blake2b(listed, digest_size=8).hexdigest()


def _widen(design: Design, draw: Random) -> Design:
    """Return the design in colours of its brand or any, and half the time in another material."""
    hues = list(STYLES[BRANDS[design.brand]]["hues"] if draw.random() < 0.5 else HUES)
    changed = {}
    if draw.random() < 0.5:
        category = CATEGORIES[design.category]
        patterns = [name for name in PATTERNS if name not in _STRUCTURES]
        changed = {
            "finish": draw.choice(list(category["materials"])),
            "accent_finish": draw.choice(list(category["materials"])),
            "pattern": draw.choice(patterns) if draw.random() < category["pattern"]["share"] else "plain",
        }
    mains = draw.sample(hues, VARIANTS)
    return replace(
        design,
        hues=tuple(mains),
        accents=tuple(draw.choice([h for h in hues if h != main]) for main in mains),
        sizes=(),
        **changed,
    )


def _recolor(material: Material, gains: Sequence[float]) -> Material:
    def drifted(color: Color) -> Color:
        return tuple(min(1.0, c * gain) for c, gain in zip(color, gains, strict=True))

    return replace(material, color=drifted(material.color), second=drifted(material.second))


def _unsettle(draw: Random, scene: Scene) -> Scene:
    """Return the scene with other light, surroundings, viewpoint and distance."""
    tint = tuple(1 - draw.uniform(0, 0.16) for _ in range(3))
    return replace(
        scene,
        yaw=scene.yaw + draw.uniform(-15, 15),
        pitch=scene.pitch + draw.uniform(-3, 10),
        distance=draw.uniform(2.8, 7),
        fill=draw.uniform(0.4, 0.88),
        light=(draw.uniform(-0.9, 0.9), draw.uniform(0.45, 1), draw.uniform(0.25, 0.9)),
        key=draw.uniform(0.55, 1.05),
        ambient=draw.uniform(0.32, 0.62),
        tint=(tint[0], tint[1], tint[2]),
        background=Background(
            floor=_any_color(draw),
            wall=_any_color(draw),
            second=_any_color(draw),
            pattern=draw.choice(("plain", *PATTERNS)),
            period=draw.uniform(0.05, 0.8),
            edge=draw.choice((0.02, 0.1, 0.5, 2.0)),
            shadow=draw.uniform(0.2, 0.75),
            softness=draw.uniform(0.01, 0.07),
            vignette=draw.uniform(0, 0.35),
        ),
    )


def _any_color(draw: Random) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(draw.random(), draw.betavariate(1, 3), draw.uniform(0.25, 1))
    return red * red, green * green, blue * blue
