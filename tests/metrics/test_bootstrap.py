"""The bootstrap against scipy's, and what clusters do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys.metrics.bootstrap import Resampler, interval


def test_independent_queries_give_scipys_percentile_interval() -> None:
    values = np.random.default_rng(0).beta(2, 3, 300)
    drawn = Resampler(300, resamples=20_000, seed=1).means(values[:, None], np.arange(300))[:, 0]
    ours = interval(values.mean(), drawn, 0.95)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=2e-3)
    assert ours.high == pytest.approx(theirs.high, abs=2e-3)


def test_queries_of_one_component_count_once() -> None:
    """Forty copies of every value must not narrow the interval."""
    rng = np.random.default_rng(0)
    values, components = rng.random(30), np.arange(30)
    few = Resampler(30, resamples=4000, seed=0)
    alone = interval(0, few.means(values[:, None], components)[:, 0], 0.95)
    repeated = interval(0, few.means(np.repeat(values, 40)[:, None], np.repeat(components, 40))[:, 0], 0.95)
    assert repeated.low == pytest.approx(alone.low)
    assert repeated.high == pytest.approx(alone.high)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Two hundred samples of 60 components of 1 to 5 correlated queries, true mean 0.4."""
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        level = rng.beta(4, 6, 60)
        sizes = rng.integers(1, 6, 60)
        components = np.repeat(np.arange(60), sizes)
        values = (rng.random(len(components)) < level[components]).astype(float)
        drawn = Resampler(60, resamples=400, seed=trial).means(values[:, None], components)[:, 0]
        found = interval(values.mean(), drawn, 0.9)
        covered += found.low <= 0.4 <= found.high
    assert 165 <= covered <= 197  # 180 expected; three standard errors either way


@given(seed=st.integers(0, 1000), shift=st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_paired_differences_feel_nothing_that_both_share(seed: int, shift: float) -> None:
    """Means of a difference are differences of means, draw by draw; a constant gain has no spread."""
    rng = np.random.default_rng(seed)
    components = rng.integers(0, 12, 50)
    one, other = rng.random(50), rng.random(50)
    resampler = Resampler(12, resamples=200, seed=seed)
    both = resampler.means(np.stack([one, other, other - one, one + shift], axis=1), components)
    np.testing.assert_allclose(both[:, 1] - both[:, 0], both[:, 2], atol=1e-12)
    np.testing.assert_allclose(both[:, 3] - both[:, 0], shift, atol=1e-12)


def test_the_same_seed_gives_the_same_draws() -> None:
    values = np.arange(10.0)[:, None]
    one, again, other = (Resampler(10, resamples=50, seed=s).means(values, np.arange(10)) for s in (7, 7, 8))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_draws_without_any_query_are_left_out() -> None:
    drawn = Resampler(40, resamples=500, seed=0).means(np.array([[0.3]]), np.array([5]))
    assert np.isnan(drawn).any()
    assert interval(0.3, drawn[:, 0], 0.95) == pytest.approx((0.3, 0.3, 0.3))
    assert np.isnan(interval(0.3, np.full(5, np.nan), 0.95).low)
