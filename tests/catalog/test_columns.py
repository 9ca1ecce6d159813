"""The column map picks what the configuration names, and by name what it does not."""

import pytest

from recsys.catalog.columns import ColumnMap, split_values
from recsys.config import CatalogConfig
from recsys.errors import InputError


def _map(**settings: object) -> ColumnMap:
    return ColumnMap(CatalogConfig.model_validate(settings))


def test_columns_are_found_by_name_as_google_writes_them() -> None:
    found, attributes = _map().pick({"Id": "1", "image link": "a.jpg", "g:title": "Mug", "colour": "red"})
    assert found == {"id": "1", "image_link": "a.jpg", "title": "Mug"}
    assert attributes == {}


def test_configured_columns_fall_back_in_order() -> None:
    columns = _map(columns={"id": "sku", "title": ["name", "label"]})
    assert columns.pick({"sku": 7, "name": "", "label": "Mug", "title": "ignored"})[0] == {
        "id": 7,
        "title": "Mug",
    }


def test_a_condition_withholds_the_value_of_other_rows() -> None:
    columns = _map(
        ignore=["title"],
        columns={"id": "id", "title": {"column": "title", "when": {"kind": ["iconic", "studio"]}}},
    )
    assert columns.pick({"id": "1", "title": "Apple", "kind": "iconic"})[0]["title"] == "Apple"
    assert "title" not in columns.pick({"id": "1", "title": "Apple", "kind": "natural"})[0]
    assert "title" not in columns.pick({"id": "1", "title": "Apple", "kind": None})[0]


def test_attributes_are_listed_renamed_or_the_rest() -> None:
    row = {"id": "1", "title": "Mug", "split": "train", "season": "Fall", "secret": "x"}
    assert _map(attributes=["split"]).pick(row)[1] == {"split": "train"}
    assert _map(attributes={"part": "split"}).pick(row)[1] == {"part": "train"}
    rest = _map(attributes="rest", ignore=["secret"]).pick(row)[1]
    assert rest == {"split": "train", "season": "Fall"}


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


def test_a_wrong_target_column_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="titel"):
        CatalogConfig.model_validate({"columns": {"titel": "title"}})


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
