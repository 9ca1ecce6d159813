"""Retrieval tasks of the configuration, resolved against a snapshot and its split.

    Q = queries, G = gallery; positions are of the snapshot's products, ascending by id

First :func:`plan` says which products are queries and gallery, so that only those are embedded. Once the
candidates' embeddings say who has an image and who has words, :func:`ready` drops what cannot take part,
builds the relevance and drops queries without a right answer, all counted.

The retrieval tasks of a catalog for which nobody configured any.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import EvaluationConfig
from recsys.config.evaluation import TaskConfig
from recsys.errors import ConfigError
from recsys.evaluation.ground_truth import relevance_of
from recsys.evaluation.products import Positions, Products, sample
from recsys.evaluation.relevance import Relevance, totals
from recsys.metrics.retrieval import depth_of, needs_r
from recsys.workspace.splits import HOLDOUT, TRAIN, VALIDATION

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task with its products."""

    config: TaskConfig
    queries: dict[str, Positions]
    """Split (``validation``, ``holdout``) → query products ``[Q]``, ascending."""
    galleries: dict[str, Positions]
    """Split → gallery products ``[G]``, ascending."""
    judged: bool = False
    """Whether it is what people judged on the page, not what the configuration asks."""
    required: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    """Products that must be embedded, whatever is sampled."""


