"""One evaluation's material: products, plan, every candidate's embeddings, and what could not be had.

Does not know: what is decided, or written.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.config import Config
from recsys.encoder.inference import InferenceOptions
from recsys.errors import RecsysError
from recsys.evaluation.candidates import Candidate, Embedder
from recsys.evaluation.figures import Pool
from recsys.evaluation.judged import judged_task
from recsys.evaluation.judgement import Court, Outcome
from recsys.evaluation.products import Products
from recsys.evaluation.tasks import Plan, Task, plan
from recsys.workspace import Workspace, judgements
from recsys.workspace.splits import HOLDOUT

logger = logging.getLogger(__name__)


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
    embedder = Embedder(
        workspace, inputs["snapshot"], the_plan.pool, folder, InferenceOptions.of(config.embedding)
    )
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
