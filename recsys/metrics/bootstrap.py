"""Bootstrap over components: intervals of means and of paired differences.

Variants and duplicates of one product are not independent, so components are resampled, not queries (the
cluster bootstrap: Field & Welsh, "Bootstrapping clustered data", JRSS B 2007), and every candidate is seen
through the same resamples (the paired bootstrap of retrieval: Sakai, "Evaluating evaluation metrics based
on the bootstrap", SIGIR 2006). Intervals are percentile intervals.

    Q = queries, M = values per query, C = components, S = resamples
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_AT_ONCE = 64


class Interval(NamedTuple):
    """A mean and its bootstrap interval."""

    value: float
    low: float
    high: float


class Resampler:
    """Draws components with replacement, the same draws in every call."""

    def __init__(self, num_components: int, *, resamples: int, seed: int) -> None:
        """Draw ``resamples`` times as many components as there are."""
        rng = np.random.default_rng(seed)
        self._times: NDArray[np.uint16] = np.empty((resamples, num_components), np.uint16)
        for times in self._times:
            drawn = rng.integers(0, num_components, num_components)
            times[:] = np.bincount(drawn, minlength=num_components)

    def means(self, values: Float64, components: Ints) -> Float64:
        """Return the mean of each value under each resample, ``[S, M]``.

        ``values`` is ``[Q, M]``, ``components`` ``[Q]`` the component of each query. A resample that drew
        no component of these queries is NaN.
        """
        resamples, num_components = self._times.shape
        totals = np.stack([np.bincount(components, v, num_components) for v in values.T], axis=1)
        counts = np.bincount(components, minlength=num_components).astype(np.float64)
        both = np.concatenate([totals, counts[:, None]], axis=1)  # [C, M + 1]
        drawn = np.concatenate([self._times[i : i + _AT_ONCE] @ both for i in range(0, resamples, _AT_ONCE)])
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Float64 = drawn[:, :-1] / drawn[:, -1:]
        return means


def interval(value: float, resampled: Float64, confidence: float) -> Interval:
    """Return ``value`` with the percentile interval of ``resampled`` ``[S]`` at ``confidence``.

    Resamples that are NaN are left out; where all are, both ends are NaN.
    """
    finite = resampled[np.isfinite(resampled)]
    if not len(finite):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
