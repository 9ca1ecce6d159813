"""Shopify's export, old and new column names: variants, their images, prices, stock, drafts."""

import csv
import io
from typing import Any

import pytest

from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.shopify import is_shopify, read_shopify
from recsys.catalog.readers.text import read_delimited
from recsys.errors import InputError

EXPORT = """Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,Variant Compare At Price,Variant Barcode,Image Src,Image Position,Variant Image,Status,Season
tee,Tee,<p>Soft</p>,Nord,Shirts,"a, b",TRUE,Color,Red,Size,S,TEE-R-S,shopify,3,deny,20.00,25.00,'4006381333931,https://x.example/red.jpg,1,https://x.example/red.jpg,active,Fall
tee,,,,,,,,Blue,,S,TEE-B-S,shopify,0,deny,20.00,,,https://x.example/back.jpg,3,https://x.example/blue.jpg,,
tee,,,,,,,,,,,,,,,,,,https://x.example/blue.jpg,2,,,
mug,Mug,,Nord,Mugs,,TRUE,Title,Default Title,,,,,,,9.50,,,https://x.example/mug.jpg,1,,active,
old,Old,,Nord,Mugs,,TRUE,Title,Default Title,,,OLD,,,,1.00,,,,,,archived,
hidden,Hidden,,Nord,Mugs,,FALSE,Title,Default Title,,,HID,,,,1.00,,,,,,active,
"""  # noqa: E501

NEWER = """Title,URL handle,Description,Vendor,Published on online store,Status,SKU,Barcode,Price,Compare-at price,Option1 name,Option1 value,Product image URL,Image position
Mug,mug,Nice,Nord,TRUE,Active,M-1,,9.50,,Title,Default Title,https://x.example/m.jpg,1
"""  # noqa: E501


def _read(text: str) -> list[FeedRecord]:
    rows = read_delimited(io.StringIO(text, newline=""), delimiter=None, max_row_chars=10_000)
    return list(read_shopify(rows))


@pytest.mark.parametrize(
    ("text", "index", "expected"),
    [
        (
            EXPORT,
            0,
            {
                "id": "TEE-R-S", "title": "Tee - Red / S", "item_group_id": "tee", "color": "Red",
                "size": "S", "image_link": "https://x.example/red.jpg", "price": "25.00",
                "sale_price": "20.00", "additional_image_link": ["https://x.example/back.jpg"],
                "availability": "in_stock", "gtin": "4006381333931",
            },
        ),
        (
            EXPORT,
            1,
            {
                "id": "TEE-B-S", "item_group_id": "tee", "description": "<p>Soft</p>", "brand": "Nord",
                "Season": "Fall", "image_link": "https://x.example/blue.jpg", "price": "20.00",
                "additional_image_link": ["https://x.example/back.jpg"], "sale_price": "",
                "availability": "out_of_stock",
            },
        ),
        # A single variant without a SKU is called by its handle.
        (EXPORT, 2, {"id": "mug", "title": "Mug", "availability": "in_stock"}),
        (NEWER, 0, {"id": "M-1", "price": "9.50", "image_link": "https://x.example/m.jpg"}),
    ],
)  # fmt: skip
def test_variants_become_products_of_one_group(text: str, index: int, expected: dict[str, Any]) -> None:
    record = _read(text)[index]
    assert (record.row, record.withheld) == ((1, 2, 4)[index], None)
    assert {name: record.values[name] for name in expected} == expected


def test_variants_without_skus_have_ids_that_outlive_a_reordering() -> None:
    header, *rows = csv.reader(io.StringIO(EXPORT))
    sku = header.index("Variant SKU")
    for row in rows:
        row[sku] = ""
    for order in (rows, [rows[1], rows[0], *rows[2:]]):
        order[0][header.index("Option1 Name")], order[0][header.index("Option2 Name")] = "Color", "Size"
        buffer = io.StringIO()
        csv.writer(buffer).writerows([header, *order])
        assert {r.values["id"] for r in _read(buffer.getvalue())[:2]} == {"tee/Red/S", "tee/Blue/S"}


def test_drafts_and_unpublished_products_are_withheld() -> None:
    assert [r.values["id"] for r in _read(EXPORT) if r.withheld] == ["OLD", "HID"]


def test_broken_rows_and_rows_without_a_handle() -> None:
    records = _read("Handle,Title,Variant Price\nmug,Mug,1\nmug,Mug\n,Lost,2\n")
    assert [bool(r.error) for r in records] == [True, False, True]
    assert "no handle" in str(records[2].error)


def test_other_csvs_are_told_apart() -> None:
    assert is_shopify(EXPORT.splitlines()[0].split(","))
    assert not is_shopify(["id", "title", "handle"])
    with pytest.raises(InputError, match="no Handle column"):
        _read("id,title\n1,Mug\n")
