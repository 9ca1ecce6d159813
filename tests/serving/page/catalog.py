"""The shop of the page's tests: a hundred products, always the same, drawn with a few strokes.

Products come in threes, of one design in three colours. P000003 is the bag that most tests start from.
"""

import csv
from pathlib import Path

from PIL import Image, ImageDraw

NUM_PRODUCTS = 100
_BRANDS = ("Quillane", "Larkmoss & Sons", "Velmadora", "Otterwick", "Northquay", "Fennimar")
_COLLECTIONS = ("Amble", "Dune", "Gale", "Iris", "Kelp", "Nook", "Sable", "Tundra", "Yarrow")
_COLORS = {
    "red": "#c8433f", "sand": "#d8c3a0", "navy": "#24304d", "charcoal": "#45484d", "teal": "#2f7f86",
    "mustard": "#e6bd55", "plum": "#6c3f63", "olive": "#7c7c45", "pink": "#eaa9b4", "sky blue": "#8fb8d6",
}  # fmt: skip
_KINDS = (  # noun, category, material, price, and the size of a rounded box: width, height, corner
    ("teapot", "Home > Kitchen & Dining > Teapots", "porcelain", 64.99, (70, 52, 26)),
    ("cross-body bag", "Accessories > Handbags", "vegan leather", 161.90, (76, 44, 8)),
    ("mug", "Home > Kitchen & Dining > Mugs", "stoneware", 14.50, (40, 48, 4)),
    ("watch", "Accessories > Watches", "steel", 199.00, (34, 34, 17)),
    ("vase", "Home > Decor > Vases", "terracotta", 32.99, (30, 80, 15)),
    ("dining chair", "Furniture > Seating > Chairs", "birch", 119.00, (44, 74, 2)),
    ("table lamp", "Home > Lighting > Table Lamps", "brass", 89.00, (52, 60, 20)),
    ("cushion", "Home > Textiles > Cushions", "linen", 29.00, (72, 70, 10)),
    ("wall clock", "Home > Decor > Clocks", "bamboo", 46.95, (72, 72, 36)),
    ("sneaker", "Shoes > Trainers", "canvas", 84.00, (88, 30, 14)),
    ("backpack", "Accessories > Backpacks", "canvas", 74.00, (56, 76, 18)),
)


def write(folder: Path) -> Path:
    """Write ``feed.csv`` and its images into ``folder``; return the path of the feed."""
    folder.mkdir()
    rows = [_row(number) for number in range(NUM_PRODUCTS)]
    for number, row in enumerate(rows):
        for index, name in enumerate(filter(None, [row["image_link"], row["additional_image_link"]])):
            _draw(number, ("#eeece6", "#c7d0cc")[index]).save(folder / name, quality=90)
    with (folder / "feed.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "feed.csv"


def _row(number: int) -> dict[str, str]:
    design, id = number // 3, f"P{number:06d}"
    noun, category, material, price, _ = _KINDS[design % len(_KINDS)]
    brand, collection = _BRANDS[design % len(_BRANDS)], _COLLECTIONS[design % len(_COLLECTIONS)]
    color = list(_COLORS)[number % len(_COLORS)]
    return {
        "id": id,
        "title": f"{brand} {collection} {noun}, {color}",
        "description": f"A {noun} of {material}. {brand} designed {collection} for long years.",
        "link": f"https://shop.example/p/{id.lower()}",
        "image_link": f"{id}.jpg" if number % 25 != 24 else "",
        "additional_image_link": f"{id}-2.jpg" if number % 4 == 1 else "",
        "availability": "out_of_stock" if number % 9 == 4 else "in_stock",
        "price": f"{price:.2f} USD",
        "sale_price": f"{0.7 * price:.2f} USD" if number % 6 == 2 else "",
        "brand": brand,
        "product_type": category,
        "item_group_id": f"G{3 * design:06d}",
        "color": color,
        "material": material,
        "collection": collection,
    }


def _draw(number: int, background: str) -> Image.Image:
    """Return the image of a product: a box with a handle, and as many stripes as tell designs apart."""
    image = Image.new("RGB", (128, 128), background)
    draw, design = ImageDraw.Draw(image), number // 3
    color = list(_COLORS.values())[number % len(_COLORS)]
    wide, high, corner = _KINDS[design % len(_KINDS)][-1]
    left, top = 64 - wide / 2, 108 - high
    draw.ellipse((left - 6, 102, 134 - left, 114), fill="#a9a69e")
    draw.arc((left + 8, top - 14, 120 - left, top + 14), 180, 360, fill=color, width=4)
    draw.rounded_rectangle((left, top, 128 - left, 108), corner, fill=color)
    for stripe in range(design // len(_KINDS)):
        draw.line((left + 10, top + 10 + 8 * stripe, 118 - left, top + 10 + 8 * stripe), "#f0efec", 3)
    return image
