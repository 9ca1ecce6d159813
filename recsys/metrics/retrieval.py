"""Retrieval metrics, per query, from what was found at each rank.

    Q = queries, K = ranks looked at
    hits[q, i]       whether the result at rank i + 1 is relevant; False where there is no such result
    grades[q, i]     its grade (gain), 0 for none; for nDCG
    num_relevant[q]  R, the number of relevant gallery products of the query, found or not; at least 1
    ideal[q, i]      the query's i-th highest grade, whether found or not, 0-padded; for nDCG
    num_wrong[q]     products judged not to be an answer, found or not; they have a grade and are no hit

Every function returns ``[Q]`` float64 in [0, 1], so that figures can be averaged, compared pair by pair and
resampled. Queries with R = 0 have no answer to find: callers leave them out and count them, except for
agreement, which needs only that something was judged.

Does not know: vectors, products, candidates.
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
    found: Float64 = np.count_nonzero(hits[:, :k], axis=1) / num_relevant
    return found


def hit_at_k(hits: Hits, k: int) -> Float64:
    """Return 1 where any relevant product is among the first ``k``: "Recall@k" of deep metric learning.

    Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, explain the difference.
    """
    hit: Float64 = np.any(hits[:, :k], axis=1).astype(np.float64)
    return hit


def precision_at_k(hits: Hits, k: int) -> Float64:
    """Return the share of relevant products among the first ``k``; missing results count as wrong."""
    found: Float64 = np.count_nonzero(hits[:, :k], axis=1) / k
    return found


def r_precision(hits: Hits, num_relevant: Counts) -> Float64:
    """Return the share of relevant products among the first R. Needs K >= max(R)."""
    _check_depth(hits, num_relevant)
    within = np.arange(hits.shape[1]) < num_relevant[:, None]
    found: Float64 = np.count_nonzero(hits & within, axis=1) / num_relevant
    return found


def map_at_r(hits: Hits, num_relevant: Counts) -> Float64:
    """Return MAP@R: the mean over the first R ranks of precision there, where the result is relevant.

    Musgrave et al., "A Metric Learning Reality Check", ECCV 2020, eq. 7. Needs K >= max(R).
    """
    _check_depth(hits, num_relevant)
    depth = min(hits.shape[1], int(num_relevant.max(initial=0)))
    ranks = np.arange(1, depth + 1)
    counted = hits[:, :depth] & (ranks <= num_relevant[:, None])
    precision = np.cumsum(counted, axis=1, dtype=np.int32) / ranks
    total: Float64 = (precision * counted).sum(axis=1) / num_relevant
    return total


def ndcg_at_k(grades: Grades, ideal: Grades, k: int) -> Float64:
    """Return nDCG@k with linear gain and log2(rank + 1) discount.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002; the gain is the
    grade itself, as in scikit-learn's ``ndcg_score``.
    """
    got, best = _dcg(grades[:, :k]), _dcg(ideal[:, :k])
    return np.divide(got, best, out=np.zeros_like(best), where=best > 0)


def agreement_at_k(hits: Hits, grades: Grades, judged: tuple[Counts, Counts], k: int) -> Float64:
    """Return the share of what was judged that the first ``k`` agree with.

    A product judged similar agrees where it is among them, one judged not similar where it is not; what
    nobody judged says nothing. ``judged`` is ``(num_relevant, num_wrong)``, their sum at least 1.
    """
    num_relevant, num_wrong = judged
    right = np.count_nonzero(hits[:, :k], axis=1)
    wrong = np.count_nonzero(~hits[:, :k] & (grades[:, :k] > 0), axis=1)
    agreed: Float64 = (right + num_wrong - wrong) / (num_relevant + num_wrong)
    return agreed


def depth_of(metrics: Sequence[str]) -> int:
    """Return the largest k named in ``metrics`` (0 with none)."""
    return max((int(m.split("@")[1]) for m in metrics if "@" in m and m != "map@r"), default=0)


def needs_r(metrics: Sequence[str]) -> bool:
    """Return whether any of ``metrics`` looks at the first R results."""
    return any(m in ("map@r", "r_precision") for m in metrics)


class Ranked(NamedTuple):
    """What was found for some queries; see the legend above."""

    hits: Hits
    grades: Grades
    num_relevant: Counts
    ideal: Grades
    num_wrong: Counts | None = None
    """``None``: nothing was judged wrong."""


def compute(metrics: Sequence[str], ranked: Ranked) -> dict[str, Float64]:
    """Return each named metric per query ``[Q]``; ``metrics`` are names as the configuration has them."""
    return {name: _compute_one(name, ranked) for name in metrics}


def _compute_one(name: str, ranked: Ranked) -> Float64:
    hits, grades, num_relevant, ideal, num_wrong = ranked
    kind, _, at = name.partition("@")
    match kind:
        case "map":
            return map_at_r(hits, num_relevant)
        case "r_precision":
            return r_precision(hits, num_relevant)
        case "recall":
            return recall_at_k(hits, num_relevant, int(at))
        case "hit":
            return hit_at_k(hits, int(at))
        case "precision":
            return precision_at_k(hits, int(at))
        case "ndcg":
            return ndcg_at_k(grades, ideal, int(at))
        case "agreement":
            judged = num_relevant, np.zeros_like(num_relevant) if num_wrong is None else num_wrong
            return agreement_at_k(hits, grades, judged, int(at))
    raise ValueError(f"unknown metric {name!r}")


def _dcg(grades: Grades) -> Float64:
    discounts = 1.0 / np.log2(np.arange(2, grades.shape[1] + 2))
    total: Float64 = grades @ discounts
    return total


def _check_depth(hits: Hits, num_relevant: Counts) -> None:
    deepest = int(num_relevant.max(initial=0))
    if hits.shape[1] < deepest:
        raise ValueError(f"hits reach rank {hits.shape[1]}, but a query has R = {deepest}")
