"""Retrieval metrics, per query, from what was found at each rank.

    Q = queries, K = ranks looked at
    hits[q, i]          whether the result at rank i + 1 is relevant; False where there is no such result
    grades[q, i]        its relevance grade: 0 for none, -1 for a product judged not similar
    num_relevant[q]     R, the number of relevant gallery products, found or not
    ideal_grades[q, i]  the query's i-th highest grade, found or not, padded with 0
    num_not_similar[q]  the number of gallery products judged not similar, found or not

Every function returns ``[Q]`` float64 in [0, 1], so that scores can be averaged, compared query by query and
resampled. R is at least 1; for agreement, R and ``num_not_similar`` together are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Grades = NDArray[np.integer[Any]]
Counts = NDArray[np.integer[Any]]
Float64 = NDArray[np.float64]


def recall_at_k(hits: Hits, num_relevant: Counts, k: int) -> Float64:
    """Return the share of the R relevant products that are among the first ``k``."""
    return _share(np.count_nonzero(hits[:, :k], axis=1), num_relevant)


def hit_at_k(hits: Hits, k: int) -> Float64:
    """Return 1 where any relevant product is among the first ``k``: "Recall@k" of deep metric learning.

    Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, explain the difference.
    """
    return _share(np.any(hits[:, :k], axis=1), 1)


def precision_at_k(hits: Hits, k: int) -> Float64:
    """Return the share of relevant products among the first ``k``; missing results count as not relevant."""
    return _share(np.count_nonzero(hits[:, :k], axis=1), k)


def r_precision(hits: Hits, num_relevant: Counts) -> Float64:
    """Return the share of relevant products among the first R. Needs K >= max(R)."""
    return _share(np.count_nonzero(_first_r(hits, num_relevant), axis=1), num_relevant)


def map_at_r(hits: Hits, num_relevant: Counts) -> Float64:
    """Return MAP@R: the mean over the first R ranks of precision there, where the result is relevant.

    Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, eq. 7. Needs K >= max(R).
    """
    counted = _first_r(hits, num_relevant)
    precision = np.cumsum(counted, axis=1, dtype=np.int32) / np.arange(1, counted.shape[1] + 1)
    return _share((precision * counted).sum(axis=1), num_relevant)


def ndcg_at_k(grades: Grades, ideal_grades: Grades, k: int) -> Float64:
    """Return nDCG@k with linear gain and log2(rank + 1) discount.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; the gain is the
    grade itself, as in scikit-learn's ``ndcg_score``.
    """
    found, best = _dcg(grades[:, :k]), _dcg(ideal_grades[:, :k])
    return np.divide(found, best, out=np.zeros_like(best), where=best > 0)


def agreement_at_k(grades: Grades, num_relevant: Counts, num_not_similar: Counts, k: int) -> Float64:
    """Return the share of the query's judgements that the first ``k`` results agree with.

    A product judged similar (grade above 0) agrees where it is among them, one judged not similar (grade
    -1) where it is not. Products without a judgement do not count.
    """
    similar = np.count_nonzero(grades[:, :k] > 0, axis=1)
    not_similar = np.count_nonzero(grades[:, :k] < 0, axis=1)
    return _share(similar + num_not_similar - not_similar, num_relevant + num_not_similar)


def required_depths(metrics: Sequence[str], num_relevant: Counts) -> Counts:
    """Return how many ranks ``metrics`` look at, per query ``[Q]``: the largest k, or R if that is more."""
    largest = max((int(m.partition("@")[2]) for m in metrics if m[-1].isdigit()), default=0)
    needs_r = any(m in ("map@r", "r_precision") for m in metrics)
    return np.maximum(num_relevant * needs_r, largest)


class RankedRelevance(NamedTuple):
    """What was found for some queries; see the legend above."""

    hits: Hits
    grades: Grades
    num_relevant: Counts
    ideal_grades: Grades
    num_not_similar: Counts


def compute(metrics: Sequence[str], ranked: RankedRelevance) -> dict[str, Float64]:
    """Return each named metric per query ``[Q]``; ``metrics`` are names as the configuration has them."""
    return {name: _compute(name, ranked) for name in metrics}


def _compute(name: str, ranked: RankedRelevance) -> Float64:
    hits, grades, num_relevant, ideal_grades, num_not_similar = ranked
    match name.split("@"):
        case ["map", "r"]:
            return map_at_r(hits, num_relevant)
        case ["r_precision"]:
            return r_precision(hits, num_relevant)
        case ["recall", k]:
            return recall_at_k(hits, num_relevant, int(k))
        case ["hit", k]:
            return hit_at_k(hits, int(k))
        case ["precision", k]:
            return precision_at_k(hits, int(k))
        case ["ndcg", k]:
            return ndcg_at_k(grades, ideal_grades, int(k))
        case ["agreement", k]:
            return agreement_at_k(grades, num_relevant, num_not_similar, int(k))
    raise ValueError(f"unknown metric {name!r}")


def _share(part: NDArray[Any], of: NDArray[Any] | int) -> Float64:
    return np.asarray(part / of, np.float64)


def _dcg(grades: Grades) -> Float64:
    return _share(grades @ (1 / np.log2(np.arange(2, grades.shape[1] + 2))), 1)


def _first_r(hits: Hits, num_relevant: Counts) -> Hits:
    """Return ``hits`` up to the largest R, without those beyond each query's own."""
    largest = int(num_relevant.max(initial=0))
    if hits.shape[1] < largest:
        raise ValueError(f"hits reach rank {hits.shape[1]}, but a query has R = {largest}")
    return hits[:, :largest] & (np.arange(largest) < num_relevant[:, None])
