"""Retrieval tasks: which products are queries, which can be found, and which are relevant.

    Q = queries, G = gallery; positions are of the snapshot's products, ascending by id

:func:`plan_tasks` says which products are queries and gallery, so that only those are embedded. Once the
candidates' embeddings say which products have an image and which have text, :func:`prepare` leaves out what
cannot take part, builds the ground truth and leaves out queries without a relevant product, all counted.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import EvaluationConfig
from recsys.config.evaluation import TaskConfig
from recsys.errors import ConfigError
from recsys.evaluation.products import Positions, Products, sample
from recsys.evaluation.relevance import Bools, Relevance, ground_truth
from recsys.metrics.retrieval import Counts, required_depths
from recsys.workspace.pairs import read_pairs
from recsys.workspace.splits import HOLDOUT, TEST, VALIDATION

NIGHTLY_ROLES = (VALIDATION, HOLDOUT)
"""The roles whose products a night queries: all but training and the final test."""
_NEVER_FOUND = {VALIDATION: (HOLDOUT, TEST), HOLDOUT: (TEST,)}
"""Role of the queries → roles whose products are in none of their galleries; records ask by other roles."""
JUDGEMENTS_TITLE = "Merchandisers' judgements"
_JUDGEMENTS_METRICS = ("agreement@10", "agreement@5", "agreement@24")
_JUDGEMENTS_NAMES = ("judgements", "judgements_of_people")


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task with its products."""

    config: TaskConfig
    queries: dict[str, Positions]
    """Role (``validation``, ``holdout``, ``test``) → query products ``[Q]``, ascending."""
    galleries: dict[str, Positions]
    """Role → gallery products ``[G]``, ascending."""
    is_judgements: bool = False
    """Whether it is made of people's judgements and not configured."""
    required: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    """Products that must be embedded even if the gallery is sampled."""


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """Every task, and the products that must be embedded for them."""

    tasks: list[Task]
    pool: Positions
    """Products to embed, ascending: all queries and galleries."""
    notes: list[str]
    """What was sampled or left out, for the report."""


def plan_tasks(
    config: EvaluationConfig,
    products: Products,
    judgements: Path | None = None,
    roles: Sequence[str] = NIGHTLY_ROLES,
) -> TaskPlan:
    """Resolve the configured tasks, or the defaults, to products of the snapshot.

    Queries are of the ``roles``; of those, validation finds no product of the holdout, and only the final
    test finds one of its own. The pairs of the file ``judgements`` make one more task. Raises
    :class:`ConfigError` where a task names a column that the catalog does not have.
    """
    configs, notes = (list(config.tasks), list[str]()) if config.tasks else default_tasks(products)
    tasks = []
    for task in configs:
        _check_names(task, products)
        queries, galleries = {}, {}
        for split in roles:
            queries[split], more = _queries(task, products, split, config.max_queries)
            notes += more
            galleries[split] = np.flatnonzero(_gallery(task, products, split))
        tasks.append(Task(config=task, queries=queries, galleries=galleries))
    if judgements is not None:
        names = [task.name for task in configs]
        extra, more = judgements_task(judgements, products, taken=names, max_queries=config.max_queries)
        tasks += [extra] if extra is not None else []
        notes += more
    pool = _union([p for t in tasks for p in (*t.queries.values(), *t.galleries.values())])
    if len(pool) > config.max_gallery:
        required = _union([p for t in tasks for p in (*t.queries.values(), t.required)])
        kept = _sample_components(products, pool, required, config.max_gallery)
        notes.append(
            f"The gallery is a sample of {len(kept)} of {len(pool)} products: scores are higher than on all "
            "of them."
        )
        pool = kept
        tasks = [
            replace(t, galleries={split: np.intersect1d(g, pool) for split, g in t.galleries.items()})
            for t in tasks
        ]
    return TaskPlan(tasks=tasks, pool=pool, notes=notes)


