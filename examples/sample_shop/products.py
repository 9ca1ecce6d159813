"""Who is who: from a product's number to its design, colours and images, and what each night changes.

Products are numbered from 0. Numbers fall into blocks of twelve, a block into groups of variants of one
design; every trait of a product is a function of the seed and its number, never of how many there are.
``shop.toml`` holds what can be drawn: categories, brands, colours, words.
"""

import random
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_name("shop.toml").read_text("utf-8"))
CATEGORIES: dict[str, dict[str, Any]] = _DATA["categories"]
HUES: dict[str, dict[str, Any]] = _DATA["hues"]
STYLES: dict[str, dict[str, list[str]]] = _DATA["styles"]
BRANDS = {brand: name for name, style in STYLES.items() for brand in style["brands"]}
COPY: dict[str, list[str]] = _DATA["copy"]

BLOCK = 12
SHARE_CHANGED = 0.01  # of the products, each night
_SHARED_FORMS = 48  # per kind: designs of different brands that copy each other's form
_CHANGES = ("offer", "image", "wording", "new", "offer", "gone")


def rng(*key: str | int) -> random.Random:
    """Return the random numbers that belong to ``key``, the same whatever else was drawn before."""
    return random.Random("/".join(map(str, key)))


@dataclass(frozen=True)
class Design:
    """What all variants of one product share."""

    key: str  # item_group_id
    category: str
    kind: str  # a form within the category, as ``shapes`` draws it
    brand: str
    collection: str
    form: tuple[str | int, ...]  # key of the random numbers that the shape is drawn with
    finish: str
    accent_finish: str
    pattern: str
    period: float
    hues: tuple[str, ...]  # main colours of the variants, in order
    accents: tuple[str, ...]
    sizes: tuple[str, ...]


@dataclass(frozen=True)
class Product:
    """One variant: a row of the feed."""

    number: int
    design: Design
    variant: int  # which colour, an index into ``design.hues``
    size: str
    owner: int  # number of the product whose images this one shows: variants in size share them

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
    draw = rng(seed, "block", block)
    products: list[Product] = []
    while len(products) < BLOCK:
        start = block * BLOCK + len(products)
        count = min(draw.choices((1, 2, 3, 4, 5), (3, 3, 3, 2, 1))[0], BLOCK - len(products))
        design = _design(seed, start, count)
        sizes = design.sizes or ("",)
        for i in range(count):
            variant, size = divmod(i, len(sizes))
            products.append(Product(start + i, design, variant, sizes[size], start + i - size))
    return products


def _design(seed: int, start: int, count: int) -> Design:
    """Return the design of the ``count`` products from number ``start`` on."""
    draw = rng(seed, "design", start)
    name, category = draw.choice(tuple(CATEGORIES.items()))
    kind = draw.choices(tuple(category["kinds"]), [k["weight"] for k in category["kinds"].values()])[0]
    brand = draw.choice(tuple(BRANDS))
    style = STYLES[BRANDS[brand]]
    shared = draw.random() < 0.5
    form = ("form", name, kind, draw.randint(0, _SHARED_FORMS - 1)) if shared else ("form", start)
    finishes = [f for f in style["finishes"] if f in category["materials"]] or list(category["materials"])
    if "sizes" in category and draw.random() < 0.5:  # clothes and shoes
        finishes = ["fabric"]
    hues = draw.sample(style["hues"], count)
    others = [h for h in dict.fromkeys((*style["hues"], "cream", "black", "brown")) if h not in hues]
    accents = draw.sample(others * 2, count)  # a style may be left with three other colours for five variants
    sizes: list[str] = []
    if "sizes" in category and count >= 3 and draw.random() < 0.5:
        sizes = sorted(draw.sample(category["sizes"], 2), key=category["sizes"].index)
    return Design(
        key=f"G{start:06d}",
        category=name,
        kind=kind,
        brand=brand,
        collection=draw.choice(COPY["collections"]),
        form=(seed, *form),
        finish=draw.choice(finishes),
        accent_finish=draw.choice(finishes),
        pattern=draw.choice(style["patterns"]) if draw.random() < category["pattern"]["share"] else "plain",
        period=draw.uniform(*category["pattern"]["period"]),
        hues=tuple(hues),
        accents=tuple(accents),
        sizes=tuple(sizes),
    )


@dataclass
class Catalog:
    """The catalog of one night, as changes of what the seed alone says."""

    count: int  # products are numbered 0 to count - 1, less those that are gone
    gone: set[int] = field(default_factory=set)
    # ("offer", "wording" or "image", product) → how often it was changed
    revisions: Counter[tuple[str, int]] = field(default_factory=Counter)
    changed_on: dict[int, int] = field(default_factory=dict)  # product → the last night that changed it
    tonight: Counter[str] = field(default_factory=Counter)  # kind of change → how many in the last night

    def numbers(self) -> list[int]:
        """Return the numbers of all products there are, ascending."""
        return [n for n in range(self.count) if n not in self.gone]


def catalog_of_night(seed: int, num_products: int, night: int) -> Catalog:
    """Return the catalog of the ``night``-th night; the first has ``num_products`` products.

    It is replayed from night 1: a few draws per night, whatever the size of the catalog is.
    """
    catalog = Catalog(num_products)
    for n in range(2, night + 1):
        catalog.tonight.clear()
        draw = rng(seed, "night", n)
        for i in range(max(1, round(SHARE_CHANGED * (catalog.count - len(catalog.gone))))):
            kind = _CHANGES[(i + n) % len(_CHANGES)]
            number = catalog.count if kind == "new" else draw.randrange(catalog.count)
            while number in catalog.gone or catalog.changed_on.get(number) == n:
                number = (number + 1) % catalog.count
            if kind == "new":
                catalog.count += 1
            elif kind == "gone":
                catalog.gone.add(number)
            else:
                catalog.revisions[kind, product(seed, number).owner if kind == "image" else number] += 1
            catalog.changed_on[number] = n
            catalog.tonight[kind] += 1
    return catalog
