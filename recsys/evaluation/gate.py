"""The gate: which candidate challenges, and whether it takes over. Pure, and closed when in doubt.

Two samples of queries, never mixed. On the **validation** split :func:`pick` takes the best of the zero-shot
base, the fine-tuned encoder and the interpolations between them (WiSE-FT: Wortsman et al., "Robust
fine-tuning of zero-shot models", CVPR 2022). The best of several is partly the luckiest: its validation
score flatters it, and the more so the more candidates there are. So the verdict is passed on the
**holdout**, which took no part in the pick, and where the challenger meets the reference alone. The verdict
then needs no correction for the number of candidates.

:func:`decide` lets the challenger take over only where the paired interval of its difference to the
reference shows

    no loss of the gate score (mean over gating tasks) beyond ``tolerance``,
    no loss beyond ``margin`` in any gating task or any large category,
    and a gain, or a tie and a reason to change.

Overall, "shows no loss" is non-inferiority: the whole interval, not its middle, must lie above the limit, so
little evidence means no change. :class:`Check` says how tasks and categories differ. Whatever is missing, too
small or not a number keeps the reference and says so.

A night's decision: from the outcomes of all candidates to the encoder that serves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys.config import Config
from recsys.config.evaluation import GateConfig
from recsys.encoder.description import read_description
from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, Candidate
from recsys.evaluation.evaluator import Outcome
from recsys.evaluation.scores import Evidence, weights
from recsys.metrics.bootstrap import Interval, Resampler, interval
from recsys.workspace import Workspace

Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


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
class Verdict:
    """What the gate says."""

    accepted: bool
    """Whether the challenger takes the reference's place."""
    reasons: list[str]
    """Sentences, the decisive one first."""
    checks: list[Check] = field(default_factory=list)


def score(evidence: Sequence[Evidence], candidate: str) -> float | None:
    """Return the gate score: the mean over tasks of the mean over queries; ``None`` if it cannot be had.

    Tasks count alike, judgements as :func:`weights` says.
    """
    means = [float(np.mean(e.values[candidate])) for e in evidence if len(e.values.get(candidate, ()))]
    if not evidence or len(means) < len(evidence) or not np.isfinite(means).all():
        return None
    return float(np.average(means, weights=weights(evidence)))


def pick(
    validation: Sequence[Evidence], candidates: Sequence[str]
) -> tuple[str | None, dict[str, float | None]]:
    """Return the candidate with the best score on validation, and every score.

    Of equals the first listed wins: list the simplest first. ``None`` where no candidate has a score.
    """
    scores = {name: score(validation, name) for name in candidates}
    known = {name: value for name, value in scores.items() if value is not None}
    return (max(known, key=lambda name: known[name]) if known else None), scores


def check_challenger(
    holdout: Sequence[Evidence],
    *,
    reference: str,
    challenger: str | None,
    config: GateConfig,
    seed: int,
    reason_to_change: str | None = None,
) -> Verdict:
    """Pass the verdict on ``challenger`` against ``reference``.

    ``reason_to_change`` is a sentence that makes a tie reason enough (the architecture differs, the
    champion is old), or ``None``. Nothing raises: doubt is a refusal.
    """
    doubt = _doubt(holdout, reference, challenger, config)
    if doubt or challenger is None:
        return Verdict(accepted=False, reasons=[doubt or "No challenger could be picked."])
    checks = _checks(holdout, reference, challenger, config, seed)
    failed = [c for c in checks if not c.passed]
    if failed:
        return Verdict(accepted=False, reasons=[_refusal(c) for c in failed], checks=checks)
    overall = checks[0]
    reason_to_change = _taught(holdout, checks) or reason_to_change
    if overall.difference.low > 0:
        reasons = [
            f"The challenger gains {_in_words(overall.difference)} on {overall.num_queries} held-out queries."
        ]
    elif reason_to_change:
        reasons = [f"A tie ({_in_words(overall.difference)}), and a reason to change: {reason_to_change}"]
    else:
        reasons = [
            f"A tie: the difference is {_in_words(overall.difference)}, an interval that holds 0, "
            "and there is no other reason to change."
        ]
        return Verdict(accepted=False, reasons=reasons, checks=checks)
    large = sum(c.kind == "category" for c in checks)
    reasons.append(
        f"No gating task{f' and none of {large} large categories' if large else ''} "
        f"shows a loss beyond {config.margin:.3f}."
    )
    return Verdict(accepted=True, reasons=reasons, checks=checks)


