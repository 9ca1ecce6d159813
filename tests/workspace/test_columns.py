"""Every setting that names a column names it in one grammar."""

import pyarrow as pa
import pytest

from recsys.config import IndexConfig
from recsys.errors import ConfigError
from recsys.workspace.columns import attribute_of, read_column
from recsys.workspace.product import PRODUCTS


@pytest.fixture
def products() -> pa.Table:
    rows = [
        {"id": "1", "brand": " Acme ", "price": 2.5, "attributes": [("fit", "slim"), ("brand", "own")]},
        {"id": "2", "brand": "  ", "attributes": [("fit", "wide")]},
        {"id": "3", "attributes": []},
    ]
    rest = {"content_hash": bytes(16), "payload_hash": bytes(16), "images": []}
    return pa.Table.from_pylist([dict.fromkeys(PRODUCTS.names) | rest | row for row in rows], schema=PRODUCTS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("brand", ["Acme", None, None]),
        ("attributes.brand", ["own", None, None]),
        ("fit", ["slim", "wide", None]),
        ("attributes.fit", ["slim", "wide", None]),
        ("price", ["2.5", None, None]),
        ("color", [None, None, None]),
    ],
)
def test_a_name_is_a_product_column_or_a_custom_attribute(
    products: pa.Table, name: str, values: list[str | None]
) -> None:
    assert read_column(products, name, setting="here") == values


@pytest.mark.parametrize("name", ["attributes.fitt", "fitt", "images", "attributes"])
def test_an_unknown_name_is_refused_with_the_names_that_exist(products: pa.Table, name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"here names '{name}'.*Columns: id, title.*attributes: brand, fit"
    ):
        read_column(products, name, setting="here")


def test_the_prefix_is_optional_where_only_attributes_are_named() -> None:
    assert IndexConfig(attributes=("attributes.fit", "fold")).attributes == ("fit", "fold")
    assert attribute_of("title") is None
    assert attribute_of("attributes.title") == "title"
