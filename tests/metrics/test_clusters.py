"""Cluster-robust errors and shrunken group means, against simulation."""

import numpy as np
import pytest

from recsys.metrics.clusters import Estimate, clustered_mean, component_means, group_means, shrunken


def test_the_error_is_that_of_repeated_samples_of_components() -> None:
    rng, means, errors = np.random.default_rng(0), [], []
    components = np.repeat(np.arange(100), 3)
    for _ in range(400):
        values = rng.normal(0, 1, 100)[components] + rng.normal(0, 1, 300)
        found = clustered_mean([values], [components], np.ones(1))
        means.append(found.value)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    alone = clustered_mean([values], [np.arange(300)], np.ones(1))
    assert alone.error < 0.75 * found.error  # variants taken for independent queries


def test_samples_of_the_same_components_do_not_make_each_other_more_certain() -> None:
    values, components = np.random.default_rng(0).normal(0, 1, 200), np.arange(200)
    once = clustered_mean([values], [components], np.ones(1))
    twice = clustered_mean([values, values], [components] * 2, np.ones(2))
    apart = clustered_mean([values, values], [components, components + 200], np.ones(2))
    assert twice == pytest.approx(once)
    assert apart.error == pytest.approx(once.error / np.sqrt(2), rel=0.01)
    uneven = clustered_mean([values, values + 1], [components] * 2, np.array([3.0, 1.0]))
    assert uneven.value == pytest.approx(values.mean() + 0.25)


def test_one_component_or_an_empty_sample_says_nothing() -> None:
    assert clustered_mean([np.ones(5)], [np.zeros(5, int)], np.ones(1)).error == np.inf
    with pytest.raises(ValueError, match="empty"):
        clustered_mean([np.ones(5), np.empty(0)], [np.arange(5), np.arange(0)], np.ones(2))


def groups_of(sizes: list[int], means: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).normal(0, 0.2, len(groups)) + np.array(means)[groups], groups


def shrunken_means(
    values: np.ndarray, components: np.ndarray, groups: np.ndarray, num_groups: int
) -> list[Estimate]:
    return shrunken(group_means(values, components, groups, num_groups))


def test_a_component_counts_once_in_each_group_it_is_in() -> None:
    means, sizes, groups = component_means(
        np.array([1.0, 3.0, 5.0, 7.0]), np.array([9, 9, 9, 4]), np.array([0, 0, 1, 1])
    )
    assert (means.tolist(), sizes.tolist(), groups.tolist()) == ([2.0, 7.0, 5.0], [2, 1, 1], [0, 1, 1])


def test_chance_alone_draws_every_group_to_the_common_mean() -> None:
    sizes, raw, drawn = [3, 5, 10, 40, 200], [], []
    for seed in range(50):
        values, groups = groups_of(sizes, [0.1] * 5, seed)
        found = shrunken_means(values, np.arange(len(values)), groups, 5)
        drawn += [abs(estimate.value - 0.1) for estimate in found]
        raw += [abs(values[groups == g].mean() - 0.1) for g in range(5)]
    assert np.mean(drawn) < np.mean(raw) / 2


def test_a_group_that_truly_differs_keeps_its_distance_the_more_the_larger() -> None:
    sizes = [*[20] * 18, 4, 60]
    values, groups = groups_of(sizes, [*[0.0] * 18, -0.6, -0.6])
    found = shrunken_means(values, np.arange(len(values)), groups, 20)
    assert found[18].value < -0.3
    assert found[19].value < -0.5
    assert found[19].error < found[18].error


def test_groups_are_drawn_no_higher_than_asked() -> None:
    values, groups = groups_of([20] * 5, [0.2] * 5)
    means = group_means(values, np.arange(100), groups, 5)
    free, bounded = shrunken(means), shrunken(means, at_most=0.0)
    assert all(b.value < f.value and b.error == f.error for b, f in zip(bounded, free, strict=True))
    assert shrunken(means, at_most=1.0) == free


def test_a_single_group_is_its_own_mean_and_components_count_once() -> None:
    values = np.random.default_rng(0).normal(0, 1, 60)
    apart = shrunken_means(values, np.arange(60), np.zeros(60, int), 1)[0]
    together = shrunken_means(values, np.arange(60) // 20, np.zeros(60, int), 1)[0]
    assert apart.value == pytest.approx(values.mean())
    assert apart.error == pytest.approx(values.std(ddof=1) / np.sqrt(60))
    assert together.error != pytest.approx(apart.error)