def _doubt(
    holdout: Sequence[Evidence], reference: str, challenger: str | None, config: GateConfig
) -> str | None:
    """Return why nothing can be concluded, or ``None``."""
    if challenger is None:
        return "No challenger could be picked: no candidate has a score on the validation split."
    if not holdout:
        return "No gating task has held-out queries with a right answer, so nothing can be compared."
    for e in holdout:
        for name in (reference, challenger):
            values = e.values.get(name)
            if values is None or len(values) != len(e.components):
                return f"Task {e.task} has no figures for {name}."
            if not np.isfinite(values).all():
                return f"Task {e.task} has figures for {name} that are not numbers."
        least = config.min_judged_queries if e.judged else config.min_queries
        if len(e.components) < least:
            return (
                f"Task {e.task} has {len(e.components)} held-out queries, fewer than {least}: "
                "too few to conclude anything."
            )
        independent = len(np.unique(e.components))
        if independent < config.min_components:
            return (
                f"Task {e.task} has {independent} independent groups of held-out queries, fewer than "
                f"{config.min_components}: too few to conclude anything."
            )
    return None


def _checks(
    holdout: Sequence[Evidence], reference: str, challenger: str, config: GateConfig, seed: int
) -> list[Check]:
    """Return every comparison, the overall one first. Categories of one name in two tasks stay apart."""
    known, component = np.unique(np.concatenate([e.components for e in holdout]), return_inverse=True)
    components = np.split(component, np.cumsum([len(e.components) for e in holdout])[:-1])
    resampler = Resampler(len(known), resamples=config.resamples, seed=seed)
    tasks: list[Check] = []
    categories: list[Check] = []
    resampled: list[Float64] = []
    for e, own in zip(holdout, components, strict=True):
        gain = np.asarray(e.values[challenger] - e.values[reference], np.float64)
        draws = resampler.means(gain[:, None], own)[:, 0]
        resampled.append(draws)
        difference = interval(float(gain.mean()), draws, config.confidence)
        tasks.append(
            Check(
                name=e.task, kind="task", num_queries=len(gain), difference=difference, limit=-config.margin
            )
        )
        for name, rows in _large(e.categories, config.min_category_queries):
            draws = resampler.means(gain[rows, None], own[rows])[:, 0]
            difference = interval(float(gain[rows].mean()), draws, config.confidence)
            categories.append(
                Check(
                    name=f"{name} ({e.task})", kind="category", num_queries=len(rows),
                    difference=difference, limit=-config.margin,
                )
            )  # fmt: skip
    shares = weights(holdout)
    mean = float(np.average([c.difference.value for c in tasks], weights=shares))
    overall = Check(
        name="overall", kind="overall", num_queries=sum(c.num_queries for c in tasks),
        difference=interval(mean, np.average(resampled, axis=0, weights=shares), config.confidence),
        limit=-config.tolerance,
    )  # fmt: skip
    return [overall, *tasks, *categories]


def _taught(holdout: Sequence[Evidence], checks: Sequence[Check]) -> str | None:
    """Return the reason to change that lies in judgements the challenger agrees with better, or ``None``."""
    judged = {e.task for e in holdout if e.judged}
    for check in checks:
        if check.kind == "task" and check.name in judged and check.difference.low > 0:
            return f"it agrees more with what people judged, by {_in_words(check.difference)}."
    return None


def _large(categories: Sequence[str | None], least: int) -> list[tuple[str, Ints]]:
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(categories):
        if name is not None:
            rows.setdefault(name, []).append(i)
    return [(name, np.array(at)) for name, at in sorted(rows.items()) if len(at) >= least]


def _refusal(check: Check) -> str:
    where = {"overall": "overall", "task": f"in task {check.name}", "category": f"in category {check.name}"}
    certain = "has" if check.difference.high < 0 else "may have"
    return (
        f"The challenger {certain} lost {where[check.kind]}: the difference is {_in_words(check.difference)} "
        f"on {check.num_queries} queries, which reaches beyond the limit of {check.limit:+.3f}."
    )


