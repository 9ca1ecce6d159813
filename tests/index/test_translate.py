"""The requests that both engines get: those of the server as qdrant-client's models, Edge's the same."""

from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from recsys.config import IndexConfig
from recsys.index.base import Metadata, Point, Query
from recsys.index.edge import EdgeCollection
from recsys.index.filters import AnyOf, Ids, Not, Range
from recsys.index.points import point_id
from recsys.index.server import ServerCollection

META = Metadata(encoder="encoders/e", snapshot="snapshots/s", embedding_set="embedding-sets/v", dim=2)
FILTER = (AnyOf("brand", ("Acme", "Bolt")), Range("price", gte=5.0, lt=9.0), Not(Ids(("a",))))
VECTOR = np.array([0.5, 0.5, 0.5, 0.5], np.float32)


def collections(**settings: Any) -> tuple[Any, Any]:
    config = IndexConfig(**settings)
    client: Any = None
    return ServerCollection(client, "c", META, config), EdgeCollection(None, "c", META, config)


def test_filters() -> None:
    server, edge = collections()
    assert server.translator.filter(()) is edge.translator.filter(()) is None
    assert server.translator.filter(FILTER) == models.Filter(
        must=[
            models.FieldCondition(key="brand", match=models.MatchAny(any=["Acme", "Bolt"])),
            models.FieldCondition(key="price", range=models.Range(gte=5.0, lt=9.0)),
        ],
        must_not=[models.HasIdCondition(has_id=[point_id("a")])],
    )
    found = edge.translator.filter(FILTER)
    brand, price = found.must
    assert (brand.key, brand.match.value) == ("brand", ["Acme", "Bolt"])
    assert (price.key, price.range.gte, price.range.gt, price.range.lte, price.range.lt) == (
        "price", 5.0, None, None, 9.0,
    )  # fmt: skip
    assert [str(i) for i in found.must_not[0].point_ids] == [point_id("a")]
    assert edge.translator.filter(FILTER[2:]).must is None


@pytest.mark.parametrize(
    ("settings", "limit", "ef", "oversampling"),
    [
        ({}, 5, 256, 4.0),
        ({"ef": 16, "oversampling": 2.0}, 40, 40, 2.0),
        ({"quantize": False}, 10, 256, None),
    ],
)
def test_search_parameters(settings: dict[str, Any], limit: int, ef: int, oversampling: float | None) -> None:
    for collection in collections(**settings):
        params = collection.request(Query(vector=VECTOR, limit=limit)).params
        assert params.hnsw_ef == ef
        if oversampling is None:
            assert params.quantization is None
        else:
            assert (params.quantization.rescore, params.quantization.oversampling) == (True, oversampling)


def test_what_a_query_asks_for() -> None:
    server, edge = collections()
    query = Query(vector=VECTOR, limit=3, payload=False, with_vectors=True, filter=FILTER)
    request = server.request(query)
    assert request.query == VECTOR.tolist()
    assert request.filter == server.translator.filter(FILTER)
    for found in (request, edge.request(query)):
        assert (found.limit, found.with_payload, found.with_vector) == (3, ["id"], True)
        assert found.filter.must_not
    for collection in (server, edge):
        assert collection.request(Query(vector=VECTOR)).with_payload is True


def test_points() -> None:
    for collection in collections():
        (point,) = collection.translator.points([Point("a", VECTOR, {"id": "a"})])
        assert (str(point.id), list(point.vector), point.payload) == (
            point_id("a"), VECTOR.tolist(), {"id": "a"},
        )  # fmt: skip
