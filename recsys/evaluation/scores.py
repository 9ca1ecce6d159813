"""Scores of the candidates: every metric of every query of a task, their means and intervals.

P = products embedded (the pool), D = dimensions of one modality, Q = queries, S = resamples
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config.evaluation import GateConfig
from recsys.encoder.template import GIVEN_AWAY
from recsys.evaluation.products import Positions, Products
from recsys.evaluation.relevance import ideal_grades
from recsys.evaluation.tasks import PreparedTask
from recsys.metrics.bootstrap import Interval, Ints, Resampler, interval
from recsys.metrics.exact import Term, score_chunks, top_k
from recsys.metrics.retrieval import RankedRelevance, compute
from recsys.workspace.embeddings import Vectors

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MetricValues = dict[str, Float64]
"""Metric → value per query ``[Q]``."""


@dataclass(frozen=True)
class PoolVectors:
    """One candidate's embeddings of some products of a snapshot."""

    positions: Positions
    """``[P]``, ascending."""
    vectors: Vectors

    def image(self, positions: Positions) -> Any:
        """Return image vectors of products of the pool, ``[len(positions), D]``."""
        return self._rows(self.vectors.image, positions)

    def text(self, positions: Positions) -> Any:
        """Return text vectors of products of the pool, ``[len(positions), D]``."""
        return self._rows(self.vectors.text, positions)

    def _rows(self, vectors: Any, positions: Positions) -> Any:
        if np.array_equal(positions, self.positions):
            return vectors
        return vectors[np.searchsorted(self.positions, positions)]


@dataclass(frozen=True, kw_only=True)
class PerQueryScores:
    """One gating task on one split, as the gate reads it: the main metric of the same queries."""

    task: str
    values: Mapping[str, Float64]
    """Candidate → main metric per query ``[Q]``, in 0 to 1."""
    components: Ints
    """Component of each query ``[Q]``, as codes common to all tasks."""
    products: Ints
    """Each query's product ``[Q]``, as codes common to all tasks."""
    categories: Sequence[str | None] = ()
    """Category of each query ``[Q]``, or empty."""
    is_judgements: bool = False
    """Whether it is people's judgements: few at first, and a gain on them is reason enough to change."""
    only_guards: bool = False
    """Whether a loss counts and a gain says nothing: the text gives the label away, or there are too few
    queries."""


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task on one split under every candidate."""

    task: PreparedTask
    values: dict[str, MetricValues]
    """Candidate → metric → value per query ``[Q]``."""
    components: Ints
    """Component of each query ``[Q]``."""
    categories: list[str | None]
    """Category of each query ``[Q]``."""
    label_in_text: float | None = None
    """Share of the queries whose text names their label; ``None`` where the task compares no texts."""

    @property
    def only_guards(self) -> bool:
        """Whether the text gives the label away too often for a gain to say anything."""
        return (self.label_in_text or 0.0) >= GIVEN_AWAY

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.config.name

    def main_scores(self) -> PerQueryScores:
        """Return the main metric as the gate reads it."""
        main = self.task.config.main
        return PerQueryScores(
            task=self.name,
            values={candidate: values[main] for candidate, values in self.values.items()},
            components=self.components,
            products=self.task.queries,
            categories=self.categories,
            is_judgements=self.task.is_judgements,
            only_guards=self.only_guards,
        )


def score_task(
    task: PreparedTask,
    products: Products,
    pools: Mapping[str, PoolVectors],
    image_weight: float,
    *,
    label_in_text: float | None = None,
) -> TaskResult:
    """Return every metric of ``task`` for every query under every candidate of ``pools``.

    ``image_weight`` is the weight of a fused task that sets none; ``label_in_text`` goes into the result.
    """
    by = task.config.breakdown_by
    columns = products.values(by) if by is not None and products.has(by) else [None] * len(products)
    return TaskResult(
        task=task,
        values={name: score_queries(task, pool, image_weight) for name, pool in pools.items()},
        components=products.components[task.queries],
        categories=[columns[p] for p in task.queries],
        label_in_text=label_in_text,
    )


def score_queries(task: PreparedTask, pool: PoolVectors, image_weight: float) -> MetricValues:
    """Return every metric of ``task`` for every query under one candidate."""
    values = {name: np.zeros(len(task.queries)) for name in task.config.metrics}
    depths = task.depths
    for rows, scores in score_chunks(_terms(task, pool, image_weight), depths):
        if task.group_starts is not None:
            scores = np.maximum.reduceat(scores, task.group_starts, axis=1)
        hidden, relevant, grades = task.relevance.chunk(rows)
        np.copyto(scores, -np.inf, where=hidden)
        positions = top_k(scores, int(depths[rows].max()))
        found = positions >= 0
        ranked = RankedRelevance(
            hits=np.take_along_axis(relevant, positions, axis=1) & found,
            grades=np.take_along_axis(grades, positions, axis=1) * found,
            num_relevant=task.num_relevant[rows],
            ideal_grades=ideal_grades(grades, positions.shape[1]),
            num_not_similar=task.num_not_similar[rows],
        )
        for name, value in compute(task.config.metrics, ranked).items():
            values[name][rows] = value
    return values


def _terms(task: PreparedTask, pool: PoolVectors, image_weight: float) -> list[Term]:
    """Return what ``task`` compares, over its queries and gallery."""
    config, queries, gallery = task.config, task.queries, task.gallery
    if config.kind == "text_to_image":
        return [Term(pool.text(queries), pool.image(gallery))]
    weights = {"image": 1.0, "text": 0.0, "fused": weight_of(task, image_weight)}
    return fused_terms(pool, queries, gallery, weights[config.modality])


def fused_terms(pool: PoolVectors, queries: Positions, gallery: Positions, image_weight: float) -> list[Term]:
    """Return the terms of w · cos(image) + (1 - w) · cos(text), without one that weighs nothing."""
    terms = []
    if image_weight > 0:
        terms.append(Term(pool.image(queries), pool.image(gallery), image_weight))
    if image_weight < 1:
        terms.append(Term(pool.text(queries), pool.text(gallery), 1 - image_weight))
    return terms


def weight_of(task: PreparedTask, image_weight: float) -> float:
    """Return the image weight of a fused task: its own, or the stage's."""
    own = task.config.image_weight
    return image_weight if own is None else own