def _in_words(difference: Interval) -> str:
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"


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
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def decide(
    config: Config,
    candidates: Sequence[Candidate],
    errors: Mapping[str, str],
    validation: Sequence[Outcome],
    holdout: Sequence[Outcome],
    reasons_to_change: Mapping[str, str | None],
) -> Decision:
    """Pick the challenger on ``validation``, judge it on ``holdout`` against champion or base.

    ``errors`` says in words why a candidate could not be embedded: with any, nothing changes, because the
    fault may be in what all share. ``reasons_to_change`` says per candidate why a tie would be enough.
    """
    names = [c.name for c in candidates]
    reference = CHAMPION if CHAMPION in names else BASE
    gating, notes = _gating(config, holdout)
    asked = [o for o in validation if o.task.config.name in gating and len(o.task.queries)]
    able = [n for n in names if n != CHAMPION and n not in errors]
    challenger, scores = pick([o.evidence() for o in asked], able)
    if challenger is None and TUNED in able:
        challenger = TUNED
        notes.append(
            "There are no validation queries to select by, so the fine-tuned encoder is the challenger "
            "without a selection."
        )
    failed = [f"{c.title} could not be judged: {errors[c.name]}" for c in candidates if c.name in errors]
    if failed:
        verdict = Verdict(accepted=False, reasons=failed)
    elif challenger == reference:
        best = (
            f"The zero-shot base has the best score on validation, {scores[reference]:.4f}: nothing beats it."
        )
        verdict = Verdict(accepted=False, reasons=[best])
    else:
        verdict = check_challenger(
            [o.evidence() for o in holdout if o.task.config.name in gating],
            reference=reference, challenger=challenger, config=config.evaluation.gate, seed=config.seed,
            reason_to_change=reasons_to_change.get(challenger or ""),
        )  # fmt: skip
    chosen = challenger if verdict.accepted and challenger else reference
    first_night = reference == BASE
    reasons = list(verdict.reasons)
    if first_night and chosen == BASE:
        reasons.append("No encoder is in service yet, so the zero-shot base enters service.")
    return Decision(
        action="promote" if verdict.accepted or first_night else "keep", chosen=chosen, reference=reference,
        challenger=challenger, reasons=reasons, gating=gating, validation_scores=scores,
        checks=verdict.checks, notes=notes,
    )  # fmt: skip


def reason_to_change(
    config: Config, workspace: Workspace, snapshot_ref: str, champion_ref: str | None, candidate: Candidate
) -> str | None:
    """Return why a tie would be enough to replace the champion by ``candidate``, or ``None``."""
    if champion_ref is None or workspace.find(*champion_ref.split("/", 1)) is None:
        return None
    champion = workspace.get(champion_ref)
    model = workspace.get(candidate.ends[1] if candidate.ends else candidate.ref)
    settings = [read_description(workspace.path(m))["config"] for m in (champion, model)]
    different = _differences(*settings)
    if different:
        return f"the encoder's settings changed ({', '.join(different[:3])})."
    days = config.evaluation.gate.refresh_after_days
    trained = "base" in champion.inputs
    if days is not None and trained and candidate.name != BASE:
        made, now = (datetime.fromisoformat(m.created_at) for m in (champion, workspace.get(snapshot_ref)))
        age = (now - made).total_seconds() / 86_400
        if age > days:
            return f"the champion was trained {age:.0f} days before this catalog, more than {days:g}."
    return None


def _gating(config: Config, holdout: Sequence[Outcome]) -> tuple[list[str], list[str]]:
    """Return the gating tasks, and notes on those that are too small to gate.

    A task that somebody configured gates whatever its size, and closes the gate when it is too small. A
    default task that the catalog can hardly fill would close it for ever, so it does not gate; nor do
    judgements as long as there are few.
    """
    gate_config = config.evaluation.gate
    gating = [o for o in holdout if o.task.config.gate and not o.task.judged]
    named, notes = _asked(config, gating)
    for o in holdout:
        if not o.task.judged:
            continue
        queries, groups = len(o.task.queries), len(np.unique(o.components))
        if queries >= gate_config.min_judged_queries and groups >= gate_config.min_components:
            named.append(o.task.config.name)
        else:
            notes.append(
                f"{o.task.config.title}: {queries} held-out products in {groups} independent groups "
                f"have judgements; from {gate_config.min_judged_queries} in "
                f"{gate_config.min_components} they take part in the decision."
            )
    return named, notes


def _asked(config: Config, gating: Sequence[Outcome]) -> tuple[list[str], list[str]]:
    """Return which of the configured, or default, tasks gate, and notes on those that do not."""
    if config.evaluation.tasks:
        return [o.task.config.name for o in gating], []
    least = config.evaluation.gate.min_queries
    large = [o for o in gating if len(o.task.queries) >= least]
    if not large:
        return [o.task.config.name for o in gating], []
    notes = [
        f"Task {o.task.config.name} has {len(o.task.queries)} held-out queries, fewer than {least}: "
        "it is shown, but does not gate."
        for o in gating
        if o not in large
    ]
    return [o.task.config.name for o in large], notes


def _differences(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of settings that differ."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}")
    return found
