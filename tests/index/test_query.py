"""Queries with an image weight: their scores, filters, and readers that follow the alias."""

from collections.abc import Callable

import numpy as np
import pytest

from recsys.config import Config
from recsys.index import open_index
from recsys.index.filters import AnyOf, category
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import DIM, products, publish_inputs, similar, vectors

CATALOG = products(60)


def test_scores_are_those_of_plain_arithmetic_and_filters_narrow(
    config: Config, workspace: Workspace
) -> None:
    run(config, workspace, *publish_inputs(workspace, CATALOG))
    index = open_index(config, workspace)
    made = vectors(CATALOG, "e1", DIM)
    image, text = made.image @ made.image[3], made.text @ made.text[3]
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0):
        truth = weight * image + (1 - weight) * text
        truth[3] = -np.inf
        best = np.argsort(-truth, kind="stable")[:8]
        hits = similar(index.open(), CATALOG[3].id, limit=8, image_weight=weight)
        assert [hit.id for hit in hits] == [CATALOG[i].id for i in best]
        assert [hit.score for hit in hits] == pytest.approx(truth[best], abs=1e-5)
        assert [hit.payload["title"] for hit in hits] == [f"Product {i}" for i in best]
    conditions = (AnyOf("brand", ("Acme",)), category("Home > Lamps"))
    hits = similar(index.open(), "sku-00003", limit=20, filter=conditions)
    assert hits
    assert all(hit.payload["brand"] == "Acme" for hit in hits)
    assert all("Home > Lamps" in hit.payload["product_type"] for hit in hits)
    index.close()


def test_readers_follow_another_encoder_by_themselves(
    make_config: Callable[..., Config], workspace: Workspace
) -> None:
    config = make_config()
    run(config, workspace, *publish_inputs(workspace, CATALOG))
    reader = open_index(config, workspace)
    before = reader.open()
    assert reader.open().metadata.encoder == "encoders/e1"
    run(config, workspace, *publish_inputs(workspace, CATALOG, encoder="e2"))
    assert reader.open().metadata.encoder == "encoders/e2"
    assert before.metadata.encoder == "encoders/e1"
    assert len(similar(before, "sku-00003", limit=3)) == 3  # a query that began before the swap goes on
    reader.close()
