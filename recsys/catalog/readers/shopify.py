"""Shopify's product CSV: the several rows of one handle put together into one record per variant.

A product's first row carries its text, each row may add a variant, an image, or both. Both the column
names of today's export ("URL handle", "SKU") and those of the older one ("Handle", "Variant SKU") are
read. Records carry Google Merchant's names; all variants of a handle share ``item_group_id``.
"""

from collections.abc import Iterable, Iterator
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
        rows = list(group)
        for record in rows:
            if record.error:
                yield record
        good = [(r.row, _normalised(r.values)) for r in rows if not r.error]
        if good and not handle:
            for number, _ in good:
                yield FeedRecord(number, {}, "The row has no handle, so it belongs to no product.")
        elif good:
            yield from _product(handle, good)


def _handle(record: FeedRecord) -> str:
    names = {str(name).strip().lower(): value for name, value in record.values.items()}
    value = next((names[name] for name in _NAMES["handle"] if name in names), None)
    if value is None and not record.error:
        raise InputError(
            f"The feed has no Handle column; found {', '.join(list(names)[:8])}.",
            fix="Name the right catalog.format: this is not a Shopify product export.",
        )
    return str(value or "").strip()


def _normalised(values: Any) -> Row:
    """Give known columns our short names; keep every other under its own."""
    lower = {
        str(name).strip().lower(): (str(name).strip(), str(value or "").strip())
        for name, value in values.items()
    }
    row: Row = {}
    for short, names in _NAMES.items():
        found = [lower.pop(name)[1] for name in names if name in lower]
        row[short] = next((value for value in found if value), "")
    for key in [k for k in lower if k.startswith("option")]:
        row[key] = lower.pop(key)[1]
    row.update({f"_{original}": value for original, value in lower.values()})
    return row


def _product(handle: str, rows: list[tuple[int, Row]]) -> Iterator[FeedRecord]:
    head = rows[0][1]
    variants = [
        (number, row) for number, row in rows if row["price"] or row["sku"] or row.get("option1 value")
    ]
    variants = variants or rows[:1]
    images = _images(row for _, row in rows)
    own = {row["variant_image"] for _, row in variants if row["variant_image"]}
    used: set[str] = set()
    for number, row in variants:
        options = _options(head, row)
        identifier = _identifier(handle, row, options, len(variants), used)
        values = _record(handle, head, row, options, _pick(images, row, own)) | {"id": identifier}
        yield FeedRecord(number, values, withheld=_withheld(head))


def _images(rows: Iterable[Row]) -> list[str]:
    found = [
        (int(row["position"]) if row["position"].isdigit() else 10_000, row["image"])
        for row in rows
        if row["image"]
    ]
    return list(dict.fromkeys(image for _, image in sorted(found, key=lambda pair: pair[0])))


def _pick(images: list[str], row: Row, own: set[str]) -> list[str]:
    """Return a variant's images, its own first and without those that belong to other variants."""
    if not row["variant_image"]:
        return [image for image in images if image not in own] or images
    return [row["variant_image"], *[image for image in images if image not in own]]


def _options(head: Row, row: Row) -> dict[str, str]:
    """Return the variant's options, name → value; only a product's first row names them."""
    pairs = ((head.get(f"option{i} name", ""), row.get(f"option{i} value", "")) for i in (1, 2, 3))
    return {name or "Option": value for name, value in pairs if value and value != _DEFAULT}


def _identifier(handle: str, row: Row, options: dict[str, str], num_variants: int, used: set[str]) -> str:
    """Return the SKU; where there is none, the handle and the options: both outlive a new export."""
    own = handle if num_variants == 1 else "/".join([handle, *options.values()])
    identifier = row["sku"] if row["sku"] and row["sku"] not in used else own
    used.add(identifier)
    return identifier


def _record(handle: str, head: Row, row: Row, options: dict[str, str], images: list[str]) -> dict[str, Any]:
    shared = (
        "description",
        "brand",
        "google_product_category",
        "product_type",
        "mpn",
        "gender",
        "age_group",
        "tags",
    )
    values: dict[str, Any] = {name: head[name] for name in shared}
    values |= {name[1:]: value for name, value in head.items() if name.startswith("_") and value}
    price, compare_at = row["price"], row["compare_at"]
    is_sale = _number(compare_at) > _number(price) > 0
    values |= {
        "title": " - ".join(part for part in (head["title"], " / ".join(options.values())) if part),
        "item_group_id": handle,
        "gtin": row["gtin"].lstrip("'"),
        "price": compare_at if is_sale else price,
        "sale_price": price if is_sale else "",
        "availability": _availability(row),
        "image_link": images[0] if images else "",
        "additional_image_link": images[1:],
    }
    for name, value in options.items():
        values[_OPTIONS.get(name.lower(), name)] = value
    return values


def _availability(row: Row) -> str:
    quantity = row["quantity"]
    if not row["tracker"] or not quantity.lstrip("-").isdigit() or int(quantity) > 0:
        return "in_stock"
    return "backorder" if row["policy"].lower() in ("continue", "true") else "out_of_stock"


def _withheld(head: Row) -> str | None:
    if head["status"] and head["status"].lower() != "active":
        return f"The product's status is {head['status']}; only active products are taken."
    return "The product is not published." if head["published"].lower() in _NO else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
