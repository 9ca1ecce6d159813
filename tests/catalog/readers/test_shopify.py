"""Shopify's export, old and new column names: variants, their images, prices, stock, drafts."""

import csv
import io

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


def _read(text: str) -> list[FeedRecord]:
    rows = read_delimited(io.StringIO(text, newline=""), delimiter=None, max_row_chars=10_000)
    return list(read_shopify(rows))


def test_variants_become_products_of_one_group() -> None:
    red, blue, *_ = _read(EXPORT)
    assert red.values["id"] == "TEE-R-S"
    assert red.values["title"] == "Tee - Red / S"
    assert red.values["item_group_id"] == blue.values["item_group_id"] == "tee"
    assert (red.values["color"], red.values["size"]) == ("Red", "S")
    assert blue.values["description"] == "<p>Soft</p>"
    assert blue.values["brand"] == "Nord"
    assert blue.values["Season"] == "Fall"
    assert (red.row, blue.row) == (1, 2)


def test_a_variant_shows_its_own_image_first_and_not_the_others() -> None:
    red, blue, *_ = _read(EXPORT)
    assert red.values["image_link"] == "https://x.example/red.jpg"
    assert red.values["additional_image_link"] == ["https://x.example/back.jpg"]
    assert blue.values["image_link"] == "https://x.example/blue.jpg"
    assert blue.values["additional_image_link"] == ["https://x.example/back.jpg"]


def test_prices_and_stock() -> None:
    red, blue, mug, *_ = _read(EXPORT)
    assert (red.values["price"], red.values["sale_price"]) == ("25.00", "20.00")
    assert (blue.values["price"], blue.values["sale_price"]) == ("20.00", "")
    availability = [record.values["availability"] for record in (red, blue, mug)]
    assert availability == ["in_stock", "out_of_stock", "in_stock"]
    assert red.values["gtin"] == "4006381333931"


def test_a_single_variant_without_a_sku_is_called_by_its_handle() -> None:
    mug = _read(EXPORT)[2]
    assert mug.values["id"] == "mug"
    assert mug.values["title"] == "Mug"


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
    withheld = {r.values["id"]: r.withheld for r in _read(EXPORT) if r.withheld}
    assert set(withheld) == {"OLD", "HID"}
    assert "archived" in str(withheld["OLD"])


def test_the_newer_column_names() -> None:
    [record] = _read(
        "Title,URL handle,Description,Vendor,Published on online store,Status,SKU,Barcode,Price,"
        "Compare-at price,Option1 name,Option1 value,Product image URL,Image position\n"
        "Mug,mug,Nice,Nord,TRUE,Active,M-1,,9.50,,Title,Default Title,https://x.example/m.jpg,1\n"
    )
    assert record.values["id"] == "M-1"
    assert record.values["price"] == "9.50"
    assert record.values["image_link"] == "https://x.example/m.jpg"
    assert record.withheld is None


def test_broken_rows_and_rows_without_a_handle() -> None:
    records = _read("Handle,Title,Variant Price\nmug,Mug,1\nmug,Mug\n,Lost,2\n")
    assert [bool(r.error) for r in records] == [True, False, True]
    assert "no handle" in str(records[2].error)


def test_other_csvs_are_told_apart() -> None:
    assert is_shopify(EXPORT.splitlines()[0].split(","))
    assert not is_shopify(["id", "title", "handle"])
    with pytest.raises(InputError, match="no Handle column"):
        _read("id,title\n1,Mug\n")
