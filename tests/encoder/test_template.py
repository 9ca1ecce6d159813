from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from recsys.config.encoder import EncoderConfig
from recsys.encoder.template import Content, ContentReader


def read(parts: tuple[str, ...], row: dict[str, Any]) -> str | None:
    return ContentReader(EncoderConfig(text_parts=parts)).read(row).text


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"title": "Red shoe", "brand": "Acme"}, "Red shoe. Acme"),
        ({"title": "Red shoe!", "brand": "Acme"}, "Red shoe! Acme"),
        ({"title": "  Red \n shoe ", "color": "red", "material": None}, "Red shoe. red"),
        ({"title": None, "brand": "", "color": "red", "material": "wool"}, "red wool"),
        ({"title": "Shoe {brand} {0} %s", "brand": "A{x}"}, "Shoe {brand} {0} %s. A{x}"),
        ({"title": None, "brand": "   "}, None),
        ({}, None),
    ],
)
def test_parts_are_joined_and_missing_ones_left_out(row: dict[str, Any], text: str | None) -> None:
    assert read(("{title}", "{brand}", "{color} {material}"), row) == text


def test_a_literal_appears_only_with_its_value() -> None:
    parts = ("{title}", "made of {material}")
    assert read(parts, {"title": "Chair", "material": "oak"}) == "Chair. made of oak"
    assert read(parts, {"title": "Chair", "material": None}) == "Chair"


@pytest.mark.parametrize("attributes", [{"season": "Summer"}, [("season", "Summer")]])
def test_attributes_come_as_mapping_or_as_arrow_gives_them(attributes: object) -> None:
    reader = ContentReader(EncoderConfig(text_parts=("{attributes.season}", "{attributes.fit}")))
    assert reader.read({"attributes": attributes}).text == "Summer"
    assert reader.columns == ("attributes", "images")


@pytest.mark.parametrize(("description", "text"), [
    ("soft cotton shirt", "soft cotton"), ("soft cottons shirt", "soft cottons"), ("short", "short"),
    ("x" * 40, "x" * 12),
])  # fmt: skip
def test_a_limit_cuts_at_a_word(description: str, text: str) -> None:
    assert read(("{description:12}",), {"description": description}) == text


def test_only_the_columns_of_the_template_are_read() -> None:
    assert ContentReader(EncoderConfig(text_parts=("{brand}", "{title}"))).columns == (
        "brand",
        "title",
        "images",
    )


def test_images_are_read_once_each_and_bounded() -> None:
    reader = ContentReader(EncoderConfig(max_images=2))
    row = {"title": "t", "images": [b"a" * 32, b"a" * 32, b"b" * 32, b"c" * 32]}
    assert reader.read(row).images == (b"a" * 32, b"b" * 32)


contents = st.builds(
    Content,
    st.none() | st.text(max_size=40),
    st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
)


@given(contents, contents)
def test_keys_are_equal_exactly_where_contents_are(a: Content, b: Content) -> None:
    assert (a.key == b.key) == (a == b)
    assert len(a.key) == 16


def test_a_text_cannot_imitate_an_image() -> None:
    image = b"i" * 32
    pairs = [
        Content("t", (image,)),
        Content("t" + image.decode(), ()),
        Content(None, (image,)),
        Content("", (image,)),
    ]
    assert len({content.key for content in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "part", ["{price}", "no column", "{title", "{title:abc}", "{attributes.}", "{title:0}", "{}"]
)
def test_a_wrong_part_is_refused_where_it_is_built(part: str) -> None:
    with pytest.raises(ValidationError):
        EncoderConfig(text_parts=(part,))