def default_tasks(products: Products) -> tuple[list[TaskConfig], list[str]]:
    """Return the default tasks that the catalog has columns for, and notes on the others.

    One for each way to ask: by image, by text and by both, for variants and for the category; and words for
    images.
    """
    tasks, notes = [], []
    if products.has("item_group_id"):
        metrics = ("map@r", "r_precision", "precision@1", "recall@5", "recall@10", "ndcg@10")
        tasks += _by_each("variants", "finds its variants", "item_group_id", metrics)
    else:
        notes.append("No product has an item group, so there is no task of variants.")
    if products.has("product_type"):
        metrics = ("map@r", "r_precision", "precision@1", "hit@5", "precision@10", "ndcg@10")
        tasks += _by_each("category", "finds products of its type", "product_type", metrics)
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


def _by_each(name: str, finds: str, column: str, metrics: tuple[str, ...]) -> list[TaskConfig]:
    """Return the task of ``column`` by both halves of a product together, by image and by text."""
    common = TaskConfig(name=name, title=f"A product {finds}", relevant=(column,), metrics=metrics, gate=True)
    alone = [
        common.model_copy(
            update={"name": f"{name}_{half}", "title": f"A product's {half} {finds}", "modality": half}
        )
        for half in ("image", "text")
    ]
    return [common, *alone]


def judgements_task(
    pairs: Path, products: Products, *, taken: Collection[str], max_queries: int
) -> tuple[Task | None, list[str]]:
    """Return the task that the judged ``pairs`` make, and notes; ``None`` if none has a holdout product.

    A pair with a holdout product decides, and its holdout products are the queries. One with a validation
    product and no holdout product selects; no holdout product can be found there, so no judgement does
    both. Pairs of two training products belong to training, those with a product of the final test to it.
    ``taken`` are the names of the other tasks.
    """
    row = {id: i for i, id in enumerate(products.ids)}
    judged = list(read_pairs(pairs))
    ends = [(row[p.left_id], row[p.right_id]) for p in judged if p.left_id in row and p.right_id in row]
    known = np.array(ends, np.int64).reshape(-1, 2)  # [M, 2]
    in_holdout, in_validation = products.in_split(HOLDOUT), products.in_split(VALIDATION)
    known = known[~products.in_split(TEST)[known].any(axis=1)]
    decides = in_holdout[known].any(axis=1)
    selects = in_validation[known].any(axis=1) & ~decides
    if not decides.any():
        return None, [f"There are {len(judged)} judged pairs, none with a held-out product: no task yet."]
    queries, notes = {}, []
    for split, inside, used in ((VALIDATION, in_validation, selects), (HOLDOUT, in_holdout, decides)):
        ends_inside = np.unique(known[used])
        ends_inside = ends_inside[inside[ends_inside]]
        queries[split] = ends_inside[sample([products.ids[i] for i in ends_inside], max_queries)]
        if len(queries[split]) < len(ends_inside):
            notes.append(
                f"{JUDGEMENTS_TITLE}: {len(queries[split])} of {len(ends_inside)} {split} queries, by hash."
            )
    config = TaskConfig(
        name=next(name for name in _JUDGEMENTS_NAMES if name not in taken),
        title=JUDGEMENTS_TITLE, pairs=str(pairs), metrics=_JUDGEMENTS_METRICS, gate=True,
    )  # fmt: skip
    task = Task(
        config=config, queries=queries, is_judgements=True, required=np.unique(known[decides | selects]),
        galleries={r: np.flatnonzero(~products.in_split(*_NEVER_FOUND[r])) for r in NIGHTLY_ROLES},
    )  # fmt: skip
    return task, notes


def _check_names(task: TaskConfig, products: Products) -> None:
    filters = [*task.queries, *task.gallery]
    graded = [name for g in task.grades for name in g.relevant]
    by = [task.breakdown_by] if task.breakdown_by and "breakdown_by" in task.model_fields_set else []
    for name in [*filters, *task.relevant, *task.linked, *graded, *by]:
        try:
            products.values(name)
        except ConfigError as error:
            raise ConfigError(f"Task {task.name}: {error.message}", fix=error.fix) from None


