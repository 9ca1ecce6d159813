"""Similar by id and by vector: the parts of a score, the weights, the refusals."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Config
from recsys.errors import InputError
from recsys.index import Collection, open_index, search, similar
from recsys.index.base import Hit
from recsys.index.filters import AnyOf, category
from recsys.index.query import parts
from recsys.index.run import run
from recsys.workspace import Workspace
from recsys.workspace.embeddings import product_vectors, query_vector
from tests.index.catalogs import DIM, products, publish_inputs, vectors

COUNT = 60
CATALOG = products(COUNT)
MADE = vectors(CATALOG, "e1", DIM)


@pytest.fixture
def collection(config: Config, workspace: Workspace) -> Collection:
    run(config, workspace, *publish_inputs(workspace, CATALOG))
    return open_index(config, workspace).open()


def test_neighbours_are_those_of_plain_arithmetic(collection: Collection) -> None:
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        check_neighbours(collection, weight)


def check_neighbours(collection: Collection, weight: float) -> None:
    image, text = MADE.image @ MADE.image[3], MADE.text @ MADE.text[3]
    truth = weight * image + (1 - weight) * text
    truth[3] = -np.inf
    best = np.argsort(-truth, kind="stable")[:8]
    neighbours = similar(collection, CATALOG[3].id, limit=8, image_weight=weight)
    assert [n.id for n in neighbours] == [CATALOG[i].id for i in best]
    for neighbour, i in zip(neighbours, best, strict=True):
        assert neighbour.image_score == pytest.approx(image[i], abs=1e-5)
        assert neighbour.text_score == pytest.approx(text[i], abs=1e-5)
        mix = weight * neighbour.image_score + (1 - weight) * neighbour.text_score
        assert neighbour.score == pytest.approx(mix, abs=1e-5)
        assert neighbour.payload["title"] == f"Product {i}"


def test_the_product_itself_is_left_out_and_the_limit_kept(collection: Collection) -> None:
    for limit in (1, 5, COUNT - 1, COUNT + 10):
        neighbours = similar(collection, "sku-00003", limit=limit)
        assert len(neighbours) == min(limit, COUNT - 1)
        assert "sku-00003" not in {n.id for n in neighbours}


def test_filters_apply(collection: Collection) -> None:
    neighbours = similar(
        collection, "sku-00003", limit=20, filter=(AnyOf("brand", ("Acme",)), category("Home > Lamps"))
    )
    assert neighbours
    assert all(n.payload["brand"] == "Acme" for n in neighbours)
    assert all("Home > Lamps" in n.payload["product_type"] for n in neighbours)


def test_a_product_that_is_not_there_is_named(collection: Collection) -> None:
    with pytest.raises(InputError, match="never-was"):
        similar(collection, "never-was")


def test_search_by_vectors(collection: Collection) -> None:
    both = search(collection, image=MADE.image[5], text=MADE.text[5], limit=3)
    assert both[0].id == CATALOG[5].id
    assert both[0].score == pytest.approx(1, abs=1e-5)
    words = search(collection, text=MADE.text[5], limit=COUNT, image_weight=0.3)
    by_id = {n.id: n for n in words}
    for i in (0, 9, 30):
        neighbour = by_id[CATALOG[i].id]
        assert neighbour.image_score == pytest.approx(float(MADE.image[i] @ MADE.text[5]), abs=1e-5)
        assert neighbour.text_score == pytest.approx(float(MADE.text[i] @ MADE.text[5]), abs=1e-5)
    by_image = search(collection, image=MADE.image[5], limit=1, image_weight=1.0)
    assert by_image[0].id == CATALOG[5].id


def test_what_cannot_be_asked(collection: Collection) -> None:
    with pytest.raises(InputError, match="something to look for"):
        search(collection)
    with pytest.raises(InputError, match=r"3 dimensions.*16"):
        search(collection, text=np.ones(3, np.float32))
    with pytest.raises(InputError, match=r"weight is 1\.5"):
        search(collection, text=MADE.text[0], image_weight=1.5)
    assert search(collection, text=MADE.text[0], filter=(AnyOf("brand", ("Nobody",)),)) == []


@given(st.floats(0, 1), st.integers(0, COUNT - 1), st.integers(0, COUNT - 1))
def test_the_parts_add_up_for_any_weight(weight: float, asked: int, answered: int) -> None:
    query = np.stack([MADE.image[asked], MADE.text[asked]])
    stored = product_vectors(MADE.image, MADE.text)[answered]
    score = float(query_vector(query[0], query[1], weight) @ stored)
    ((image_score, text_score),) = parts([Hit("x", score, {}, stored)], query)
    assert weight * image_score + (1 - weight) * text_score == pytest.approx(score, abs=1e-5)


def test_readers_follow_a_new_encoder_by_themselves(
    make_config: Callable[..., Config], workspace: Workspace
) -> None:
    config = make_config()
    run(config, workspace, *publish_inputs(workspace, CATALOG))
    reader = open_index(config, workspace)
    pinned = reader.open()
    assert reader.open().metadata.encoder == "encoders/e1"
    run(config, workspace, *publish_inputs(workspace, CATALOG, encoder="e2"))
    assert reader.open().metadata.encoder == "encoders/e2"
    assert pinned.metadata.encoder == "encoders/e1"
    assert (
        len(similar(pinned, "sku-00003", limit=3)) == 3
    )  # a request that began before the swap ends on its own
    reader.close()
