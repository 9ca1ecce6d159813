"""A record becomes a product, and everything wrong with it is said: row, column, what was found."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog.readers import FeedRecord
from recsys.catalog.rows import ProductRow, Rejection, RowMapper, content_hash, payload_hash
from recsys.config import CatalogConfig


def _map(values: dict[str, Any], **settings: Any) -> tuple[ProductRow | None, list[Rejection]]:
    return RowMapper(CatalogConfig.model_validate(settings)).map(FeedRecord(4, values))


def test_a_good_row() -> None:
    product, rejections = _map(
        {
            "id": 17, "title": "<b>Mug</b>", "price": "12.34 EUR", "sale_price": "9 EUR",
            "availability": "in stock", "image_link": "a.jpg", "additional_image_link": "b.jpg|c.jpg",
            "updated_at": "2026-05-31", "gtin": "4006381333931", "season": "Fall",
        },
        attributes=["season"],
    )  # fmt: skip
    assert rejections == []
    assert product is not None
    assert product.id == "17"
    assert product.values == {
        "title": "Mug", "price": 12.34, "sale_price": 9.0, "currency": "EUR", "availability": "in_stock",
        "image_link": "a.jpg", "updated_at": "2026-05-31T00:00:00+00:00", "gtin": "4006381333931",
    }  # fmt: skip
    assert product.attributes == {"season": "Fall"}
    assert product.images == [
        ("image_link", "a.jpg"),
        ("additional_image_link", "b.jpg"),
        ("additional_image_link", "c.jpg"),
    ]


def test_a_bad_value_is_left_out_and_the_product_stays() -> None:
    product, rejections = _map({"id": "x", "title": "Mug", "price": "twelve", "availability": "maybe"})
    assert product is not None
    assert "price" not in product.values
    messages = {r.column: r.message for r in rejections}
    assert messages["price"].startswith("Row 4 (x): price was expected")
    assert "found 'twelve'" in messages["price"]
    assert {r.scope for r in rejections} == {"value"}
    assert {r.reason for r in rejections} == {"bad_price", "bad_availability"}


def test_rows_that_are_no_product() -> None:
    for values, reason in (
        ({"title": "Mug"}, "missing_id"),
        ({"id": "x", "description": "words"}, "no_content"),
        ({"id": "y" * 300, "title": "Mug"}, "bad_id"),
    ):
        product, [rejection] = _map(values)
        assert product is None
        assert (rejection.reason, rejection.scope, rejection.row) == (reason, "product", 4)


def test_the_sale_price_must_be_in_the_same_currency() -> None:
    product, [rejection] = _map({"id": "x", "title": "Mug", "price": "5 EUR", "sale_price": "4 USD"})
    assert product is not None
    assert product.values["currency"] == "EUR"
    assert (rejection.column, rejection.reason) == ("sale_price", "bad_price")


def test_long_texts_are_cut_and_said_so() -> None:
    product, [rejection] = _map({"id": "x", "title": "a" * 300}, max_text_chars=100)
    assert product is not None
    assert len(product.values["title"]) == 100
    assert rejection.reason == "text_cut"
    assert rejection.value is not None
    assert len(rejection.value) <= 200


def test_a_text_of_endless_markup_is_cut_before_it_is_parsed() -> None:
    product, [rejection] = _map({"id": "x", "title": "Mug", "description": "<p>a</p>" * 200_000})
    assert product is not None
    assert len(product.values["description"]) == 20_000
    assert rejection.reason == "text_cut"


def test_bytes_of_another_encoding_cost_their_column_only() -> None:
    product, [rejection] = _map({"id": "x", "title": "Mug", "brand": "Caf\udce9", "image_link": "a.jpg"})
    assert product is not None
    assert "brand" not in product.values
    assert rejection.reason == "bad_encoding"
    rejection.message.encode()  # can be written


def test_lists_and_nested_values_of_json_feeds() -> None:
    product, _ = _map(
        {
            "id": "x",
            "title": "Mug",
            "color": ["red", "blue"],
            "shipping": {"country": "SE"},
            "image_link": ["a", "b"],
        },
        attributes=["shipping"],
    )
    assert product is not None
    assert product.values["color"] == "red|blue"
    assert product.attributes == {"shipping": '{"country": "SE"}'}
    assert [link for _, link in product.images] == ["a", "b"]


def test_a_record_nested_too_deeply_costs_itself_only() -> None:
    nested: Any = "a"
    for _ in range(5000):
        nested = [nested]
    product, [rejection] = _map({"id": "x", "title": nested})
    assert product is None
    assert rejection.reason == "bad_row"


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
