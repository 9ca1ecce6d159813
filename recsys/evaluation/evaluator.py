"""One evaluation's material: products, plan, every candidate's embeddings, and what could not be had.

All tasks of all candidates, on the same queries and galleries.

    P = products embedded (the pool), N = products of the snapshot, Q = queries of a task

The task that people's judgements make: held-out products that somebody judged, against what they said.

A pair with a held-out end judges, and its held-out ends are the queries. One with a validation end, and none
held out, selects: what is held out is no part of that gallery, so that no judgement does both. Pairs of two
training products are training's, and ask nothing here.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.config.evaluation import TaskConfig
from recsys.errors import RecsysError
from recsys.evaluation.candidates import Candidate, Embedder
from recsys.evaluation.products import Products, sample
from recsys.evaluation.scores import Evidence, PerQuery, Pool, categories, per_query
from recsys.evaluation.tasks import Plan, ReadyTask, Task, plan, ready
from recsys.workspace import Workspace, judgements
from recsys.workspace.pairs import read_pairs
from recsys.workspace.splits import HOLDOUT, VALIDATION

logger = logging.getLogger(__name__)


Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One task on one split under every candidate."""

    task: ReadyTask
    values: dict[str, PerQuery]
    """Candidate → metric → value per query ``[Q]``."""
    components: NDArray[np.int64]
    """Of each query, ``[Q]``."""
    labels: list[str | None]
    """Category of each query, ``[Q]``."""

    def evidence(self) -> Evidence:
        """Return the main metric as the gate reads it."""
        main = self.task.config.main
        return Evidence(
            task=self.task.config.name,
            values={candidate: values[main] for candidate, values in self.values.items()},
            components=self.components,
            categories=self.labels,
            judged=self.task.judged,
        )


class Court:
    """Judges candidates on the same queries and galleries."""

    def __init__(self, config: Config, products: Products, plan: Plan, pools: Mapping[str, Pool]) -> None:
        """Take the embeddings of every candidate that could be embedded, over the plan's pool."""
        self._config, self._products, self._plan, self._pools = config, products, plan, pools
        self._has_image = self._everywhere([p.vectors.has_image for p in pools.values()])
        self._has_text = self._everywhere([p.vectors.has_text for p in pools.values()])

    def judge(self, split: str, *, gating_only: bool = False) -> list[Outcome]:
        """Return every task's outcome on ``split``; for selection, gating tasks and main metrics only."""
        outcomes = []
        for task in self._plan.tasks:
            if gating_only and not task.config.gate:
                continue
            if gating_only:
                main = {"metrics": (task.config.main,), "main_metric": None}
                task = replace(task, config=task.config.model_copy(update=main))
            outcomes.append(self._outcome(task, split))
        return outcomes

    def _outcome(self, task: Task, split: str) -> Outcome:
        fit = ready(
            task, split, self._products,
            has_image=self._has_image, has_text=self._has_text, resolve=self._config.resolve,
        )  # fmt: skip
        weight = self._config.evaluation.image_weight
        values = {name: per_query(fit, pool, weight) for name, pool in self._pools.items()}
        main = fit.config.main
        means = {n: round(float(v[main].mean()), 4) for n, v in values.items() if len(fit.queries)}
        sizes = f"{len(fit.queries)} queries, {fit.num_results} to find"
        logger.info("task %s on %s: %s, %s %s", fit.config.name, split, sizes, main, means)
        return Outcome(
            task=fit,
            values=values,
            components=self._products.components[fit.queries],
            labels=categories(fit, self._products),
        )

    def _everywhere(self, flags: Sequence[Bools]) -> Bools:
        """Return, over the snapshot ``[N]``, where the flags ``[P]`` of all candidates are true."""
        found = np.zeros(len(self._products), np.bool_)
        if flags:
            found[self._plan.pool] = np.logical_and.reduce(flags)
        return found


TITLE = "Merchandisers' judgements"
METRICS = ("agreement@10", "agreement@5", "agreement@24")
_NAMES = ("judgements", "judgements_of_people")


