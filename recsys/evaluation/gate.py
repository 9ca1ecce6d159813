"""The gate: which candidate challenges, and whether it takes over. Pure, and closed when in doubt.

Two samples of queries, never mixed. On the **validation** split :func:`select` takes the best of the
zero-shot base, the fine-tuned encoder and the interpolations between them (WiSE-FT: Wortsman et al., "Robust
fine-tuning of zero-shot models", CVPR 2022). The best of several is partly the luckiest: its validation
score is too high, and the more so the more candidates there are. So the decision is made on the **holdout**,
which took no part in the selection, and where the challenger meets the reference alone. It needs no
correction for the number of candidates.

The challenger takes over only where the paired interval of its difference to the reference shows

    no loss of the gate score (mean over gating tasks) beyond ``tolerance``,
    no loss beyond ``margin`` in any gating task or any large category,
    and a gain, or a tie and a reason to change.

Overall, "shows no loss" is non-inferiority: the whole interval, not its middle, must lie above the limit, so
few queries mean no change. :class:`Check` says how tasks and categories differ. Whatever is missing, too
small or not a number keeps the reference and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, Candidate
from recsys.evaluation.scores import PerQueryScores, TaskResult, rows_of
from recsys.metrics.bootstrap import Interval, Resampler, interval

Float64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison of challenger and reference against its limit."""

    name: str
    kind: Literal["overall", "task", "category"]
    num_queries: int
    difference: Interval
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the interval shows no loss beyond the limit; NaN never does.

        Overall the whole interval must lie above the limit. Within one task or category there are fewer
        queries and many comparisons, so one of them would nearly always reach below it by chance; there a
        loss counts once it is certain (all of the interval is below 0) and may be beyond the limit.
        """
        _, low, high = self.difference
        if not np.isfinite(self.difference).all():
            return False
        return low >= self.limit or (self.kind != "overall" and high >= 0)


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Whether the challenger takes the reference's place, and why."""

    accepted: bool
    reasons: list[str]
    """Sentences, the decisive one first."""
    checks: list[Check] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which candidate serves from now on, and why."""

    action: Literal["promote", "keep"]
    chosen: str
    reference: str
    challenger: str | None
    reasons: list[str]
    """Sentences, the decisive one first."""
    gating: list[str]
    """Tasks whose main metrics decided."""
    validation_scores: dict[str, float | None]
    checks: list[Check]
    notes: list[str]


def decide(
    config: Config,
    candidates: Sequence[Candidate],
    errors: Mapping[str, str],
    validation: Sequence[TaskResult],
    holdout: Sequence[TaskResult],
    reasons_to_change: Mapping[str, str | None],
) -> Decision:
    """Select the challenger on ``validation``; compare it with champion or base on ``holdout``.

    ``errors`` says why a candidate could not be embedded: with any, nothing changes, because the fault may
    be in what all share. ``reasons_to_change`` says per candidate why a tie would be enough.
    """
    names = [c.name for c in candidates]
    reference = CHAMPION if CHAMPION in names else BASE
    gating, notes = _gating_tasks(config, holdout)
    able = [n for n in names if n != CHAMPION and n not in errors]
    selecting = [r.main_scores() for r in validation if r.name in gating and len(r.task.queries)]
    challenger, validation_scores = select(selecting, able)
    if challenger is None and TUNED in able:
        challenger = TUNED
        notes.append(
            "There are no validation queries to select by, so the fine-tuned encoder is the challenger "
            "without a selection."
        )
    failed = [f"{c.title} could not be evaluated: {errors[c.name]}" for c in candidates if c.name in errors]
    if failed:
        result = GateResult(accepted=False, reasons=failed)
    elif challenger is None:
        result = GateResult(
            accepted=False,
            reasons=["No challenger could be selected: no candidate has a score on the validation split."],
        )
    elif challenger == reference:
        best = f"The zero-shot base has the best score on validation, {validation_scores[reference]:.4f}."
        result = GateResult(accepted=False, reasons=[best])
    else:
        result = compare(
            [r.main_scores() for r in holdout if r.name in gating],
            reference=reference, challenger=challenger, config=config.evaluation.gate, seed=config.seed,
            reason_to_change=reasons_to_change.get(challenger),
        )  # fmt: skip
    chosen = challenger if result.accepted and challenger else reference
    first_night = reference == BASE
    reasons = list(result.reasons)
    if first_night and chosen == BASE:
        reasons.append("No encoder is in service yet, so the zero-shot base enters service.")
    return Decision(
        action="promote" if result.accepted or first_night else "keep", chosen=chosen, reference=reference,
        challenger=challenger, reasons=reasons, gating=gating, validation_scores=validation_scores,
        checks=result.checks, notes=notes,
    )  # fmt: skip


def _gating_tasks(config: Config, holdout: Sequence[TaskResult]) -> tuple[list[str], list[str]]:
    """Return the tasks that gate, and notes on those that are too small to.

    A task that somebody configured gates whatever its size, and closes the gate when it is too small. A
    default task that the catalog can hardly fill would close it for ever, so it does not gate as long as
    another does; nor do judgements as long as there are few.
    """
    gate = config.evaluation.gate
    gating = [r for r in holdout if r.task.config.gate and not r.task.is_judgements]
    small = [r for r in gating if len(r.task.queries) < gate.min_queries]
    if config.evaluation.tasks or len(small) == len(gating):
        small = []
    names = [r.name for r in gating if r not in small]
    notes = [
        f"Task {r.name} has {len(r.task.queries)} held-out queries, fewer than {gate.min_queries}: "
        "it is shown, but does not gate."
        for r in small
    ]
    for r in holdout:
        num_queries, num_groups = len(r.task.queries), len(np.unique(r.components))
        if not r.task.is_judgements:
            continue
        if num_queries >= gate.min_judged_queries and num_groups >= gate.min_components:
            names.append(r.name)
        else:
            notes.append(
                f"{r.task.config.title}: {num_queries} held-out products in {num_groups} independent groups "
                f"have judgements; from {gate.min_judged_queries} in {gate.min_components} they take part "
                "in the decision."
            )
    return names, notes


def select(
    validation: Sequence[PerQueryScores], candidates: Sequence[str]
) -> tuple[str | None, dict[str, float | None]]:
    """Return the candidate with the best gate score on validation, and every score.

    Of equals the first listed wins: list the simplest first. ``None`` where no candidate has a score.
    """
    scores = {name: gate_score(validation, name) for name in candidates}
    known = {name: value for name, value in scores.items() if value is not None}
    return (max(known, key=lambda name: known[name]) if known else None), scores


def gate_score(tasks: Sequence[PerQueryScores], candidate: str) -> float | None:
    """Return the gate score: the mean over tasks of the mean over queries; ``None`` if a task has no score.

    Tasks have equal weight, judgements that of :func:`task_weights`.
    """
    means = [float(np.mean(t.values[candidate])) for t in tasks if len(t.values.get(candidate, ()))]
    if not tasks or len(means) < len(tasks) or not np.isfinite(means).all():
        return None
    return float(np.average(means, weights=task_weights(tasks)))


def task_weights(tasks: Sequence[PerQueryScores]) -> Float64:
    """Return each task's weight in the gate score: 1, and for judgements less while they are fewer.

    A query of judgements counts as much as one of the smallest other task, all of them at most 1. A full
    weight for a few of them would drown what the other tasks show, and close the gate.
    """
    smallest = min((len(t.components) for t in tasks if not t.is_judgements), default=0)
    weights = [min(1.0, len(t.components) / smallest) if t.is_judgements and smallest else 1.0 for t in tasks]
    return np.array(weights)


class _Resampled:
    """All gating tasks through the same resamples of their components."""

    def __init__(self, tasks: Sequence[PerQueryScores], config: GateConfig, seed: int) -> None:
        known, codes = np.unique(np.concatenate([t.components for t in tasks]), return_inverse=True)
        self._components = np.split(codes, np.cumsum([len(t.components) for t in tasks])[:-1])
        self._resampler = Resampler(len(known), resamples=config.resamples, seed=seed)
        self._weights, self._confidence = task_weights(tasks), config.confidence

    def task(self, i: int, values: Float64, rows: Sequence[int] | slice = slice(None)) -> Interval:
        """Return the mean of task ``i``'s ``values`` ``[Q]`` over some or all of its queries."""
        return interval(float(values[rows].mean()), self._draws(i, values, rows), self._confidence)

    def overall(self, values: Sequence[Float64]) -> Interval:
        """Return the weighted mean over tasks of the mean of each task's values ``[Q]``."""
        draws = [self._draws(i, v) for i, v in enumerate(values)]
        mean = float(np.average([v.mean() for v in values], weights=self._weights))
        return interval(mean, np.average(draws, axis=0, weights=self._weights), self._confidence)

    def _draws(self, i: int, values: Float64, rows: Sequence[int] | slice = slice(None)) -> Float64:
        return self._resampler.means(values[rows, None], self._components[i][rows])[:, 0]


