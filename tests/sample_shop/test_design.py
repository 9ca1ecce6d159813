from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from examples.sample_shop.assortment import ASSORTMENT
from examples.sample_shop.design import BLOCK, materials, product
from examples.sample_shop.shapes import SHAPES
from examples.sample_shop.surface import FINISHES, PATTERNS
from examples.sample_shop.vocabulary import BRANDS, HUES, STYLES
from examples.sample_shop.words import COLUMNS, row


@given(st.integers(0, 50), st.integers(0, 5000))
def test_numbers_groups_and_owners_are_consistent(seed: int, number: int) -> None:
    one = product(seed, number)
    owner = product(seed, one.owner)
    assert one.number == number
    assert owner.owner == owner.number <= number
    assert owner.design == one.design
    assert owner.variant == one.variant
    assert number // BLOCK == one.owner // BLOCK


def test_six_hundred_products_make_a_varied_shop() -> None:
    products = [product(0, n) for n in range(600)]
    groups = defaultdict(list)
    for one in products:
        groups[one.design.key].append(one)
    categories = Counter(members[0].design.category for members in groups.values())
    assert set(categories) == set(ASSORTMENT)
    assert min(categories.values()) >= 6
    assert 200 <= len(groups) <= 320
    assert sum(len(m) > 1 for m in groups.values()) > 0.6 * len(groups)
    forms = Counter(members[0].design.form for members in groups.values())
    assert any(count > 1 for count in forms.values()), "some designs must copy another's form"


def test_variants_differ_in_colour_or_size() -> None:
    for start in range(0, 600, BLOCK):
        seen = set()
        for one in (product(3, start + i) for i in range(BLOCK)):
            key = (one.design.key, one.hue, one.size)
            assert key not in seen
            seen.add(key)


def test_the_tables_fit_together() -> None:
    assert set(ASSORTMENT) == set(SHAPES)
    for facts in ASSORTMENT.values():
        assert set(facts.materials) <= set(FINISHES)
        assert 0 < facts.price[0] < facts.price[1]
        assert all("{}" in sentence and fills for sentence, fills in facts.facts)
    for style in STYLES.values():
        assert set(style.hues) <= set(HUES)
        assert len(style.hues) >= 5, "a group has up to five colours"
        assert set(style.patterns) <= set(PATTERNS)
        assert set(style.finishes) <= set(FINISHES)
    assert set(BRANDS.values()) == set(STYLES)


def test_rows_read_like_a_shop() -> None:
    rows = [row(0, product(0, n)) for n in range(300)]
    assert all(set(r) | {"image_link", "additional_image_link", "updated_at"} == set(COLUMNS) for r in rows)
    assert all("{" not in r["title"] + r["description"] for r in rows)
    assert len({r["title"] for r in rows}) > 150
    for r in rows:
        amount, currency = r["price"].split()
        assert float(amount) > 0
        assert currency == "USD"
        if r["sale_price"]:
            assert float(r["sale_price"].split()[0]) < float(amount)
        if r["gtin"]:
            digits = [int(d) for d in r["gtin"]]
            assert len(digits) == 13
            assert sum(d * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0


def test_a_rewording_changes_words_and_an_offer_changes_the_price() -> None:
    one = product(0, 17)
    plain, reworded, cheaper = row(0, one), row(0, one, wording=1), row(0, one, offer=1)
    assert (plain["title"], plain["description"]) != (reworded["title"], reworded["description"])
    assert (plain["price"], plain["availability"]) == (reworded["price"], reworded["availability"])
    assert plain["price"] != cheaper["price"]
    assert plain["title"] == cheaper["title"]


def test_materials_differ_between_variants_only_in_main_and_accent() -> None:
    one = next(p for p in (product(0, n) for n in range(600)) if len(p.design.hues) >= 3 and p.variant == 0)
    other = product(0, next(n for n in range(one.number, one.number + 5) if product(0, n).variant == 1))
    mine, others = materials(one), materials(other)
    assert {slot for slot in mine if mine[slot] != others[slot]} <= {"main", "accent"}
    assert mine["main"] != others["main"]
