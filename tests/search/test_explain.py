"""What products have in common."""

from recsys.search.explain import named_attributes, shared_attributes

LAMP = {
    "product_type": ["Home", "Home > Lamps"],
    "brand": "Acme",
    "color": "red",
    "attributes": {"fit": "slim"},
}


def test_shared_is_what_all_have() -> None:
    other = {**LAMP, "color": "blue", "product_type": ["Home", "Home > Chairs"]}
    assert shared_attributes(LAMP, [LAMP]) == (
        ("product_type", "Home > Lamps"), ("brand", "Acme"), ("color", "red"), ("attributes.fit", "slim"),
    )  # fmt: skip
    assert shared_attributes(LAMP, [LAMP, other]) == (
        ("product_type", "Home"), ("brand", "Acme"), ("attributes.fit", "slim"),
    )  # fmt: skip
    assert shared_attributes(LAMP, []) == ()
    assert shared_attributes({}, [LAMP]) == ()


def test_words_name_whole_values() -> None:
    assert named_attributes(LAMP, "a RED lamp, please") == (
        ("color", "red"),
        ("product_type", "Home > Lamps"),
    )
    assert named_attributes(LAMP, "acme") == (("brand", "Acme"),)
    assert named_attributes({"color": "dusty red"}, "red") == ()
    assert named_attributes({"color": "red"}, "redwood") == ()
    assert named_attributes(LAMP, "") == ()
