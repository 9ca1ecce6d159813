"""The search parameters of a request, the same for both engines; test_contract shows what requests find."""

from typing import Any

import numpy as np
import pytest

from recsys.config import IndexConfig
from recsys.index.base import Metadata, Query
from recsys.index.edge import EdgeCollection
from recsys.index.server import ServerCollection

META = Metadata(encoder="encoders/e", snapshot="snapshots/s", embedding_set="embedding-sets/v", dim=2)


@pytest.mark.parametrize("engine", [EdgeCollection, ServerCollection])
@pytest.mark.parametrize(
    ("settings", "limit", "ef", "rescoring"),
    [
        ({}, 5, 256, (True, 4.0)),
        ({"ef": 16, "oversampling": 2.0}, 40, 40, (True, 2.0)),
        ({"quantize": False}, 10, 256, None),
    ],
)
def test_search_parameters(
    engine: Any, settings: dict[str, Any], limit: int, ef: int, rescoring: tuple[bool, float] | None
) -> None:
    collection = engine(None, "c", META, IndexConfig(**settings))
    params = collection.request(Query(vector=np.full(4, 0.5, np.float32), limit=limit)).params
    found = params.quantization and (params.quantization.rescore, params.quantization.oversampling)
    assert (params.hnsw_ef, found) == (ef, rescoring)
