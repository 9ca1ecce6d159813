"""What the shop writes about its products: the rows of the feed, and a dozen broken ones.

The broken rows and images are what a catalog must reject or survive, and say so.
"""

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from examples.sample_shop.products import BRANDS, CATEGORIES, COPY, HUES, STYLES, Product, rng

# Google Merchant's names, ``updated_at``, and one of the shop's own.
COLUMNS = (
    "id", "title", "description", "link", "image_link", "additional_image_link", "availability", "price",
    "sale_price", "brand", "gtin", "mpn", "google_product_category", "product_type", "item_group_id", "color",
    "size", "material", "pattern", "gender", "age_group", "updated_at", "collection",
)  # fmt: skip
BROKEN_IMAGES = "images/odd"


def row(seed: int, product: Product, *, wording: int = 0, offer: int = 0) -> dict[str, str]:
    """Return the product's feed row without images and date.

    ``wording`` and ``offer`` count how often its text and its price or stock have been changed.
    """
    design = product.design
    category = CATEGORIES[design.category]
    kind = category["kinds"][design.kind]
    group, own = rng(seed, "words", design.key), rng(seed, "own words", product.number, wording)
    words = {
        "brand": design.brand,
        "line": design.collection,
        "noun": group.choice(kind["nouns"]),
        "color": rng(seed, "color", design.key, product.variant).choice(HUES[product.hue]["names"]),
        "material": group.choice(category["materials"][design.finish]),
        "adjective": own.choice(STYLES[BRANDS[design.brand]]["words"]),
    }
    words |= {name.capitalize(): _sentence_case(words[name]) for name in ("noun", "color", "adjective")}
    title = (own if wording or own.random() < 0.15 else group).choice(COPY["titles"]).format(**words)
    sentences = [sentence.format(group.choice(fills)) for sentence, fills in category["facts"]]
    own.shuffle(sentences)
    opening, closing = (own.choice(COPY[part]).format(**words) for part in ("openings", "closings"))
    path = category["path"].split(" > ")
    if "shelf" in kind:
        path = [*path[:-1], kind["shelf"]] if len(path) > 1 else [*path, kind["shelf"]]
    worn = "sizes" in category
    return {
        "id": product.id,
        "title": _sentence_case(title) + (f", {product.size}" if product.size else ""),
        "description": " ".join([opening, *sentences, closing]) if own.random() < 0.96 else "",
        "link": f"https://shop.example/p/{product.id.lower()}",
        "brand": design.brand if own.random() < 0.97 else "",
        "gtin": _gtin(product.number) if own.random() < 0.9 else "",
        "mpn": f"{design.brand[:3].upper()}-{design.key[1:]}-{product.variant + 1}{product.size}",
        "google_product_category": category["google"],
        "product_type": " > ".join(path),
        "item_group_id": design.key,
        "color": words["color"],
        "size": product.size,
        "material": words["material"] if own.random() < 0.9 else "",
        "pattern": design.pattern if design.pattern != "plain" and group.random() < 0.25 else "",
        "gender": group.choice(("female", "male", "unisex")) if worn else "",
        "age_group": "adult" if worn else "",
        "collection": design.collection,
        **_offer(seed, product, offer),
    }


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _gtin(number: int) -> str:
    """Return a GTIN-13 of the range kept for use within a company, with its check digit."""
    digits = f"20{number:010d}"
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits))
    return digits + str(-total % 10)


def _offer(seed: int, product: Product, revision: int) -> dict[str, str]:
    """Return the price and the stock of a product after this many changes of them."""
    low, high = CATEGORIES[product.design.category]["price"]
    group, own = rng(seed, "price", product.design.key), rng(seed, "offer", product.number, revision)
    price = int(low * (high / low) ** group.random()) + group.choice((0, 0.5, 0.9, 0.95, 0.99))
    if revision:
        price *= own.choice((0.85, 0.9, 0.95, 1.05, 1.1))
    sale = price * own.choice((0.7, 0.8, 0.85)) if own.random() < 0.12 else None
    stock = ("in_stock", "out_of_stock", "preorder", "backorder")
    return {
        "availability": own.choices(stock, (88, 8, 2, 2))[0],
        "price": f"{price:.2f} USD",
        "sale_price": f"{sale:.2f} USD" if sale else "",
    }


def broken_rows(sound: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the broken rows; ``sound`` is a good row that one of them repeats."""
    base = dict.fromkeys(COLUMNS, "") | {
        name: sound[name] for name in ("brand", "product_type", "google_product_category", "updated_at")
    }
    base |= {"title": "Sample piece from the photo studio", "availability": "in_stock", "price": "19.90 USD"}
    image, folder = sound["image_link"], BROKEN_IMAGES
    faults = [
        {"title": "", "description": "Nobody wrote a title and nobody took an image."},
        {"title": "Image upload was interrupted", "image_link": f"{folder}/truncated.jpg"},
        {"title": "Price to be agreed", "image_link": image, "price": "twelve dollars"},
        {"title": "Image from another folder", "image_link": "../" * 16 + "etc/passwd"},
        {"title": "The image is a web page", "image_link": f"{folder}/page.jpg"},
        {"title": "The image was never uploaded", "image_link": f"{folder}/missing.jpg"},
        {"title": "The image is an empty file", "image_link": f"{folder}/empty.jpg"},
        {"title": "", "image_link": f"{folder}/dot.png", "description": "A tracking pixel for an image."},
        {"title": "Cut-out image with a transparent edge", "image_link": f"{folder}/alpha.png"},
        {"title": "Image taken with the camera on its side", "image_link": f"{folder}/turned.jpg"},
        {
            "title": "Availability nobody understands",
            "image_link": image,
            "availability": "maybe",
            "gtin": "1",
        },
    ]
    return [
        *[base | {"id": f"X{number:06d}"} | fault for number, fault in enumerate(faults, start=1)],
        base | {"title": "A product without a number", "image_link": image},
        {**sound, "title": sound["title"] + " (listed twice)"},
    ]


def write_broken_images(out: Path, sound: bytes) -> None:
    """Write the images that the broken rows name, made from one sound JPEG."""
    folder = out / BROKEN_IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truncated.jpg").write_bytes(sound[: len(sound) * 3 // 5])
    (folder / "page.jpg").write_text(
        "<!doctype html><title>404 Not Found</title><p>The image has moved.</p>\n"
    )
    (folder / "empty.jpg").write_bytes(b"")
    image = Image.open(io.BytesIO(sound))
    image.resize((1, 1)).save(folder / "dot.png")
    cut_out = image.convert("RGBA")
    cut_out.paste((0, 0, 0, 0), (0, 0, image.width, image.height // 4))
    cut_out.save(folder / "alpha.png")
    orientation = Image.Exif()
    orientation[0x0112] = 6  # turn it clockwise to see it upright
    image.rotate(90, expand=True).save(folder / "turned.jpg", quality=95, exif=orientation)
