"""Who is who in the sample shop, what each night changes, and what the feed says of it."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from examples.sample_shop.materials import FINISHES, PATTERNS
from examples.sample_shop.products import (
    BLOCK,
    CATEGORIES,
    HUES,
    SHARE_CHANGED,
    STYLES,
    catalog_of_night,
    product,
)
from examples.sample_shop.shapes import SHAPES


@given(st.integers(0, 50), st.integers(0, 5000))
def test_a_product_shows_the_images_of_an_earlier_variant_of_its_design(seed: int, number: int) -> None:
    one = product(seed, number)
    owner = product(seed, one.owner)
    assert one.number == number
    assert owner.owner == owner.number <= number
    assert (owner.design, owner.hue) == (one.design, one.hue)
    assert number // BLOCK == one.owner // BLOCK


def test_six_hundred_products_make_a_varied_shop_of_groups() -> None:
    products = [product(0, n) for n in range(600)]
    assert len({(one.design.key, one.hue, one.size) for one in products}) == 600
    groups = Counter(one.design.key for one in products)
    assert 200 <= len(groups) <= 320
    assert sum(count > 1 for count in groups.values()) > 0.6 * len(groups)
    categories = Counter(one.design.category for one in products if one.number == one.owner)
    assert set(categories) == set(CATEGORIES)
    assert min(categories.values()) >= 6


def test_shop_toml_names_only_what_can_be_drawn() -> None:
    assert set(CATEGORIES) == set(SHAPES)
    for category in CATEGORIES.values():
        assert set(category["materials"]) <= set(FINISHES)
        assert 0 < category["price"][0] < category["price"][1]
    for style in STYLES.values():
        assert set(style["hues"]) <= set(HUES)
        assert len(style["hues"]) >= 5, "a group has up to five colours"
        assert set(style["patterns"]) <= set(PATTERNS)
        assert set(style["finishes"]) <= set(FINISHES)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 2000), st.integers(2, 12))
def test_a_night_changes_about_one_product_in_a_hundred(seed: int, count: int, night: int) -> None:
    before, after = (catalog_of_night(seed, count, n) for n in (night - 1, night))
    old, new = set(before.numbers()), set(after.numbers())
    changed = {n for n in old & new if after.changed_on.get(n) == night}
    touched = len(changed) + len(old ^ new)
    assert touched == sum(after.tonight.values()) == max(1, round(SHARE_CHANGED * len(old)))
    assert new - old == set(range(before.count, after.count))
