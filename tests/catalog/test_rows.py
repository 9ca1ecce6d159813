"""A record becomes a product, and everything wrong with it is said: row, column, what was found."""

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog.readers import FeedRecord
from recsys.catalog.rows import ProductRow, Rejection, RowMapper, content_hash, payload_hash
from recsys.config import CatalogConfig


def _map(values: dict[str, Any], **settings: Any) -> tuple[ProductRow | None, list[Rejection]]:
    return RowMapper(CatalogConfig.model_validate(settings)).map(FeedRecord(4, values))


def test_a_good_row() -> None:
    record = {
        "id": 17, "title": "<b>Mug</b>", "price": "12.34 EUR", "sale_price": "9 EUR",
        "availability": "in stock", "image_link": "a.jpg", "additional_image_link": "b.jpg|c.jpg",
        "updated_at": "2026-05-31", "gtin": "4006381333931", "season": "Fall",
    }  # fmt: skip
    values = {
        "title": "Mug", "price": 12.34, "sale_price": 9.0, "currency": "EUR", "availability": "in_stock",
        "image_link": "a.jpg", "updated_at": "2026-05-31T00:00:00+00:00", "gtin": "4006381333931",
    }  # fmt: skip
    images = [("image_link", "a.jpg"), ("additional_image_link", "b.jpg"), ("additional_image_link", "c.jpg")]
    assert _map(record, attributes=["season"]) == (
        ProductRow(4, "17", values, {"season": "Fall"}, images),
        [],
    )


def test_lists_and_nested_values_of_json_feeds() -> None:
    record = {"id": "x", "color": ["red", "blue"], "shipping": {"country": "SE"}, "image_link": ["a", "b"]}
    attributes, images = {"shipping": '{"country": "SE"}'}, [("image_link", "a"), ("image_link", "b")]
    expected = ProductRow(4, "x", {"color": "red|blue", "image_link": "a"}, attributes, images)
    assert _map(record, attributes=["shipping"]) == (expected, [])


@pytest.mark.parametrize(
    ("record", "values", "reasons"),
    [
        (
            {"price": "twelve", "availability": "maybe"},
            {},
            {"price": "bad_price", "availability": "bad_availability"},
        ),
        (
            {"price": "5 EUR", "sale_price": "4 USD"},
            {"price": 5.0, "currency": "EUR"},
            {"sale_price": "bad_price"},
        ),
        ({"color": "a" * 30_000}, {"color": "a" * 20_000}, {"color": "text_cut"}),
        # Markup without end is cut before it is parsed.
        ({"color": "<p>a</p>" * 200_000}, {"color": "a " * 10_000}, {"color": "text_cut"}),
        ({"brand": "Caf\udce9"}, {}, {"brand": "bad_encoding"}),
    ],
)
def test_a_bad_value_costs_itself_only_and_says_so(
    record: dict[str, Any], values: dict[str, Any], reasons: dict[str, str]
) -> None:
    product, rejections = _map({"id": "x", "title": "Mug", **record})
    assert product == ProductRow(4, "x", {"title": "Mug", **values}, {})
    assert {r.column: r.reason for r in rejections} == reasons
    for rejection in rejections:
        assert (rejection.row, rejection.id, rejection.scope) == (4, "x", "value")
        assert rejection.message.encode().startswith(f"Row 4 (x): {rejection.column} ".encode())
        assert len(str(rejection.value)) <= 200


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"title": "Mug"}, "missing_id"),
        ({"id": "x", "description": "words"}, "no_content"),
        ({"id": "y" * 300, "title": "Mug"}, "bad_id"),
        ({"id": "x", "title": reduce(lambda inner, _: [inner], range(5000), "a")}, "bad_row"),  # type: ignore[arg-type,return-value]
    ],
    ids=["no id", "no content", "long id", "nested"],
)
def test_rows_that_are_no_product(record: dict[str, Any], reason: str) -> None:
    product, [rejection] = _map(record)
    assert product is None
    assert (rejection.reason, rejection.scope, rejection.row) == (reason, "product", 4)


TEXTS = st.dictionaries(st.sampled_from(["title", "brand", "color", "description"]), st.text(max_size=5))


@given(TEXTS, TEXTS)
def test_content_hash_follows_the_texts(one: dict[str, str], other: dict[str, str]) -> None:
    assert (content_hash(one, {}, []) == content_hash(other, {}, [])) == (one == other)
    assert payload_hash(one) == payload_hash(other)


def test_hashes_tell_content_from_payload() -> None:
    base = {"title": "Mug", "price": 5.0}
    dearer = base | {"price": 6.0}
    assert content_hash(base, {}, []) == content_hash(dearer, {}, [])
    assert payload_hash(base) != payload_hash(dearer)
    assert content_hash(base, {}, [b"a" * 32]) != content_hash(base, {}, [b"b" * 32])
    assert content_hash(base, {"a": "1"}, []) != content_hash(base, {}, [])
