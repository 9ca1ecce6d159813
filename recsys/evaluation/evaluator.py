"""Evaluates the candidates of a night: all tasks, on the same queries and galleries for every candidate.

P = products embedded (the pool), N = products of the snapshot
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.errors import RecsysError
from recsys.evaluation.baselines import Baselines
from recsys.evaluation.candidates import Candidate, Embedder
from recsys.evaluation.products import Products
from recsys.evaluation.scores import PoolVectors, TaskResult, score_task
from recsys.evaluation.tasks import NIGHTLY_ROLES, TaskPlan, plan_tasks, prepare
from recsys.workspace import Workspace, judgements
from recsys.workspace.snapshot import Snapshot
from recsys.workspace.splits import VALIDATION

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was found of every candidate."""

    candidates: Sequence[Candidate]
    products: Products
    plan: TaskPlan
    pools: Mapping[str, PoolVectors]
    """Candidate → embeddings; without those that failed."""
    failures: Mapping[str, Exception]
    """Candidate → why it has no embeddings."""
    durations_s: Mapping[str, float]
    """Candidate → how long embedding took."""
    results: Mapping[str, list[TaskResult]]
    """Role → every task on its queries; on validation only gating tasks and their main metrics."""
    baselines: Baselines

    @property
    def errors(self) -> dict[str, str]:
        """:attr:`failures` in words."""
        return {
            name: error.message if isinstance(error, RecsysError) else f"{type(error).__name__}: {error}"
            for name, error in self.failures.items()
        }


class Evaluator:
    """Evaluates candidates on the tasks of one snapshot and its split."""

    def __init__(
        self,
        config: Config,
        workspace: Workspace,
        inputs: Mapping[str, str],
        folder: Path,
        *,
        roles: Sequence[str] = NIGHTLY_ROLES,
    ) -> None:
        """Plan the tasks; ``inputs`` name ``snapshot``, ``splits`` and, if there are any, ``judgements``.

        Queries are of ``roles``: those of a night, or the final test. Embeddings are kept in ``folder``, so
        that a later run goes on where this one was killed.
        """
        self._config, self._roles = config, roles
        self._products = Products.open(workspace, inputs["snapshot"], inputs["splits"])
        pairs = inputs.get("judgements")
        self._plan = plan_tasks(
            config.evaluation, self._products, judgements.path_of(workspace, pairs) if pairs else None, roles
        )
        self._baselines = Baselines(
            Snapshot.open(workspace, inputs["snapshot"]), config.encoder, self._plan.pool
        )
        self._embedder = Embedder(workspace, inputs["snapshot"], self._plan.pool, folder, config.embedding)

    def evaluate(self, candidates: Sequence[Candidate]) -> Evaluation:
        """Embed every candidate and score it on all tasks.

        A candidate that cannot be embedded is a failure, not an exception, except where a retry can help.
        """
        pools: dict[str, PoolVectors] = {}
        failures: dict[str, Exception] = {}
        durations: dict[str, float] = {}
        for candidate in candidates:
            try:
                vectors, durations[candidate.name] = self._embedder.embed(candidate)
            except (RecsysError, RuntimeError, ValueError) as error:
                if isinstance(error, RecsysError) and error.retryable:
                    raise
                logger.exception("%s (%s) could not be embedded", candidate.name, candidate.ref)
                failures[candidate.name] = error
            else:
                pools[candidate.name] = PoolVectors(self._plan.pool, vectors)
        return Evaluation(
            candidates=candidates,
            products=self._products,
            plan=self._plan,
            pools=pools,
            failures=failures,
            durations_s=durations,
            results={role: self._score(pools, role) for role in self._roles},
            baselines=self._baselines,
        )

    def _score(self, pools: Mapping[str, PoolVectors], split: str) -> list[TaskResult]:
        """Return the result of every task on ``split``; on validation of gating ones, main metrics alone."""
        has_image = self._everywhere([pool.vectors.has_image for pool in pools.values()])
        has_text = self._everywhere([pool.vectors.has_text for pool in pools.values()])
        results = []
        for task in self._plan.tasks:
            if split == VALIDATION:
                if not task.config.gate:
                    continue
                main_only = {"metrics": (task.config.main,), "main_metric": None}
                task = replace(task, config=task.config.model_copy(update=main_only))
            prepared = prepare(
                task, split, self._products,
                has_image=has_image, has_text=has_text, resolve=self._config.resolve,
            )  # fmt: skip
            result = score_task(
                prepared, self._products, pools, self._config.evaluation.image_weight,
                label_in_text=self._baselines.label_in_text(task.config, self._products, prepared.queries),
            )  # fmt: skip
            results.append(result)
            logger.info(
                "task %s on %s: %d queries, %d to find, mean %s %s",
                result.name, split, len(prepared.queries), prepared.num_results, task.config.main,
                {c: round(float(v.mean()), 4) for c, v in result.main_scores().values.items() if len(v)},
            )  # fmt: skip
        return results

    def _everywhere(self, flags: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return, over the snapshot ``[N]``, where the flags ``[P]`` of all candidates are true."""
        found = np.zeros(len(self._products), np.bool_)
        if flags:
            found[self._plan.pool] = np.logical_and.reduce(flags)
        return found
