"""What products have in common."""

from recsys.search.explain import named, shared

LAMP = {
    "product_type": ["Home", "Home > Lamps"],
    "brand": "Acme",
    "color": "red",
    "attributes": {"fit": "slim"},
}


def test_shared_is_what_all_have() -> None:
    other = {**LAMP, "color": "blue", "product_type": ["Home", "Home > Chairs"]}
    assert shared(LAMP, [LAMP]) == (
        ("product_type", "Home > Lamps"), ("brand", "Acme"), ("color", "red"), ("attributes.fit", "slim"),
    )  # fmt: skip
    assert shared(LAMP, [LAMP, other]) == (
        ("product_type", "Home"), ("brand", "Acme"), ("attributes.fit", "slim"),
    )  # fmt: skip
    assert shared(LAMP, []) == ()
    assert shared({}, [LAMP]) == ()


def test_words_name_whole_values() -> None:
    assert named(LAMP, "a RED lamp, please") == (("color", "red"), ("product_type", "Home > Lamps"))
    assert named(LAMP, "acme") == (("brand", "Acme"),)
    assert named({"color": "dusty red"}, "red") == ()
    assert named({"color": "red"}, "redwood") == ()
    assert named(LAMP, "") == ()
