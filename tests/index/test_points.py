"""Point ids and payloads: what docs/index-contract.md promises."""

import uuid

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from recsys.index.points import (
    COLUMNS,
    NAMESPACE,
    attribute_column,
    indexed_columns,
    payloads,
    point_id,
    row_hash,
)
from recsys.workspace.embeddings import EmbeddingBatch
from recsys.workspace.product import PRODUCTS
from tests.index.catalogs import DIM, _rows, products, vectors


@given(st.text())
def test_a_point_id_is_the_uuid5_anyone_can_compute(product_id: str) -> None:
    assert point_id(product_id) == str(uuid.uuid5(NAMESPACE, product_id))


def test_the_namespace_never_changes() -> None:
    assert str(NAMESPACE) == "6f0d0e9c-52c8-5a6b-9d0f-3d6a5f1b7c11"


CATALOG = products(12)
BATCH = pa.Table.from_pylist(_rows(CATALOG), PRODUCTS).select(list(COLUMNS)).to_batches()[0]
VECTORS = EmbeddingBatch(
    [p.id for p in CATALOG], [bytes([i, 255]) for i in range(12)], vectors(CATALOG, "e1", DIM)
)


def test_a_payload_holds_what_is_known_and_nothing_else() -> None:
    made = list(payloads(BATCH, VECTORS))
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
    assert "color" not in made[2]
    assert "product_type" not in made[4]
    images = BATCH.column("images").to_pylist()
    assert made[1]["image"] == images[1][0].hex()
    assert "image" not in made[7]
    assert made[1]["modalities"] == ["image", "text"]


def test_the_row_hash_changes_with_either_part() -> None:
    assert len({row_hash(b"a", b"b"), row_hash(b"a", b"c"), row_hash(b"c", b"b")}) == 3


def test_every_filter_column_is_in_some_payload() -> None:
    columns = indexed_columns(["fit", "neck line"])
    assert columns["price"] == "float"
    assert columns["modalities"] == "keyword"
    assert columns["attributes.fit"] == "keyword"
    assert columns['attributes."neck line"'] == "keyword"
    known = {*COLUMNS, "modalities"}
    assert all(name.split(".")[0] in known for name in columns)
    assert attribute_column("a.b") == 'attributes."a.b"'
