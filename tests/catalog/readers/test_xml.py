"""Google's XML feed in both its kinds, and the attacks XML is known for."""

import io

import pytest

from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.xml import read_xml
from recsys.errors import InputError

RSS = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<title>Shop</title><link>https://shop.example</link>
<item><g:id>1</g:id><title>Mug &amp; cup</title><link>https://shop.example/1</link>
 <g:price>12.34 USD</g:price>
 <g:additional_image_link>b.jpg</g:additional_image_link>
 <g:additional_image_link>c.jpg</g:additional_image_link>
 <g:shipping><g:country>SE</g:country><g:price>5 SEK</g:price></g:shipping>
</item>
<item><g:id>2</g:id><description><![CDATA[<p>Cup</p>]]></description></item>
</channel></rss>"""

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>Shop</title>
<entry><id>tag:shop.example,1</id><g:id>1</g:id><title>Mug</title><link href="https://shop.example/1"/></entry>
</feed>"""

BOMB = """<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<rss><channel><item><id>&b;</id></item></channel></rss>"""
EXTERNAL = """<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss><item><id>&x;</id></item></rss>"""


def _read(text: str, limit: int = 100_000) -> list[FeedRecord]:
    return list(read_xml(io.BytesIO(text.encode()), max_row_bytes=limit))


def test_repeated_elements_become_lists_and_nested_ones_mappings() -> None:
    mug = {
        "id": "1",
        "title": "Mug & cup",
        "link": "https://shop.example/1",
        "price": "12.34 USD",
        "additional_image_link": ["b.jpg", "c.jpg"],
        "shipping": {"country": "SE", "price": "5 SEK"},
    }
    assert _read(RSS) == [FeedRecord(1, mug), FeedRecord(2, {"id": "2", "description": "<p>Cup</p>"})]


def test_atom_takes_googles_id_and_the_link_of_an_attribute() -> None:
    assert _read(ATOM) == [FeedRecord(1, {"id": "1", "title": "Mug", "link": "https://shop.example/1"})]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "entities or external references"),
        (EXTERNAL, "entities or external references"),
        ("<rss><item><id>" + "1" * 500_000, "bytes"),
        ("<rss><item>" + "<a>" * 50 + "</a>" * 50 + "</item></rss>", "nested"),
    ],
    ids=["bomb", "external", "endless", "nested"],
)
def test_attacks_are_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        _read(text)


def test_a_feed_that_stops_early_is_refused_after_what_was_whole() -> None:
    records = read_xml(io.BytesIO(RSS[:-60].encode()), max_row_bytes=100_000)
    assert next(records).values["id"] == "1"
    with pytest.raises(InputError, match="after 1 products"):
        next(records)


def test_many_records_pass_the_bound_of_one() -> None:
    items = "".join(f"<item><id>{i}</id><title>{'x' * 900}</title></item>" for i in range(500))
    records = _read(f"<rss><channel>{items}</channel></rss>", limit=40_000)
    assert [r.values["id"] for r in records] == [str(i) for i in range(500)]
