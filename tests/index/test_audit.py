"""The arithmetic of the audit; what it refuses is in test_publish."""

import numpy as np
import pytest

from recsys.errors import AuditError
from recsys.index.audit import Audit, exact_kth_scores
from recsys.index.source import Source
from recsys.workspace import Workspace
from recsys.workspace.embeddings import product_vectors, query_vector
from tests.index.catalogs import DIM, products, publish_inputs, vectors


@pytest.mark.parametrize("k", [1, 7, 60])
def test_exact_scores_are_those_of_plain_arithmetic(workspace: Workspace, k: int) -> None:
    catalog = products(60)
    source = Source(workspace, *publish_inputs(workspace, catalog))
    made = vectors(catalog, "e1", DIM)
    queries = np.stack(
        [query_vector(made.image[i], made.text[i], w) for i in (0, 5) for w in (0.0, 0.3, 1.0)]
    )
    scores = np.sort(queries @ product_vectors(made.image, made.text).T, axis=1)
    np.testing.assert_allclose(exact_kth_scores(queries, source, k), scores[:, -k], atol=1e-6)


def test_every_problem_is_named_at_once() -> None:
    audit = Audit()
    audit.note("contents", None)
    audit.require("products__x")
    audit.note("norms", "not of unit length: a, b")
    audit.note("recall", "below 0.95: 0.400 at weight 0")
    with pytest.raises(
        AuditError, match=r"(?s)norms: not of unit length: a, b.*recall: below 0.95"
    ) as raised:
        audit.require("products__x")
    assert "contents" not in str(raised.value)


def test_a_sample_is_drawn_without_replacement_and_by_seed(workspace: Workspace) -> None:
    source = Source(workspace, *publish_inputs(workspace, products(30)))
    first = source.sample(10, 1)
    assert list(first) == sorted(set(first.tolist()))
    assert list(first) == list(source.sample(10, 1))
    assert list(first) != list(source.sample(10, 2))
    assert list(source.sample(99, 1)) == list(range(30))


def test_points_at_positions_are_those_of_the_whole(workspace: Workspace) -> None:
    source = Source(workspace, *publish_inputs(workspace, products(30)))
    everything = list(source.points())
    chosen = list(source.points(np.array([0, 7, 29])))
    for found, expected in zip(chosen, [everything[0], everything[7], everything[29]], strict=True):
        assert (found.id, found.payload) == (expected.id, expected.payload)
        np.testing.assert_array_equal(found.vector, expected.vector)
    assert list(source.points(np.array([], np.int64))) == []
    assert [p for _, p in source.payloads(np.array([7]))] == [everything[7].payload]
    rows = list(source.rows())
    assert [(r.id, r.key, r.hash) for r in rows] == [
        (p.id, p.payload["embedding_key"], p.payload["row_hash"]) for p in everything
    ]