def gate_scores(
    tasks: Sequence[PerQueryScores], candidates: Sequence[str], config: GateConfig, seed: int
) -> dict[str, Interval]:
    """Return candidate → gate score with its interval; empty where a task has no queries."""
    if not tasks or not all(len(t.components) for t in tasks):
        return {}
    resampled = _Resampled(tasks, config, seed)
    return {name: resampled.overall([t.values[name] for t in tasks]) for name in candidates}


def compare(
    holdout: Sequence[PerQueryScores],
    *,
    reference: str,
    challenger: str,
    config: GateConfig,
    seed: int,
    reason_to_change: str | None = None,
) -> GateResult:
    """Return whether ``challenger`` may take the place of ``reference``.

    ``reason_to_change`` is a sentence that makes a tie enough (the architecture differs, the champion is
    old), or ``None``. Nothing raises: doubt is a refusal.
    """
    doubt = _doubt(holdout, reference, challenger, config)
    if doubt is not None:
        return GateResult(accepted=False, reasons=[doubt])
    checks = _checks(holdout, reference, challenger, config, seed)
    failed = [c for c in checks if not c.passed]
    if failed:
        return GateResult(accepted=False, reasons=[_refusal(c) for c in failed], checks=checks)
    overall = checks[0]
    reason_to_change = _gain_on_judgements(holdout, checks) or reason_to_change
    if overall.difference.low > 0:
        gain = (
            f"The challenger gains {_in_words(overall.difference)} on {overall.num_queries} held-out queries."
        )
    elif reason_to_change:
        gain = f"A tie ({_in_words(overall.difference)}), and a reason to change: {reason_to_change}"
    else:
        tie = (
            f"A tie: the difference is {_in_words(overall.difference)}, an interval that holds 0, "
            "and there is no other reason to change."
        )
        return GateResult(accepted=False, reasons=[tie], checks=checks)
    num_large = sum(c.kind == "category" for c in checks)
    no_loss = (
        f"No gating task{f' and none of {num_large} large categories' if num_large else ''} "
        f"shows a loss beyond {config.margin:.3f}."
    )
    return GateResult(accepted=True, reasons=[gain, no_loss], checks=checks)


