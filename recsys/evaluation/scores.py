"""What the gate reads of a task: the same queries under every candidate, and what the task counts.

The figures of one task under one candidate: every metric of every query, means, intervals, categories.

    P = products embedded (the pool), D = dimensions of one modality, Q = queries, S = resamples
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.products import Positions, Products
from recsys.evaluation.relevance import split_marks
from recsys.evaluation.tasks import ReadyTask
from recsys.metrics.bootstrap import Interval, Resampler, interval
from recsys.metrics.exact import Collapsed, Similarity, Term, rank_marks
from recsys.metrics.retrieval import Ranked, compute
from recsys.workspace.embeddings import Vectors

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

PerQuery = dict[str, Float64]
"""Metric → value per query ``[Q]``."""


@dataclass(frozen=True)
class Pool:
    """The embeddings of some products of a snapshot."""

    positions: Positions
    """``[P]``, ascending."""
    vectors: Vectors

    def image(self, positions: Positions) -> Float32:
        """Return image vectors of products of the pool, ``[len(positions), D]``."""
        return _take(self.vectors.image, self.positions, positions)

    def text(self, positions: Positions) -> Float32:
        """Return text vectors of products of the pool, ``[len(positions), D]``."""
        return _take(self.vectors.text, self.positions, positions)


def per_query(task: ReadyTask, pool: Pool, image_weight: float) -> PerQuery:
    """Return every metric of ``task`` for every query; raises ``ValueError`` on vectors that are not finite.

    ``image_weight`` is the weight of a fused task that sets none.
    """
    values = {name: np.zeros(len(task.queries)) for name in task.config.metrics}
    if not len(task.queries):
        return values
    similarity = similarity_of(task, pool, image_weight)
    for rows, marks in rank_marks(similarity, task.depths, task.relevance.marks, task.relevance.hidden):
        hits, grades = split_marks(marks)
        ranked = Ranked(hits, grades, task.num_relevant[rows], task.ideal[rows], task.num_wrong[rows])
        for name, value in compute(task.config.metrics, ranked).items():
            values[name][rows] = value
    return values


def similarity_of(task: ReadyTask, pool: Pool, image_weight: float) -> Similarity:
    """Return what ``task`` compares, over its queries and gallery."""
    config, queries, gallery = task.config, task.queries, task.gallery
    if config.kind == "text_to_image":
        return Similarity([Term(pool.text(queries), pool.image(gallery))])
    weight = {"image": 1.0, "text": 0.0, "fused": weight_of(task, image_weight)}[config.modality]
    if task.group_starts is not None:
        return Collapsed(fused_terms(pool, queries, gallery, weight), task.group_starts)
    return Similarity(fused_terms(pool, queries, gallery, weight))


def fused_terms(pool: Pool, queries: Positions, gallery: Positions, image_weight: float) -> list[Term]:
    """Return the terms of w · cos(image) + (1 - w) · cos(text); a half that weighs nothing is not read."""
    terms = []
    if image_weight > 0:
        terms.append(Term(pool.image(queries), pool.image(gallery), image_weight))
    if image_weight < 1:
        terms.append(Term(pool.text(queries), pool.text(gallery), 1 - image_weight))
    return terms


def weight_of(task: ReadyTask, image_weight: float) -> float:
    """Return the image weight of a fused task: its own, or the stage's."""
    own = task.config.image_weight
    return image_weight if own is None else own


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Means and intervals of one task, every candidate through the same resamples."""

    figures: dict[str, dict[str, Interval]]
    """Candidate → metric → mean."""
    differences: dict[str, dict[str, Interval]]
    """Candidate → metric → mean of the difference to the reference; without the reference itself."""


def summarise(
    values: dict[str, PerQuery],
    components: NDArray[np.integer[Any]],
    *,
    reference: str | None,
    confidence: float,
    resamples: int,
    seed: int,
) -> Summary:
    """Return figures and differences of all candidates for the same queries.

    ``values`` maps candidates to their values per query ``[Q]``, ``components`` ``[Q]`` are their codes.
    """
    if not values or not len(components):
        return Summary(figures={}, differences={})
    known, codes = np.unique(components, return_inverse=True)
    resampler = Resampler(len(known), resamples=resamples, seed=seed)

    def intervals(per_metric: PerQuery) -> dict[str, Interval]:
        names = list(per_metric)
        drawn = resampler.means(np.stack([per_metric[n] for n in names], axis=1), codes)
        return {
            n: interval(float(per_metric[n].mean()), drawn[:, i], confidence) for i, n in enumerate(names)
        }

    base = values.get(reference or "")
    others = {c: v for c, v in values.items() if base is not None and c != reference}
    gains = {c: {n: v[n] - base[n] for n in v} for c, v in others.items()} if base is not None else {}
    return Summary(
        figures={c: intervals(v) for c, v in values.items()},
        differences={c: intervals(v) for c, v in gains.items()},
    )


def categories(task: ReadyTask, products: Products) -> list[str | None]:
    """Return the category of every query ``[Q]`` by the task's ``by``; ``None`` where it has none."""
    name = task.config.breakdown_by
    if name is None or not products.has(name):
        return [None] * len(task.queries)
    values = products.values(name)
    return [values[p] for p in task.queries]


def by_category(
    values: dict[str, PerQuery], metric: str, labels: Sequence[str | None]
) -> list[dict[str, Any]]:
    """Return, per category, its size and each candidate's mean of ``metric``; most queries first."""
    rows: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        if label is not None:
            rows.setdefault(label, []).append(i)
    ordered = sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "name": name,
            "num_queries": len(at),
            "scores": {c: float(v[metric][at].mean()) for c, v in values.items()},
        }
        for name, at in ordered
    ]


def _take(vectors: Float32, pool: Positions, positions: Positions) -> Float32:
    if len(positions) == len(pool) and np.array_equal(positions, pool):
        return vectors
    rows = np.searchsorted(pool, positions)
    taken: Float32 = vectors[rows]
    return taken


Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One gating task on one split: the main metric of the same queries under every candidate."""

    task: str
    values: Mapping[str, Float64]
    """Candidate → main metric per query ``[Q]``, in 0 to 1."""
    components: Ints
    """Component of each query ``[Q]``, as codes common to all tasks."""
    categories: Sequence[str | None] = ()
    """Category of each query ``[Q]``, or nothing."""
    judged: bool = False
    """Whether it is people's judgements: few at first, and what they gain is reason enough to change."""


def weights(evidence: Sequence[Evidence]) -> Float64:
    """Return what each task counts in the gate score: 1, and of judgements a part while they are fewer.

    A query of judgements counts as much as one of the smallest other task, all of them at most 1. A full
    share for a few of them would drown what the other tasks show, and close the gate.
    """
    least = min((len(e.components) for e in evidence if not e.judged), default=0)
    shares = [min(1.0, len(e.components) / least) if e.judged and least else 1.0 for e in evidence]
    return np.array(shares)
