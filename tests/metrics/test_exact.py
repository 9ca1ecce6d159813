"""Exact search against sorting everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metrics.exact import Term, score_chunks, top_k


@given(
    rows=st.integers(1, 6), columns=st.integers(1, 700), k=st.integers(1, 40), levels=st.integers(1, 50),
    hidden=st.floats(0, 1), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_top_k_finds_the_highest_scores_once_each(
    rows: int, columns: int, k: int, levels: int, hidden: float, seed: int
) -> None:
    """Few levels make many ties; hidden results are -inf."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (rows, columns)).astype(np.float32)
    scores[rng.random((rows, columns)) < hidden] = -np.inf
    positions = top_k(scores, k)
    found = np.where(positions < 0, -np.inf, np.take_along_axis(scores, positions, axis=1))
    np.testing.assert_array_equal(found, -np.sort(-scores, axis=1)[:, :k])
    assert all(len(set(kept)) == len(kept) for kept in (row[row >= 0].tolist() for row in positions))
    np.testing.assert_array_equal(top_k(scores, k), positions)


@pytest.mark.parametrize("k", [1, 10, 150, 3000, 40_001, 50_000])
def test_top_k_of_a_wide_gallery(k: int) -> None:
    scores = np.random.default_rng(0).permutation(5 * 40_001).reshape(5, 40_001).astype(np.float32)
    np.testing.assert_array_equal(top_k(scores, k), np.argsort(-scores, axis=1)[:, :k])


@given(seed=st.integers(0, 2**32 - 1), chunk=st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_chunks_hold_every_query_that_needs_results_and_its_scores(seed: int, chunk: int) -> None:
    """Small whole numbers are exact in float32, so sums do not depend on their order."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(-3, 4, (n, 6)).astype(np.float32) for n in (20, 37))
    other_queries, other_gallery = (rng.integers(-3, 4, (n, 3)).astype(np.float32) for n in (20, 37))
    terms = [Term(queries, gallery, 0.5), Term(other_queries, other_gallery, 2.0)]
    depths = rng.integers(0, 38, 20)
    expected = 0.5 * queries @ gallery.T + 2.0 * other_queries @ other_gallery.T
    seen: list[int] = []
    for rows, scores in score_chunks(terms, depths, chunk_bytes=chunk):
        np.testing.assert_array_equal(scores, expected[rows])
        seen += rows.tolist()
        scores.fill(np.nan)  # the caller may change them
    assert sorted(seen) == np.flatnonzero(depths).tolist()
