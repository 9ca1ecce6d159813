"""The column map picks what the configuration names, and by name what it does not."""

from typing import Any

import pytest

from recsys.catalog.columns import ColumnMap, split_values
from recsys.config import CatalogConfig
from recsys.errors import InputError

ROW = {"id": "1", "title": "Mug", "split": "train", "season": "Fall", "secret": "x"}
PRODUCT = {"id": "1", "title": "Mug"}
CONDITION = {"columns": {"id": "id", "title": {"column": "title", "when": {"kind": ["iconic", "studio"]}}}}


def _map(**settings: object) -> ColumnMap:
    return ColumnMap(CatalogConfig.model_validate(settings))


@pytest.mark.parametrize(
    ("settings", "row", "product", "attributes"),
    [
        (
            {},
            {"Id": "1", "image link": "a.jpg", "g:title": "Mug", "colour": "red"},
            {"id": "1", "image_link": "a.jpg", "title": "Mug"},
            {},
        ),
        (
            {"columns": {"id": "sku", "title": ["name", "label"]}},
            {"sku": 7, "name": "", "label": "Mug", "title": "ignored"},
            {"id": 7, "title": "Mug"},
            {},
        ),
        (CONDITION, {"id": "1", "title": "Apple", "kind": "iconic"}, {"id": "1", "title": "Apple"}, {}),
        (CONDITION, {"id": "1", "title": "Apple", "kind": "natural"}, {"id": "1"}, {}),
        (CONDITION, {"id": "1", "title": "Apple", "kind": None}, {"id": "1"}, {}),
        ({"attributes": ["split"]}, ROW, PRODUCT, {"split": "train"}),
        ({"attributes": {"part": "split"}}, ROW, PRODUCT, {"part": "train"}),
        ({"attributes": "rest", "ignore": ["secret"]}, ROW, PRODUCT, {"split": "train", "season": "Fall"}),
    ],
)
def test_columns_are_picked_by_the_configuration_or_by_name(
    settings: dict[str, Any], row: dict[str, Any], product: dict[str, Any], attributes: dict[str, Any]
) -> None:
    assert _map(**settings).pick(row) == (product, attributes)


def test_columns_that_no_row_has_are_named() -> None:
    columns = _map(columns={"id": "sku", "title": "titel"}, attributes=["season"])
    columns.pick({"sku": "1", "season": None})
    assert columns.unseen() == ["titel"]


def test_a_feed_without_an_id_column_is_refused_with_its_columns() -> None:
    columns = _map()
    row = {"article": "1", "name": "Mug"}
    for _ in range(99):
        columns.pick(row)
    with pytest.raises(InputError, match="article, name"):
        columns.pick(row)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a.jpg|b.jpg", ["a.jpg", "b.jpg"]),
        ("a.jpg, b.jpg", ["a.jpg", "b.jpg"]),
        (["a.jpg", "b,c.jpg"], ["a.jpg", "b,c.jpg"]),
        ("https://x.example/w_300,h_300/a.jpg", ["https://x.example/w_300,h_300/a.jpg"]),
        (
            "https://x.example/a,b.jpg,https://x.example/c.jpg",
            ["https://x.example/a,b.jpg", "https://x.example/c.jpg"],
        ),
        ("", []),
        (None, []),
        (float("nan"), []),
    ],
)
def test_several_values_in_one_field(value: object, parts: list[str]) -> None:
    assert split_values(value, "|,") == parts
