"""Neighbourhoods of a set of vectors: the k nearest of each, hubness, how many stay the same.

    N = vectors, Q = queries, D = dimensions, K = neighbours of each

Numpy alone, so that a night's report needs no torch. Unlike :func:`recsys.metrics.exact.top_k`, equal scores
go to the vector that comes first: products that are all alike have the same neighbours on every night.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_CHUNK = 512
_STEPS = 1_000_000
"""Scores that differ by less than 1 / _STEPS are equal."""


def k_nearest(vectors: Float32, k: int) -> tuple[NDArray[np.int64], Float64]:
    """Return the rows of the ``k`` nearest others of each of ``vectors`` ``[N, D]``, and their scores.

    Both are ``[N, K]``, best first. Rows have unit norm; raises :class:`ValueError` unless N is more than k.
    """
    if len(vectors) <= k:
        raise ValueError(f"{k} nearest others were asked for among {len(vectors)} vectors")
    found = np.empty((len(vectors), k), np.int64)
    scores = np.empty((len(vectors), k))
    columns = np.arange(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        steps = np.rint((vectors[start : start + _CHUNK] @ vectors.T) * _STEPS).astype(np.int64)
        rows = np.arange(len(steps))
        steps[rows, start + rows] = -2 * _STEPS  # not itself
        order = columns - steps * len(vectors)  # no two are equal
        nearest = np.sort(np.partition(order, k - 1, axis=1)[:, :k], axis=1)
        found[start + rows] = nearest % len(vectors)
        scores[start + rows] = -(nearest // len(vectors)) / _STEPS
    return found, scores


def k_occurrences(nearest: Ints) -> NDArray[np.int64]:
    """Return in how many lists of ``nearest`` ``[N, K]`` each row is, ``[N]``: N_k, whose mean is K.

    Its skewness is the hubness of the set, and rows with N_k = 0 are antihubs (Radovanović et al., "Hubs in
    space", JMLR 2010, sections 3 and 4).
    """
    return np.bincount(nearest.ravel(), minlength=len(nearest))


def skewness(values: NDArray[Any]) -> float:
    """Return the third standardised moment of ``values``; 0 where they are all equal."""
    deviations = values - values.mean()
    spread = float(np.sqrt((deviations**2).mean()))
    return float((deviations**3).mean()) / spread**3 if spread else 0.0


def is_shared(lists: Ints, others: Ints) -> NDArray[np.bool_]:
    """Return which entries of each query's list are in its other list too; all are ``[Q, K]``."""
    return np.asarray((lists[:, :, None] == others[:, None, :]).any(axis=2), np.bool_)


def overlap(before: Ints, after: Ints) -> Float64:
    """Return the share of each query's list ``before`` ``[Q, K]`` that is in its list ``after``, ``[Q]``."""
    return np.asarray(is_shared(before, after).mean(axis=1), np.float64)