def _queries(
    task: TaskConfig, products: Products, split: str, max_queries: int
) -> tuple[Positions, list[str]]:
    """Return the queries of one split, and notes on what was left out."""
    notes = []
    chosen = products.in_split(split) & products.matching(task.queries)
    found = np.flatnonzero(chosen)
    kept = found[sample([products.ids[i] for i in found], max_queries)]
    if len(kept) < len(found):
        notes.append(f"Task {task.name}: {len(kept)} of {len(found)} {split} queries, sampled by hash.")
    return kept, notes


def _gallery(task: TaskConfig, products: Products, split: str) -> Bools:
    alone = task.gallery_split == "same"
    inside = products.in_split(split) if alone else ~products.in_split(*_NEVER_FOUND.get(split, ()))
    return products.matching(task.gallery) & inside


def _sample_components(products: Products, pool: Positions, required: Positions, size: int) -> Positions:
    """Return about ``size`` of ``pool`` in whole components: those of the queries first, others by hash."""
    first = np.isin(products.components[pool], products.components[required])
    keys = [products.component_keys[p] for p in pool]
    hashes = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys]
    order = sorted(range(len(pool)), key=lambda i: (not first[i], hashes[i], i))
    return _union([pool[order[:size]], required])


def _union(parts: Sequence[NDArray[np.integer[Any]]]) -> Positions:
    return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))


@dataclass(frozen=True, kw_only=True)
class PreparedTask:
    """One task on one split: every query has something relevant, every product has what the task compares."""

    config: TaskConfig
    queries: Positions
    gallery: Positions
    group_starts: Positions | None
    """Where results are collapsed by item group: the row of ``gallery`` where each group begins ``[G]``."""
    relevance: Relevance
    """Over the rows of ``queries`` and the results: rows of ``gallery``, or its groups."""
    num_relevant: Counts
    """R ``[Q]``, at least 1 (for agreement: R and :attr:`num_not_similar` together)."""
    num_not_similar: Counts
    """How many products of the gallery were judged not similar ``[Q]``; for agreement."""
    num_without_relevant: int
    """Queries left out because nothing in the gallery is relevant to them."""
    is_judgements: bool

    @property
    def num_results(self) -> int:
        """G, the number of things that can be found."""
        return len(self.gallery) if self.group_starts is None else len(self.group_starts)

    @property
    def depths(self) -> Counts:
        """Ranks that the metrics look at, per query ``[Q]``, at most G."""
        return np.minimum(required_depths(self.config.metrics, self.num_relevant), self.num_results)

    def members(self, result: int) -> Positions:
        """Return the products of a result: one, or a group."""
        if self.group_starts is None:
            return self.gallery[result : result + 1]
        return np.split(self.gallery, self.group_starts[1:])[result]


def prepare(
    task: Task,
    split: str,
    products: Products,
    *,
    has_image: Bools,
    has_text: Bools,
    resolve: Callable[[str], str],
) -> PreparedTask:
    """Return ``task`` on ``split`` with its ground truth.

    ``has_image`` and ``has_text`` ``[N]`` are true where every candidate could embed the product.
    """
    config = task.config
    if config.kind == "text_to_image":
        can_query, can_be_found = has_text, has_image
    else:
        can_query = {"image": has_image, "text": has_text, "fused": has_image | has_text}[config.modality]
        can_be_found = can_query
    queries = task.queries[split][can_query[task.queries[split]]]
    gallery = task.galleries[split][can_be_found[task.galleries[split]]]
    group_starts = None
    if config.collapse_item_groups:
        groups = products.groups
        queries = queries[np.sort(np.unique(groups[queries], return_index=True)[1])]
        gallery = gallery[np.argsort(groups[gallery], kind="stable")]
        group_starts = np.flatnonzero(np.diff(groups[gallery], prepend=-1))
    relevance = ground_truth(config, products, queries, gallery, group_starts=group_starts, resolve=resolve)
    num_relevant, num_not_similar = relevance.counts()
    kept = np.flatnonzero(num_relevant + num_not_similar)
    relevance.keep(kept)
    return PreparedTask(
        config=config,
        queries=queries[kept],
        gallery=gallery,
        group_starts=group_starts,
        relevance=relevance,
        num_relevant=num_relevant[kept],
        num_not_similar=num_not_similar[kept],
        num_without_relevant=len(queries) - len(kept),
        is_judgements=task.is_judgements,
    )
