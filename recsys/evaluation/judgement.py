"""All tasks of all candidates, on the same queries and galleries.

    P = products embedded (the pool), N = products of the snapshot, Q = queries of a task

Does not know: how candidates are embedded, what is decided.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.evaluation.evidence import Evidence
from recsys.evaluation.figures import PerQuery, Pool, categories, per_query
from recsys.evaluation.products import Products
from recsys.evaluation.tasks import Plan, ReadyTask, Task, ready

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
