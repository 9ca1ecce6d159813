"""Filters as JSON values."""

import pytest

from recsys.errors import InputError
from recsys.index.filters import AnyOf, Ids, Not, Range, ancestors, category, levels, parse


def test_values_lists_ranges_and_negations() -> None:
    assert parse({"brand": "Acme"}) == (AnyOf("brand", ("Acme",)),)
    assert parse({"brand": ["Acme", "Bolt"], "price": {"gte": 1, "lt": 2.5}}) == (
        AnyOf("brand", ("Acme", "Bolt")),
        Range("price", gte=1.0, lt=2.5),
    )
    assert parse({"not": {"color": "red", "price": {"gt": 5}}}) == (
        Not(AnyOf("color", ("red",))),
        Not(Range("price", gt=5.0)),
    )
    assert parse({"id": ["a", "b"]}) == (Ids(("a", "b")),)
    assert parse({}) == ()


def test_flags_become_modalities_that_every_engine_can_match() -> None:
    image = AnyOf("modalities", ("image",))
    assert parse({"has_image": True}) == (image,)
    assert parse({"has_image": False}) == (Not(image),)
    assert parse({"not": {"has_image": False}}) == (image,)
    assert parse({"has_text": True}) == (AnyOf("modalities", ("text",)),)


def test_categories_are_normalised() -> None:
    assert levels(" Home>Lamps > Desk lamps ") == ["Home", "Lamps", "Desk lamps"]
    assert ancestors("Home>Lamps") == ["Home", "Home > Lamps"]
    assert ancestors("") == []
    assert category("Home>Lamps") == AnyOf("product_type", ("Home > Lamps",))
    assert parse({"product_type": "Home>Lamps"}) == (category("Home > Lamps"),)


@pytest.mark.parametrize(
    "values",
    [
        {"brand": 3},
        {"brand": []},
        {"brand": None},
        {"brand": ["Acme", 3]},
        {"price": {}},
        {"price": {"from": 3}},
        {"price": {"gte": "3"}},
        {"price": {"gte": True}},
        {"has_image": "yes please", "brand": 3},
    ],
)
def test_what_no_engine_could_match_is_refused_by_column(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"The filter on '(brand|price)'"):
        parse(values)
