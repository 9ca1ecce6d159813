"""Filters as JSON values."""

import pytest

from recsys.errors import InputError
from recsys.index.filters import AnyOf, Condition, Ids, Not, Range, ancestors, category, parse

IMAGE = AnyOf("modalities", ("image",))


@pytest.mark.parametrize(
    ("values", "conditions"),
    [
        ({}, ()),
        ({"brand": "Acme"}, (AnyOf("brand", ("Acme",)),)),
        (
            {"brand": ["Acme", "Bolt"], "price": {"gte": 1, "lt": 2.5}},
            (AnyOf("brand", ("Acme", "Bolt")), Range("price", gte=1.0, lt=2.5)),
        ),
        (
            {"not": {"color": "red", "price": {"gt": 5}}},
            (Not(AnyOf("color", ("red",))), Not(Range("price", gt=5.0))),
        ),
        ({"id": ["a", "b"]}, (Ids(("a", "b")),)),
        ({"product_type": "Home>Lamps"}, (AnyOf("product_type", ("Home > Lamps",)),)),
        ({"has_image": True}, (IMAGE,)),
        ({"has_image": False}, (Not(IMAGE),)),
        ({"not": {"has_image": False}}, (IMAGE,)),
        ({"has_text": True}, (AnyOf("modalities", ("text",)),)),
    ],
)
def test_json_becomes_conditions(values: dict[str, object], conditions: tuple[Condition, ...]) -> None:
    assert parse(values) == conditions


def test_categories_are_normalised() -> None:
    assert category(" Home>Lamps > Desk lamps ") == AnyOf("product_type", ("Home > Lamps > Desk lamps",))
    assert [ancestors(path) for path in ("Home>Lamps", "")] == [["Home", "Home > Lamps"], []]


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
