"""Means of per-query values with standard errors that know that variants of one product are not independent.

The error is that of the cluster-robust ("sandwich") estimator of a mean: a component's queries count as one
observation (Cameron & Miller, "A practitioner's guide to cluster-robust inference", JHR 2015). It needs no
resampling, and is the paired one where the values are differences.

    Q = queries, C = components
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_WIDTH_95 = 1.96
"""Standard errors on either side of a 95% interval."""


class Estimate(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float

    def interval(self, width: float) -> Interval:
        """Return the value with ``width`` standard errors on either side."""
        return Interval(self.value, self.value - width * self.error, self.value + width * self.error)


def clustered_mean(values: Sequence[Float64], components: Sequence[Ints], weights: Float64) -> Estimate:
    """Return the weighted mean, over samples, of each sample's mean.

    Sample ``i`` has ``values[i]`` ``[Q]``, of queries in the ``components[i]`` ``[Q]``; a component may be in
    several samples. Raises :class:`ValueError` for an empty sample.
    """
    if not all(map(len, values)):
        raise ValueError("a sample is empty; give only samples with queries")
    known, codes = np.unique(np.concatenate(components), return_inverse=True)
    starts = np.cumsum([len(sample) for sample in values])[:-1]
    influence = np.zeros(len(known))
    for sample, at, weight in zip(values, np.split(codes, starts), weights / weights.sum(), strict=True):
        influence += weight / len(sample) * np.bincount(at, sample - sample.mean(), len(known))
    size = len(known)
    error = np.sqrt((influence**2).sum() * size / (size - 1)) if size > 1 else np.inf
    return Estimate(float(np.average([sample.mean() for sample in values], weights=weights)), float(error))


def mean_share(shares: Float64, components: Ints) -> dict[str, float | None]:
    """Return the mean of ``shares`` ``[Q]``, each in 0 to 1, of queries in the ``components`` ``[Q]``.

    The result is JSON: ``value``, and ``low`` and ``high`` of its 95% interval, null for a single component.
    """
    mean = clustered_mean([shares], [components], np.ones(1)).interval(_WIDTH_95)
    ends = (None, None) if np.isinf(mean.low) else np.clip(mean[1:], 0, 1).tolist()
    return {"value": mean.value, "low": ends[0], "high": ends[1]}


def component_means(values: Float64, components: Ints, groups: Ints) -> tuple[Float64, Ints, Ints]:
    """Return the mean of each component within each group, how many queries it has there, and the group.

    ``values``, ``components`` and ``groups`` are ``[Q]``; a component may be in several groups.
    """
    known, codes = np.unique(components, return_inverse=True)
    pairs, at = np.unique(groups * len(known) + codes, return_inverse=True)
    sizes = np.bincount(at)
    return np.bincount(at, values) / sizes, sizes, pairs // len(known)


def group_means(values: Float64, components: Ints, groups: Ints, num_groups: int) -> list[Estimate]:
    """Return each group's mean; the spread within groups is pooled, a component being one observation.

    ``values``, ``components`` and ``groups`` are ``[Q]``; groups are numbered from 0, each has a query.
    """
    own, sizes, group = component_means(values, components, groups)
    counts = np.bincount(group, sizes, num_groups)
    means = np.bincount(group, own * sizes, num_groups) / counts
    freedom = len(group) - num_groups
    centre = means[group] if freedom > 0 else np.full(len(group), own.mean())
    spread = ((own - centre) ** 2).sum() / max(freedom if freedom > 0 else len(group) - 1, 1)
    noise = np.maximum(spread * np.bincount(group, sizes**2, num_groups) / counts**2, 1e-12)
    return [Estimate(float(m), float(e)) for m, e in zip(means, np.sqrt(noise), strict=True)]


def shrunken(means: Sequence[Estimate], *, at_most: float = np.inf) -> list[Estimate]:
    """Return the means of groups, drawn towards that of all as far as chance explains their distance.

    Empirical Bayes with normal errors; the spread between groups is DerSimonian and Laird's (1986). Where
    the mean of all is above ``at_most``, they are drawn towards that instead.
    """
    if len(means) == 1:
        return list(means)
    value, noise = np.array([m.value for m in means]), np.array([m.error for m in means]) ** 2
    precision = 1 / noise
    middle = np.average(value, weights=precision)
    excess = (precision * (value - middle) ** 2).sum() - (len(means) - 1)
    between = max(0.0, excess / (precision.sum() - (precision**2).sum() / precision.sum()))
    total = 1 / (noise + between)
    middle, middle_variance = np.average(value, weights=total), 1 / total.sum()
    kept = between * total
    drawn = kept * value + (1 - kept) * min(middle, at_most)
    variance = kept * noise + (1 - kept) ** 2 * middle_variance
    return [Estimate(float(v), float(e)) for v, e in zip(drawn, np.sqrt(variance), strict=True)]
