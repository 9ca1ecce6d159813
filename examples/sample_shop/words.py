"""What the shop writes about a product: title, description, price and the other columns of the feed.

Does not know: images, nights, files.
"""

from examples.sample_shop.assortment import ASSORTMENT
from examples.sample_shop.design import Product
from examples.sample_shop.dice import Dice
from examples.sample_shop.vocabulary import BRANDS, CLOSINGS, HUES, OPENINGS, STYLES, TITLES

COLUMNS = (
    "id",
    "title",
    "description",
    "link",
    "image_link",
    "additional_image_link",
    "availability",
    "price",
    "sale_price",
    "brand",
    "gtin",
    "mpn",
    "google_product_category",
    "product_type",
    "item_group_id",
    "color",
    "size",
    "material",
    "pattern",
    "gender",
    "age_group",
    "updated_at",
    "collection",
)
"""Columns of ``feed.csv``: Google Merchant's names, ``updated_at``, and one of the shop's own."""


def row(seed: int, product: Product, *, wording: int = 0, offer: int = 0) -> dict[str, str]:
    """Return the product's feed row without images and date.

    ``wording`` and ``offer`` count how often its text and its price or stock have been changed.
    """
    design = product.design
    facts = ASSORTMENT[design.category]
    group, own = Dice(seed, "words", design.key), Dice(seed, "own words", product.number, wording)
    style = STYLES[BRANDS[design.brand]]
    color = Dice(seed, "color", design.key, product.variant).choice(HUES[product.hue].names)
    values = {
        "brand": design.brand,
        "line": design.collection,
        "noun": group.choice(design.kind.nouns),
        "color": color,
        "material": group.choice(facts.materials[design.finish]),
        "adjective": own.choice(style.words),
    }
    values |= {
        "Noun": _capital(values["noun"]),
        "Color": _capital(color),
        "adjective_": _capital(values["adjective"]),
    }
    title = own.choice(TITLES) if wording or own.chance(0.15) else group.choice(TITLES)
    lines = [facts_line.format(group.choice(fills)) for facts_line, fills in facts.facts]
    description = " ".join(
        [own.choice(OPENINGS).format(**values), *own.sample(lines, 3), own.choice(CLOSINGS).format(**values)]
    )
    shelf = (
        (*facts.path[:-1], design.kind.shelf or facts.path[-1])
        if len(facts.path) > 1
        else (*facts.path, design.kind.shelf or "")
    )
    return {
        "id": product.id,
        "title": _capital(title.format(**values)) + (f", {product.size}" if product.size else ""),
        "description": "" if own.chance(0.04) else description,
        "link": f"https://shop.example/p/{product.id.lower()}",
        "brand": design.brand if not own.chance(0.03) else "",
        "gtin": _gtin(product.number) if not own.chance(0.1) else "",
        "mpn": f"{design.brand[:3].upper()}-{design.key[1:]}-{product.variant + 1}{product.size}",
        "google_product_category": facts.google,
        "product_type": " > ".join(step for step in shelf if step),
        "item_group_id": design.key,
        "color": color,
        "size": product.size,
        "material": values["material"] if not own.chance(0.1) else "",
        "pattern": design.pattern if design.pattern != "plain" and group.chance(0.25) else "",
        "gender": group.choice(("female", "male", "unisex")) if facts.worn else "",
        "age_group": "adult" if facts.worn else "",
        "collection": design.collection,
        **_offer(seed, product, offer),
    }


def _offer(seed: int, product: Product, revision: int) -> dict[str, str]:
    low, high = ASSORTMENT[product.design.category].price
    group = Dice(seed, "price", product.design.key)
    cents = int(100 * low * (high / low) ** group.uniform())
    cents = max(99, cents - cents % 100 + group.choice((0, 50, 90, 95, 99)))
    dice = Dice(seed, "offer", product.number, revision)
    if revision:
        cents = max(99, int(cents * dice.choice((0.85, 0.9, 0.95, 1.05, 1.1))))
    sale = int(cents * dice.choice((0.7, 0.8, 0.85))) if dice.chance(0.12) else None
    return {
        "availability": dice.weighted(
            (("in_stock", 88), ("out_of_stock", 8), ("preorder", 2), ("backorder", 2))
        ),
        "price": _dollars(cents),
        "sale_price": _dollars(sale) if sale else "",
    }


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d} USD"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _gtin(number: int) -> str:
    """Return a GTIN-13 of the range kept for use within a company, with its check digit."""
    digits = f"20{number:010d}"
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits))
    return digits + str(-total % 10)
