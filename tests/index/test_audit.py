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
    audit = Audit(checks={"contents": "ok", "norms": "not 1: a, b", "recall": "below 0.95"})
    with pytest.raises(AuditError, match=r"audit; [^:]*\n  norms: not 1: a, b\n  recall: below 0.95"):
        audit.require("products__x")


def test_a_sample_is_drawn_without_replacement_and_by_seed(workspace: Workspace) -> None:
    source = Source(workspace, *publish_inputs(workspace, products(30)))
    first, again, other, everything = (
        source.sample(count, seed).tolist() for count, seed in ((10, 1), (10, 1), (10, 2), (99, 1))
    )
    assert first == again == sorted(set(first)) != other
    assert everything == list(range(30))


def test_points_at_positions_are_those_of_the_whole(workspace: Workspace) -> None:
    source = Source(workspace, *publish_inputs(workspace, products(30)))
    everything = [p._replace(vector=p.vector.tolist()) for p in source.points()]
    for positions in ([0, 7, 29], []):
        chosen = np.array(positions, np.int64)
        found = [p._replace(vector=p.vector.tolist()) for p in source.points(chosen)]
        assert found == [everything[i] for i in positions]
        assert list(source.payloads(chosen)) == [(p.id, p.payload) for p in found]
    assert list(source.rows()) == [
        (p.id, p.payload["embedding_key"], p.payload["row_hash"]) for p in everything
    ]
