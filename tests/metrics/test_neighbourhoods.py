"""Neighbourhoods against an exhaustive search; a hub that is made; what stays of lists that are known."""

import numpy as np
import pytest
import scipy.stats

from recsys.metrics.neighbourhoods import k_nearest, k_occurrences, overlap, skewness


def unit(points: np.ndarray) -> np.ndarray:
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def test_the_nearest_are_those_of_an_exhaustive_search() -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(700, 8)))  # more than a chunk
    nearest, scores = k_nearest(vectors, 10)
    every = vectors @ vectors.T
    np.fill_diagonal(every, -2)
    assert (nearest == np.argsort(-every, axis=1)[:, :10]).all()
    assert scores == pytest.approx(-np.sort(-every, axis=1)[:, :10], abs=1e-6)


def test_of_equal_ones_the_first_are_nearest_on_every_night() -> None:
    """Twenty that are all alike and some that are not: more of these change no list of the others."""
    alike = unit(np.ones((20, 8)))
    others = unit(np.random.default_rng(1).normal(size=(600, 8)) - 2)
    for count in (10, 600):
        nearest, scores = k_nearest(np.concatenate([alike, others[:count]]), 3)
        assert nearest[:20].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3]] + [[0, 1, 2]] * 17
        assert scores[:20] == pytest.approx(1)


def test_too_few_have_no_such_neighbours() -> None:
    with pytest.raises(ValueError, match="10 nearest others were asked for among 10"):
        k_nearest(unit(np.eye(10)), 10)


def test_a_hub_is_near_to_all_and_those_on_the_axes_are_near_to_it_alone() -> None:
    """k = 1: the middle of all axes is in every list but its own, and it lists the first of the equals."""
    vectors = unit(np.concatenate([np.eye(30), np.ones((1, 30))]))
    nearest, _ = k_nearest(vectors, 1)
    counts = k_occurrences(nearest)
    assert counts.tolist() == [1] + [0] * 29 + [30]
    assert skewness(counts) == pytest.approx(scipy.stats.skew(counts))
    assert skewness(counts) > 5
    assert (counts == 0).mean() == pytest.approx(29 / 31)


def test_hubness_grows_with_the_dimension_as_the_paper_says() -> None:
    """Radovanović et al. 2010, figure 1: next to none in 3 dimensions, more in 100."""
    rng = np.random.default_rng(2)
    found = [
        skewness(k_occurrences(k_nearest(unit(rng.normal(size=(2000, d)) + 0.3), 10)[0])) for d in (3, 100)
    ]
    assert abs(found[0]) < 0.6
    assert found[1] > 1


def test_a_circle_has_no_hubs() -> None:
    angles = 2 * np.pi * np.arange(40) / 40
    nearest, _ = k_nearest(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32), 10)
    assert k_occurrences(nearest).tolist() == [10] * 40
    assert skewness(k_occurrences(nearest)) == 0


def test_overlap_is_the_share_that_stays_whatever_the_order() -> None:
    before = np.array([[1, 2, 3, 4]] * 3)
    after = np.array([[4, 3, 2, 1], [1, 2, 8, 9], [5, 6, 7, 8]])
    assert overlap(before, after).tolist() == [1, 0.5, 0]
