"""Point ids and payloads: what docs/index-contract.md promises."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from recsys.index.points import (
    COLUMNS,
    NAMESPACE,
    indexed_columns,
    payloads,
    point_id,
    row_hash,
)
from tests.index.catalogs import batch, products


@given(st.text())
def test_a_point_id_is_the_uuid5_anyone_can_compute(product_id: str) -> None:
    assert point_id(product_id) == str(uuid.uuid5(NAMESPACE, product_id))


def test_the_namespace_never_changes() -> None:
    assert str(NAMESPACE) == "6f0d0e9c-52c8-5a6b-9d0f-3d6a5f1b7c11"


def test_a_payload_holds_what_is_known_and_nothing_else() -> None:
    catalog = products(12)
    made = list(payloads(*batch(catalog)))
    assert made[0] == {
        "id": "sku-00000",
        "title": "Product 0",
        "brand": "Acme",
        "product_type": ["Home", "Home > Lamps", "Home > Lamps > Desk"],
        "color": "red",
        "price": 5.0,
        "currency": "EUR",
        "availability": "out_of_stock",
        "link": "https://shop.example/p/0",
        "item_group_id": "g0",
        "attributes": {"fit": "wide"},
        "row_hash": made[0]["row_hash"],
        "embedding_key": "00ff",
        "has_image": False,
        "has_text": True,
        "modalities": ["text"],
    }
    absent = [(2, "color"), (4, "product_type"), (7, "image")]
    assert not any(column in made[i] for i, column in absent)
    image = catalog[1].columns["images"][0].hex()
    assert (made[1]["image"], made[1]["modalities"]) == (image, ["image", "text"])


def test_the_row_hash_changes_with_either_part() -> None:
    assert len({row_hash(b"a", b"b"), row_hash(b"a", b"c"), row_hash(b"c", b"b")}) == 3


def test_every_filter_column_is_in_some_payload() -> None:
    columns = indexed_columns(["fit", "neck line"])
    kinds = {"price": "float", "modalities": "keyword", "attributes.fit": "keyword"}
    assert columns.items() >= {**kinds, 'attributes."neck line"': "keyword"}.items()
    assert {name.split(".")[0] for name in columns} <= {*COLUMNS, "modalities"}
