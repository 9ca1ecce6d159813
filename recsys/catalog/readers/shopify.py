"""Shopify's product CSV: the several rows of one handle put together into one record per variant.

A product's first row carries its text, each row may add a variant, an image, or both. Both the column
names of today's export ("URL handle", "SKU") and those of the older one ("Handle", "Variant SKU") are
read. Records carry Google Merchant's names; all variants of a handle share ``item_group_id``.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from recsys.catalog.readers import FeedRecord
from recsys.errors import InputError

_NAMES: dict[str, tuple[str, ...]] = {
    "handle": ("handle", "url handle"),
    "title": ("title",),
    "description": ("body (html)", "description"),
    "brand": ("vendor",),
    "google_product_category": ("google shopping / google product category", "product category"),
    "product_type": ("type", "custom product type"),
    "tags": ("tags",),
    "published": ("published", "published on online store"),
    "status": ("status",),
    "sku": ("variant sku", "sku"),
    "price": ("variant price", "price"),
    "compare_at": ("variant compare at price", "compare-at price"),
    "gtin": ("variant barcode", "barcode"),
    "tracker": ("variant inventory tracker", "inventory tracker"),
    "quantity": ("variant inventory qty", "inventory quantity"),
    "policy": ("variant inventory policy", "continue selling when out of stock"),
    "image": ("image src", "product image url"),
    "position": ("image position",),
    "variant_image": ("variant image", "variant image url"),
    "mpn": ("google shopping / mpn",),
    "gender": ("google shopping / gender",),
    "age_group": ("google shopping / age group",),
}
_OPTIONS = {"color": "color", "colour": "color", "size": "size", "material": "material", "pattern": "pattern"}
_SHARED = (
    "description", "brand", "google_product_category", "product_type", "mpn", "gender", "age_group", "tags",
)  # fmt: skip
_DEFAULT = "Default Title"
_NO = ("false", "no", "0")

Row = dict[str, str]


def is_shopify(header: Iterable[str]) -> bool:
    """Whether a CSV with these columns is a Shopify product export."""
    names = {name.strip().lower() for name in header}
    return bool(names & {"handle", "url handle"}) and bool(
        names & {"option1 value", "variant sku", "image src"}
    )


def read_shopify(records: Iterable[FeedRecord]) -> Iterator[FeedRecord]:
    """Yield one record per variant from the CSV's ``records``; rows of a handle stand together.

    Variants of products that are drafts, archived or not published are ``withheld``. A broken row is
    passed on.
    """
    for handle, group in groupby(records, key=_handle):
        rows = []
        for record in group:
            if record.error:
                yield record
            elif not handle:
                yield FeedRecord(record.row, {}, "The row has no handle, so it belongs to no product.")
            else:
                rows.append((record.row, _short_names(record.values)))
        if rows:
            yield from _variants(handle, rows)


def _handle(record: FeedRecord) -> str:
    names = {str(name).strip().lower(): value for name, value in record.values.items()}
    value = next((names[name] for name in _NAMES["handle"] if name in names), None)
    if value is None and not record.error:
        raise InputError(
            f"The feed has no Handle column; found {', '.join(list(names)[:8])}.",
            fix="Name the right catalog.format: this is not a Shopify product export.",
        )
    return str(value or "").strip()


def _short_names(values: Mapping[str, Any]) -> Row:
    """Give known columns our short names; keep every other as ``_`` and its own name."""
    texts = {str(name).strip(): str(value or "").strip() for name, value in values.items()}
    original = {name.lower(): name for name in texts}
    row: Row = {}
    for short, names in _NAMES.items():
        found = [texts[original.pop(name)] for name in names if name in original]
        row[short] = next(filter(None, found), "")
    for lower, name in original.items():
        row[lower if lower.startswith("option") else f"_{name}"] = texts[name]
    return row


def _variants(handle: str, rows: list[tuple[int, Row]]) -> Iterator[FeedRecord]:
    """Yield the records of one product; its first row names the options and carries the texts."""
    head = rows[0][1]
    variants = [pair for pair in rows if pair[1]["price"] or pair[1]["sku"] or pair[1].get("option1 value")]
    variants = variants or rows[:1]
    withheld = None
    if head["status"] and head["status"].lower() != "active":
        withheld = f"The product's status is {head['status']}; only active products are taken."
    elif head["published"].lower() in _NO:
        withheld = "The product is not published."
    images = _images(row for _, row in rows)
    of_variants = {row["variant_image"] for _, row in variants}
    shared = [image for image in images if image not in of_variants]
    used: set[str] = set()
    for number, row in variants:
        pairs = ((head.get(f"option{i} name", ""), row.get(f"option{i} value", "")) for i in (1, 2, 3))
        options = {name or "Option": value for name, value in pairs if value and value != _DEFAULT}
        # The SKU, or the handle and the options: both outlive a new export.
        own = handle if len(variants) == 1 else "/".join([handle, *options.values()])
        id = row["sku"] if row["sku"] and row["sku"] not in used else own
        used.add(id)
        own_image = row["variant_image"]
        shown = [own_image, *shared] if own_image else shared or images
        yield FeedRecord(number, {"id": id, **_values(handle, head, row, options, shown)}, withheld=withheld)


def _images(rows: Iterable[Row]) -> list[str]:
    found = [(row["position"], row["image"]) for row in rows if row["image"]]
    found.sort(key=lambda pair: int(pair[0]) if pair[0].isdigit() else 10_000)
    return list(dict.fromkeys(image for _, image in found))


def _values(handle: str, head: Row, row: Row, options: dict[str, str], images: list[str]) -> dict[str, Any]:
    price, compare_at = row["price"], row["compare_at"]
    is_sale = _number(compare_at) > _number(price) > 0
    return {
        **{name: head[name] for name in _SHARED},
        **{name[1:]: value for name, value in head.items() if name.startswith("_") and value},
        "title": " - ".join(part for part in (head["title"], " / ".join(options.values())) if part),
        "item_group_id": handle,
        "gtin": row["gtin"].lstrip("'"),
        "price": compare_at if is_sale else price,
        "sale_price": price if is_sale else "",
        "availability": _availability(row),
        "image_link": images[0] if images else "",
        "additional_image_link": images[1:],
        **{_OPTIONS.get(name.lower(), name): value for name, value in options.items()},
    }


def _availability(row: Row) -> str:
    quantity = row["quantity"]
    if not row["tracker"] or not quantity.lstrip("-").isdigit() or int(quantity) > 0:
        return "in_stock"
    return "backorder" if row["policy"].lower() in ("continue", "true") else "out_of_stock"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
