"""Who is who: from a product's number to its group, form, colours and images.

Products are numbered from 0. Numbers fall into blocks of twelve, a block into groups of variants of one
design; a product's every trait is a function of the seed and its number, never of how many there are.

Does not know: words, pixels, nights.
"""

from dataclasses import dataclass
from functools import lru_cache

from examples.sample_shop.assortment import ASSORTMENT, Kind
from examples.sample_shop.dice import Dice
from examples.sample_shop.surface import Material, linear, mix, shade
from examples.sample_shop.vocabulary import BRANDS, COLLECTIONS, HUES, STYLES

BLOCK = 12
_SHARED_FORMS = 48  # per category: designs of different brands that copy each other's form


@dataclass(frozen=True)
class Design:
    """What all variants of one product share."""

    key: str
    """``item_group_id``."""
    category: str
    kind: Kind
    brand: str
    collection: str
    form: tuple[str | int, ...]
    """Key of the dice that the shape is drawn with."""
    finish: str
    accent_finish: str
    pattern: str
    period: float
    hues: tuple[str, ...]
    """Main colours of the variants, in order."""
    accents: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """One variant: what is in the feed."""

    number: int
    design: Design
    variant: int
    """Which colour, an index into ``design.hues``."""
    size: str
    owner: int
    """Number of the product whose images this one shows: variants in size share them."""

    @property
    def id(self) -> str:
        """Return the id in the feed."""
        return f"P{self.number:06d}"

    @property
    def hue(self) -> str:
        """Return the family of the main colour."""
        return self.design.hues[self.variant]


def product(seed: int, number: int) -> Product:
    """Return product ``number`` of the shop that ``seed`` draws."""
    return _block(seed, number // BLOCK)[number % BLOCK]


@lru_cache(maxsize=512)
def _block(seed: int, block: int) -> list[Product]:
    dice = Dice(seed, "block", block)
    products: list[Product] = []
    while len(products) < BLOCK:
        count = min(dice.weighted(((1, 3), (2, 3), (3, 3), (4, 2), (5, 1))), BLOCK - len(products))
        products += _variants(seed, block * BLOCK + len(products), count)
    return products


def _variants(seed: int, start: int, count: int) -> list[Product]:
    """Return the ``count`` products of the design whose first product is number ``start``."""
    design = _design(seed, start, count)
    sizes = design.sizes or ("",)
    return [
        Product(
            start + i, design, i // len(sizes), sizes[i % len(sizes)], start + i // len(sizes) * len(sizes)
        )
        for i in range(count)
    ]


def _design(seed: int, start: int, count: int) -> Design:
    dice = Dice(seed, "design", start)
    category = dice.choice(tuple(ASSORTMENT))
    facts = ASSORTMENT[category]
    kind = dice.weighted(tuple((k, k.weight) for k in facts.kinds))
    brand = dice.choice(tuple(BRANDS))
    style = STYLES[BRANDS[brand]]
    shared = dice.chance(0.5)
    form: tuple[str | int, ...] = (
        ("form", category, kind.name, dice.integer(0, _SHARED_FORMS - 1)) if shared else ("form", start)
    )
    finishes = [f for f in style.finishes if f in facts.materials] or list(facts.materials)
    if facts.worn and dice.chance(0.5):
        finishes = ["fabric"]
    hues = dice.sample(style.hues, count)
    others = dice.sample([h for h in (*style.hues, "cream", "black", "brown") if h not in hues], len(hues))
    sizes = (
        tuple(sorted(dice.sample(facts.sizes, 2), key=facts.sizes.index))
        if facts.sizes and count >= 3 and dice.chance(0.5)
        else ()
    )
    return Design(
        key=f"G{start:06d}",
        category=category,
        kind=kind,
        brand=brand,
        collection=dice.choice(COLLECTIONS),
        form=(seed, *form),
        finish=dice.choice(finishes),
        accent_finish=dice.choice(finishes),
        pattern=dice.choice(style.patterns) if dice.chance(facts.patterned) else "plain",
        period=dice.uniform(*facts.period),
        hues=tuple(hues),
        accents=tuple((others * count)[:count]),
        sizes=sizes,
    )


FIXED = {
    "wood": Material(linear("#c8966a"), "satin", linear("#9c673f"), "grain", 0.12),
    "cork": Material(linear("#c9a06c"), "matte", linear("#9a7044"), "speckle", 0.05),
    "steel": Material(linear("#c6c9ce"), "metal"),
    "metal": Material(linear("#bfc2c8"), "metal"),
    "brass": Material(linear("#d8b15a"), "metal"),
    "dark": Material(linear("#2b2c30"), "satin"),
    "ink": Material(linear("#1d1d20")),
    "white": Material(linear("#f0efec"), "satin"),
    "face": Material(linear("#f3f0e8"), "satin"),
    "rubber": Material(linear("#e6e2d9")),
    "lining": Material(linear("#4a443e"), "fabric"),
    "strap": Material(linear("#4a372a"), "fabric"),
    "shade": Material(linear("#eadcc2"), "fabric", glow=0.22),
    "glow": Material(linear("#fff1d0"), glow=0.8),
    "red": Material(linear("#d64541"), "satin", glow=0.4),
    "green": Material(linear("#4fae6b"), "satin", glow=0.4),
}
"""Materials that do not depend on the variant."""


def materials(product: Product) -> dict[str, Material]:
    """Return the material of every slot of the product."""
    design = product.design
    main = linear(HUES[product.hue].code)
    accent = linear(HUES[design.accents[product.variant]].code)
    if design.pattern != "plain":
        cover = Material(main, design.finish, accent, design.pattern, design.period)
    elif design.finish == "fabric":
        cover = Material(
            main, "fabric", shade(main, 0.82), "weave" if design.category != "shirt" else "knit", 0.045
        )
    elif (
        design.category == "chair"
        and design.finish == "satin"
        and product.hue in ("brown", "sand", "rust", "cream")
    ):
        cover = Material(main, "satin", shade(main, 0.62), "grain", 0.14)
    else:
        cover = Material(
            mix(main, (0.7, 0.7, 0.72), 0.25) if design.finish == "metal" else main, design.finish
        )
    case = FIXED["brass" if BRANDS[design.brand] in ("retro", "soft", "rustic") else "steel"]
    return {**FIXED, "case": case, "main": cover, "accent": Material(accent, design.accent_finish)}
