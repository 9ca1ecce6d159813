"""Feed columns find their product columns by name, by values, or not at all."""

from typing import Any

import pytest

from recsys.proposal.column_guess import SYNONYMS, ColumnGuess, guess_columns, source_columns


def guess(num_rows: int = 40, **columns: Any) -> ColumnGuess:
    """Guess from columns given as value, list of values to cycle through, or function of the row's number."""
    rows = []
    for i in range(num_rows):
        cells = {
            name: value(i) if callable(value) else value[i % len(value)] if isinstance(value, list) else value
            for name, value in columns.items()
        }
        rows.append(cells)
    return guess_columns(source_columns(rows), num_rows)


def chosen(found: ColumnGuess) -> dict[str, str]:
    return {target: source for target, (source, _) in found.columns.items()}


def test_a_name_stands_for_one_product_column_and_leads_with_its_own() -> None:
    names = [name.replace("_", "") for synonyms in SYNONYMS.values() for name in synonyms]
    names.remove("googleproductcategory")  # the product type too, where there is no other
    assert len(names) == len(set(names))
    assert all(target in synonyms for target, synonyms in SYNONYMS.items())


def test_names_that_shops_use_find_their_column() -> None:
    found = guess(
        SKU=lambda i: f"S{i}", **{"Product name": lambda i: f"Mug {i}"}, colour=["Red", "Blue"],
        category=["Mugs", "Cups"], category_path=["Home > Mugs", "Home > Cups"],
        parent_sku=lambda i: f"P{i // 2}", imageUrl=lambda i: f"img/{i}.jpg", price="3.50",
    )  # fmt: skip
    assert chosen(found) == {
        "id": "SKU", "title": "Product name", "color": "colour", "product_type": "category_path",
        "item_group_id": "parent_sku", "image_link": "imageUrl", "price": "price",
    }  # fmt: skip
    assert {why for _, why in found.columns.values()} == {"by name"}
    assert found.settings["columns"]["id"] == "SKU"
    assert "price" not in found.settings["columns"]  # taken by its own name
    assert list(found.attributes) == ["category"]


def test_values_decide_where_names_do_not() -> None:
    found = guess(
        nummer=lambda i: i, bezeichnung=lambda i: f"Roter Becher {i}", bild=lambda i: f"{i}.PNG?v=2",
        weitere=lambda i: f"{i}b.png|{i}c.png", pfad=["Haus > Becher", "Haus > Teller"],
        match_group=lambda i: f"g{i // 2}", langtext=lambda i: f"Ein schöner Becher für den Morgen {i} " * 6,
    )  # fmt: skip
    assert chosen(found) == {
        "id": "nummer", "title": "bezeichnung", "image_link": "bild", "additional_image_link": "weitere",
        "product_type": "pfad", "item_group_id": "match_group", "description": "langtext",
    }  # fmt: skip
    assert all(why.startswith("by values") or "its name" in why for _, why in found.columns.values())


def test_a_column_that_does_not_hold_what_its_name_says_is_not_taken() -> None:
    found = guess(
        id=["a", "b"], sku=lambda i: f"S{i}", title=lambda i: f"Mug {i}", price=["cheap", "dear"],
        image="none",
    )  # fmt: skip
    assert chosen(found) == {"id": "sku", "title": "title"}
    assert found.refused == ["price"]
    assert found.config.ignore == ("price",)
    assert found.ignored == {"image": "one value"}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (None, "empty"),
        ("same", "one value"),
        ([f"{'long ' * 10}{i % 9}" for i in range(40)], "long values"),
        ([f"x{i}" for i in range(40)], "hardly two rows share a value"),
        (b"\xff\xd8\xff\xe0", "bytes: write images as files, and their paths into a column"),
        ({"bytes": b"\xff\xd8", "path": None}, "bytes: write images as files, and their paths into a column"),
    ],
)
def test_columns_that_say_nothing_are_ignored_with_a_reason(values: Any, why: str) -> None:
    found = guess(id=lambda i: i, name=lambda i: f"Mug {i}", extra=values, season=["Summer", "Winter"])
    assert found.ignored == {"extra": why}
    assert found.attributes == {"season": "2 values"}


def test_a_column_of_other_products_ids_is_no_label() -> None:
    found = guess(
        id=lambda i: f"p{i}", parent_id=lambda i: f"g{i // 2}", name=lambda i: f"Mug {i}",
        related=lambda i: f"p{(i + 1) % 40}|g3", same=lambda i: f"p{i}", group=lambda i: f"g{i // 2}",
    )  # fmt: skip
    assert found.links == ["related"]
    assert found.attributes == {"related": "ids of other products", "group": "20 values"}