def _doubt(
    holdout: Sequence[PerQueryScores], reference: str, challenger: str, config: GateConfig
) -> str | None:
    """Return why nothing can be concluded, or ``None``."""
    if not holdout:
        return "No gating task has held-out queries with a relevant product, so nothing can be compared."
    for t in holdout:
        for name in (reference, challenger):
            values = t.values.get(name)
            if values is None or len(values) != len(t.components):
                return f"Task {t.task} has no scores for {name}."
            if not np.isfinite(values).all():
                return f"Task {t.task} has scores for {name} that are not numbers."
        least = config.min_judged_queries if t.is_judgements else config.min_queries
        num_groups = len(np.unique(t.components))
        if len(t.components) < least:
            return (
                f"Task {t.task} has {len(t.components)} held-out queries, fewer than {least}: "
                "too few to conclude anything."
            )
        if num_groups < config.min_components:
            return (
                f"Task {t.task} has {num_groups} independent groups of held-out queries, fewer than "
                f"{config.min_components}: too few to conclude anything."
            )
    return None


def _checks(
    holdout: Sequence[PerQueryScores], reference: str, challenger: str, config: GateConfig, seed: int
) -> list[Check]:
    """Return every comparison, the overall one first. Categories of one name in two tasks stay apart."""
    resampled = _Resampled(holdout, config, seed)
    gains = [np.asarray(t.values[challenger] - t.values[reference], np.float64) for t in holdout]
    overall = Check(
        name="overall", kind="overall", num_queries=sum(map(len, gains)),
        difference=resampled.overall(gains), limit=-config.tolerance,
    )  # fmt: skip
    tasks, categories = [], []
    for i, (t, gain) in enumerate(zip(holdout, gains, strict=True)):
        tasks.append(
            Check(
                name=t.task, kind="task", num_queries=len(gain),
                difference=resampled.task(i, gain), limit=-config.margin,
            )
        )  # fmt: skip
        for name, rows in sorted(rows_of(t.categories).items()):
            if len(rows) >= config.min_category_queries:
                categories.append(
                    Check(
                        name=f"{name} ({t.task})", kind="category", num_queries=len(rows),
                        difference=resampled.task(i, gain, rows), limit=-config.margin,
                    )
                )  # fmt: skip
    return [overall, *tasks, *categories]


def _gain_on_judgements(holdout: Sequence[PerQueryScores], checks: Sequence[Check]) -> str | None:
    """Return the reason to change that a certain gain on judgements is, or ``None``."""
    names = {t.task for t in holdout if t.is_judgements}
    for check in checks:
        if check.kind == "task" and check.name in names and check.difference.low > 0:
            return f"it agrees more with what people judged, by {_in_words(check.difference)}."
    return None


def _refusal(check: Check) -> str:
    where = {"overall": "overall", "task": f"in task {check.name}", "category": f"in category {check.name}"}
    certain = "has" if check.difference.high < 0 else "may have"
    return (
        f"The challenger {certain} lost {where[check.kind]}: the difference is {_in_words(check.difference)} "
        f"on {check.num_queries} queries, which reaches beyond the limit of {check.limit:+.3f}."
    )


def _in_words(difference: Interval) -> str:
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