def intervals(
    values: Mapping[str, MetricValues], components: Ints, gate: GateConfig, seed: int
) -> dict[str, dict[str, Interval]]:
    """Return candidate → metric → mean with its interval, every candidate through the same resamples.

    ``values`` are per query ``[Q]``, ``components`` ``[Q]`` the queries' components.
    """
    if not len(components):
        return {}
    known, codes = np.unique(components, return_inverse=True)
    resampler = Resampler(len(known), resamples=gate.resamples, seed=seed)
    found: dict[str, dict[str, Interval]] = {}
    for candidate, by_metric in values.items():
        drawn = resampler.means(np.stack(list(by_metric.values()), axis=1), codes)
        found[candidate] = {
            name: interval(float(value.mean()), drawn[:, i], gate.confidence)
            for i, (name, value) in enumerate(by_metric.items())
        }
    return found


def by_category(result: TaskResult) -> list[dict[str, Any]]:
    """Return, per category, its size and each candidate's mean of the main metric; most queries first."""
    main, rows = result.task.config.main, rows_of(result.categories)
    return [
        {
            "name": name,
            "num_queries": len(rows[name]),
            "scores": {c: float(v[main][rows[name]].mean()) for c, v in result.values.items()},
        }
        for name in sorted(rows, key=lambda name: (-len(rows[name]), name))
    ]


def rows_of(categories: Sequence[str | None]) -> dict[str, list[int]]:
    """Return category → its queries, without those that have none."""
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(categories):
        if name is not None:
            rows.setdefault(name, []).append(i)
    return rows