@dataclass(frozen=True, kw_only=True)
class ReadyTask:
    """One task on one split: every query has a right answer, every product what the task compares."""

    config: TaskConfig
    queries: Positions
    gallery: Positions
    group_starts: Positions | None
    """Where results are collapsed by item group: the row of ``gallery`` where each group begins ``[G]``."""
    relevance: Relevance
    """Over the rows of ``queries`` and the results: rows of ``gallery``, or its groups."""
    num_relevant: NDArray[np.int64]
    """R ``[Q]``, at least 1 (for agreement: R and :attr:`num_wrong` together)."""
    ideal: NDArray[np.uint8]
    """Highest grades ``[Q, K]``, for nDCG."""
    num_wrong: NDArray[np.int64]
    """What was judged not to be an answer ``[Q]``; for agreement."""
    num_without_answer: int
    """Queries left out because the gallery holds no right answer."""
    judged: bool = False
    """As in :class:`Task`."""

    @property
    def num_results(self) -> int:
        """G, the number of things that can be found."""
        return len(self.gallery) if self.group_starts is None else len(self.group_starts)

    def members(self, result: int) -> Positions:
        """Return the products of a result: one, or a group."""
        if self.group_starts is None:
            return self.gallery[result : result + 1]
        return np.split(self.gallery, self.group_starts[1:])[result]

    @property
    def depths(self) -> NDArray[np.int64]:
        """Ranks that the metrics look at, per query ``[Q]``, at most G."""
        shallow = depth_of(self.config.metrics)
        deep = self.num_relevant if needs_r(self.config.metrics) else np.zeros_like(self.num_relevant)
        depths: NDArray[np.int64] = np.minimum(np.maximum(deep, shallow), self.num_results)
        return depths


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every task, and the products that must be embedded for them."""

    tasks: list[Task]
    pool: Positions
    """Products to embed, ascending: all queries and galleries."""
    notes: list[str] = field(default_factory=list)
    """What was sampled or skipped, for the report."""


def plan(
    config: EvaluationConfig,
    products: Products,
    splits: Sequence[str] = (VALIDATION, HOLDOUT),
    judged: Callable[[Sequence[str]], tuple[Task | None, list[str]]] | None = None,
) -> Plan:
    """Resolve the configured tasks, or the defaults, to products of the snapshot.

    ``judged`` makes one more task, given the others' names, and notes. Raises :class:`ConfigError` where a
    task names what the catalog lacks.
    """
    configs, notes = (list(config.tasks), list[str]()) if config.tasks else default_tasks(products)
    tasks = []
    for task in configs:
        _check_names(task, products)
        queries, galleries = {}, {}
        for split in splits:
            queries[split], more = _queries(task, products, split, config.max_queries)
            notes += more
            galleries[split] = np.flatnonzero(_gallery(task, products, split))
        tasks.append(Task(config=task, queries=queries, galleries=galleries))
    if judged is not None:
        extra, more = judged([task.name for task in configs])
        tasks += [extra] if extra is not None else []
        notes += more
    pool = _union([p for t in tasks for p in (*t.queries.values(), *t.galleries.values())])
    if len(pool) > config.max_gallery:
        required = _union([p for t in tasks for p in (*t.queries.values(), t.required)])
        kept = _sampled(products, pool, required, config.max_gallery)
        notes.append(
            f"The gallery is a sample of {len(kept)} of {len(pool)} products: figures are easier to reach "
            "than on all of them."
        )
        pool = kept
        tasks = [_within(t, pool) for t in tasks]
    return Plan(tasks=tasks, pool=pool, notes=notes)


def ready(
    task: Task,
    split: str,
    products: Products,
    *,
    has_image: Bools,
    has_text: Bools,
    resolve: Callable[[str], str],
) -> ReadyTask:
    """Make ``task`` ready on ``split``; flags are over the snapshot, true where every candidate agrees."""
    config = task.config
    needs_query, needs_gallery = _needs(config, has_image, has_text)
    queries = task.queries[split][needs_query[task.queries[split]]]
    gallery = task.galleries[split][needs_gallery[task.galleries[split]]]
    groups = None
    if config.collapse_item_groups:
        queries, gallery, groups = _collapse(products.groups, queries, gallery)
    relevance = relevance_of(config, products, queries, gallery, groups=groups, resolve=resolve)
    starts = None if groups is None else np.flatnonzero(np.diff(groups, prepend=-1))
    num_results = len(gallery) if starts is None else len(starts)
    num_relevant, ideal = totals(relevance, len(queries), num_results, depth_of(config.metrics))
    num_wrong = relevance.num_wrong(np.arange(len(queries)))
    answered = np.flatnonzero(num_relevant + num_wrong > 0)
    return ReadyTask(
        config=config,
        queries=queries[answered],
        gallery=gallery,
        group_starts=starts,
        relevance=relevance_of(config, products, queries[answered], gallery, groups=groups, resolve=resolve),
        num_relevant=num_relevant[answered],
        ideal=ideal[answered],
        num_wrong=num_wrong[answered],
        num_without_answer=len(queries) - len(answered),
        judged=task.judged,
    )


def _collapse(
    groups: NDArray[np.int64], queries: Positions, gallery: Positions
) -> tuple[Positions, Positions, Positions]:
    """Return one query per group, the gallery ordered by group, and the group of each of its rows from 0."""
    _, first = np.unique(groups[queries], return_index=True)
    ordered = gallery[np.argsort(groups[gallery], kind="stable")]
    _, group = np.unique(groups[ordered], return_inverse=True)
    return queries[np.sort(first)], ordered, group


def _queries(
    task: TaskConfig, products: Products, split: str, max_queries: int
) -> tuple[Positions, list[str]]:
    """Return the queries of one split, and notes on what was left out."""
    notes = []
    if task.split == "held_out":
        asked = products.in_split(split) & products.matching(task.queries)
    else:
        wanted = task.queries if split == HOLDOUT else task.selection_queries
        asked = products.matching(wanted) if wanted is not None else np.zeros(len(products), np.bool_)
        trained = asked & products.in_split(TRAIN) if products.has_splits else np.zeros_like(asked)
        if trained.any():
            told = "left out" if task.gate else "included, and flatter a fine-tuned encoder"
            notes.append(f"Task {task.name}: {trained.sum()} {split} queries were trained on: {told}.")
            asked = asked & ~trained if task.gate else asked
    found = np.flatnonzero(asked)
    kept = found[sample([products.ids[i] for i in found], max_queries)]
    if len(kept) < len(found):
        notes.append(f"Task {task.name}: {len(kept)} of {len(found)} {split} queries, sampled by hash.")
    return kept, notes


def _gallery(task: TaskConfig, products: Products, split: str) -> Bools:
    found = products.matching(task.gallery)
    return found & products.in_split(split) if task.gallery_split == "same" else found


def _needs(config: TaskConfig, has_image: Bools, has_text: Bools) -> tuple[Bools, Bools]:
    """Return who can be a query and who can be found."""
    if config.kind == "text_to_image":
        return has_text, has_image
    one = {"image": has_image, "text": has_text, "fused": has_image | has_text}[config.modality]
    return one, one


def _check_names(task: TaskConfig, products: Products) -> None:
    filters = [*task.queries, *(task.selection_queries or {}), *task.gallery]
    rungs = [name for g in task.grades for name in g.relevant]
    by = [task.breakdown_by] if task.breakdown_by and "breakdown_by" in task.model_fields_set else []
    for name in [*filters, *task.relevant, *task.linked, *rungs, *by]:
        try:
            products.values(name)
        except ConfigError as error:
            raise ConfigError(f"Task {task.name}: {error.message}", fix=error.fix) from None


def _sampled(products: Products, pool: Positions, required: Positions, size: int) -> Positions:
    """Return about ``size`` of ``pool``: components of the queries first, others by hash, whole."""
    asked = np.isin(products.components[pool], products.components[required])
    keys = [products.component_keys[p] for p in pool]
    hashes = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
    order = sorted(range(len(pool)), key=lambda i: (not asked[i], hashes[i], i))
    return _union([pool[order[:size]], required])


def _within(task: Task, pool: Positions) -> Task:
    galleries = {split: np.intersect1d(g, pool) for split, g in task.galleries.items()}
    return replace(task, galleries=galleries)


def _union(parts: Sequence[NDArray[np.integer[Any]]]) -> Positions:
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts])).astype(np.int64)


def default_tasks(products: Products) -> tuple[list[TaskConfig], list[str]]:
    """Return the three default tasks as far as the catalog has what they ask, and notes on the others."""
    tasks, notes = [], []
    if products.has("item_group_id"):
        tasks.append(
            TaskConfig(
                name="variants", title="A product finds its variants", relevant=("item_group_id",),
                metrics=("map@r", "r_precision", "precision@1", "recall@5", "recall@10", "ndcg@10"),
                gate=True,
            )
        )  # fmt: skip
    else:
        notes.append("No product has an item group, so there is no task of variants.")
    if products.has("product_type"):
        tasks.append(
            TaskConfig(
                name="category", title="A product finds products of its type", relevant=("product_type",),
                metrics=("map@r", "r_precision", "precision@1", "hit@5", "precision@10", "ndcg@10"),
                gate=True,
            )
        )  # fmt: skip
    else:
        notes.append("No product has a product_type, so there is no task of categories.")
    tasks.append(
        TaskConfig(
            name="words", title="A product's text finds its image", kind="text_to_image", relevant=("id",),
            metrics=("map@r", "recall@1", "recall@5", "recall@10", "ndcg@10"), main_metric="recall@10",
            gate=True,
        )
    )  # fmt: skip
    return tasks, notes
