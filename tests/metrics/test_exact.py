"""Exact search against sorting everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.metrics.exact import Collapsed, Pairs, Similarity, Term, rank_marks, select, top_k


def naive(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The first k by (score descending, position ascending); -inf is no result."""
    found = np.full((len(scores), k), -1)
    values = np.full((len(scores), k), -np.inf)
    for i, row in enumerate(scores):
        order = sorted((-v, j) for j, v in enumerate(row) if v > -np.inf)[:k]
        found[i, : len(order)] = [j for _, j in order]
        values[i, : len(order)] = [-v for v, _ in order]
    return values, found


@given(
    rows=st.integers(1, 6), columns=st.integers(1, 700), k=st.integers(1, 40), levels=st.integers(1, 50),
    hidden=st.floats(0, 1), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_select_is_a_stable_sort(
    rows: int, columns: int, k: int, levels: int, hidden: float, seed: int
) -> None:
    """Few levels make many ties; hidden results are -inf."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (rows, columns)).astype(np.float32)
    scores[rng.random((rows, columns)) < hidden] = -np.inf
    values, positions = naive(scores, k)
    found = select(scores, k)
    width = min(k, columns)
    np.testing.assert_array_equal(found.positions, positions[:, :width])
    np.testing.assert_array_equal(found.scores, values[:, :width])


def test_select_of_a_wide_gallery_with_distinct_scores() -> None:
    rng = np.random.default_rng(0)
    scores = rng.permutation(5 * 40_000).reshape(5, 40_000).astype(np.float32)
    for k in (1, 10, 150, 3000, 40_000):
        expected = np.argsort(-scores, axis=1)[:, :k]
        np.testing.assert_array_equal(select(scores, k).positions, expected)


def test_select_where_every_score_is_equal() -> None:
    scores = np.ones((3, 20_000), np.float32)
    np.testing.assert_array_equal(select(scores, 7).positions, np.tile(np.arange(7), (3, 1)))


@given(seed=st.integers(0, 2**32 - 1), chunk=st.integers(1, 3000), k=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_top_k_does_not_depend_on_chunks(seed: int, chunk: int, k: int) -> None:
    """Small whole numbers are exact in float32, so sums do not depend on their order."""
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(-3, 4, (n, 6)).astype(np.float32) for n in (20, 37))
    other_q, other_g = (rng.integers(-3, 4, (n, 3)).astype(np.float32) for n in (20, 37))
    similarity = Similarity([Term(queries, gallery, 0.5), Term(other_q, other_g, 2.0)])

    def itself(rows: np.ndarray) -> Pairs:
        return Pairs(np.arange(len(rows)), rows)

    full = 0.5 * queries @ gallery.T + 2.0 * other_q @ other_g.T
    full[np.arange(20), np.arange(20)] = -np.inf
    values, positions = naive(full, k)
    found_values, found = top_k(similarity, k, itself, chunk_bytes=chunk)
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(found_values, values)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_a_group_scores_as_its_best_member(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(-3, 4, (n, 6)).astype(np.float32) for n in (7, 30))
    group = np.sort(rng.integers(0, 8, 30))
    known, starts = np.unique(group, return_index=True)
    full = queries @ gallery.T
    by_group = np.stack([full[:, group == g].max(axis=1) for g in known], axis=1)
    values, positions = naive(by_group, k)
    found_values, found = top_k(Collapsed([Term(queries, gallery)], starts), k, chunk_bytes=500)
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(found_values, values)


def test_k_larger_than_the_gallery_is_filled_with_nothing() -> None:
    vectors = np.eye(3, dtype=np.float32)
    scores, positions = top_k(Similarity([Term(vectors, vectors)]), 5)
    assert positions[1].tolist() == [1, 0, 2, -1, -1]
    assert np.isneginf(scores[1, 3:]).all()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_marks_follow_the_ranking(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, gallery = (rng.integers(-3, 4, (n, 5)).astype(np.float32) for n in (9, 40))
    board = rng.integers(0, 4, (9, 40)).astype(np.uint8)
    hide = rng.random((9, 40)) < 0.2
    depths = rng.integers(0, 41, 9)

    def marks(rows: np.ndarray) -> tuple[Pairs, np.ndarray]:
        row, position = np.nonzero(board[rows])
        return Pairs(row, position), board[rows][row, position]

    def hidden(rows: np.ndarray) -> Pairs:
        return Pairs(*np.nonzero(hide[rows]))

    full = queries @ gallery.T
    full[hide] = -np.inf
    seen = set()
    similarity = Similarity([Term(queries, gallery)])
    for rows, found in rank_marks(similarity, depths, marks, hidden, chunk_bytes=4 * 40 * 20):
        for row, line in zip(rows, found, strict=True):
            _, positions = naive(full[row : row + 1], found.shape[1])
            expected = [board[row, p] if p >= 0 else 0 for p in positions[0]]
            assert line.tolist() == expected
            assert found.shape[1] >= depths[row]
            seen.add(int(row))
    assert seen == set(np.flatnonzero(depths > 0).tolist())


def test_vectors_that_are_not_finite_are_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    bad = vectors.copy()
    bad[1, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Similarity([Term(vectors, bad)])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="equal Q"):
        Similarity([Term(np.eye(3, dtype=np.float32), np.eye(4, dtype=np.float32))])
    with pytest.raises(ValueError, match="at least 1"):
        top_k(Similarity([Term(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32))]), 0)