def judged_task(
    pairs: Path, products: Products, splits: Sequence[str], *, taken: Collection[str], max_queries: int
) -> tuple[Task | None, list[str]]:
    """Return the task of the file ``pairs``, and notes; ``None`` where no judgement is of a held-out product.

    ``taken`` are the names of the other tasks.
    """
    row = {id: i for i, id in enumerate(products.ids)}
    judged = list(read_pairs(pairs))
    ends = [(row[p.left_id], row[p.right_id]) for p in judged if p.left_id in row and p.right_id in row]
    known = np.array(ends, np.int64).reshape(-1, 2)  # [M, 2]
    held = products.in_split(HOLDOUT)
    asked = {split: known[products.in_split(split)[known].any(axis=1)] for split in splits}
    if VALIDATION in asked:
        asked[VALIDATION] = asked[VALIDATION][~held[asked[VALIDATION]].any(axis=1)]
    if not len(asked.get(HOLDOUT, known[:0])):
        return None, [f"{len(judged)} pairs are judged, none of a held-out product: they do not judge yet."]
    queries, notes, required = {}, [], [np.empty(0, np.int64)]
    for split, found in asked.items():
        both = np.unique(found)
        inside = both[products.in_split(split)[both]]
        queries[split] = inside[sample([products.ids[i] for i in inside], max_queries)]
        required.append(both)
        if len(queries[split]) < len(inside):
            notes.append(f"{TITLE}: {len(queries[split])} of {len(inside)} {split} queries, by hash.")
    galleries = {s: np.flatnonzero(~held) if s == VALIDATION else np.arange(len(products)) for s in splits}
    config = TaskConfig(
        name=next(name for name in _NAMES if name not in taken),
        title=TITLE, pairs=str(pairs), metrics=METRICS, gate=True,
    )  # fmt: skip
    required_ends = np.unique(np.concatenate(required))
    return Task(
        config=config, queries=queries, galleries=galleries, judged=True, required=required_ends
    ), notes


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is judged, and by what."""

    candidates: Sequence[Candidate]
    products: Products
    plan: Plan
    pools: Mapping[str, Pool]
    """Candidate → embeddings; without those that failed."""
    failures: Mapping[str, Exception]
    """Candidate → why it has no embeddings."""
    seconds: Mapping[str, float]
    """Candidate → how long embedding took."""
    court: Court
    outcomes: list[Outcome]
    """Every task on the judged queries."""

    @property
    def errors(self) -> dict[str, str]:
        """:attr:`failures` in words."""
        return {
            name: error.message if isinstance(error, RecsysError) else f"{type(error).__name__}: {error}"
            for name, error in self.failures.items()
        }


Maker = Callable[[Sequence[str]], tuple[Task | None, list[str]]]


def hold(
    config: Config,
    workspace: Workspace,
    inputs: Mapping[str, str],
    candidates: Sequence[Candidate],
    folder: Path,
    splits: Sequence[str],
) -> Trial:
    """Embed every candidate (resuming in ``folder``) and judge all tasks on the judged queries.

    A candidate that cannot be embedded is a failure, not an exception, except where a retry can help.
    """
    products = Products.open(workspace, inputs["snapshot"], inputs.get("splits"))
    the_plan = plan(config.evaluation, products, splits, _judged(config, workspace, inputs, products, splits))
    embedder = Embedder(workspace, inputs["snapshot"], the_plan.pool, folder, config.embedding)
    pools: dict[str, Pool] = {}
    failures: dict[str, Exception] = {}
    seconds: dict[str, float] = {}
    for candidate in candidates:
        try:
            vectors, seconds[candidate.name] = embedder.embed(candidate)
        except (RecsysError, RuntimeError, ValueError) as error:
            if isinstance(error, RecsysError) and error.retryable:
                raise
            logger.exception("%s (%s) could not be embedded", candidate.name, candidate.ref)
            failures[candidate.name] = error
        else:
            pools[candidate.name] = Pool(the_plan.pool, vectors)
    court = Court(config, products, the_plan, pools)
    return Trial(
        candidates=candidates,
        products=products,
        plan=the_plan,
        pools=pools,
        failures=failures,
        seconds=seconds,
        court=court,
        outcomes=court.judge(HOLDOUT),
    )


def _judged(
    config: Config,
    workspace: Workspace,
    inputs: Mapping[str, str],
    products: Products,
    splits: Sequence[str],
) -> Maker | None:
    """Return what makes the task of the night's judgements, or ``None`` where there are none."""
    if "judgements" not in inputs or not products.has_splits:
        return None
    path = judgements.path_of(workspace, inputs["judgements"])
    return lambda taken: judged_task(
        path, products, splits, taken=taken, max_queries=config.evaluation.max_queries
    )
