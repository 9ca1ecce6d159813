"""The gate: which candidate challenges, and whether it takes over. Pure, and closed when in doubt.

Two samples of queries, never mixed. On the **validation** products :func:`select` takes the candidate that
is nearest to the zero-shot base among those within one standard error of the best (Breiman et al. 1984),
out of the base, the fine-tuned encoder and the interpolations between them (WiSE-FT: Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022), as far as training left them in the choice. Who loses
in a task is out; but where training found the encoder in service behind and all others lose, the one that
loses least challenges. The **holdout** took no part in that, and decides:

    overall    the gain over the encoder in service must be certain, or a tie with a reason to change
    task       no gating task may lose more than ``tolerance``, or than one standard error if that is larger
    category   no category whose estimate is a loss may have lost more than ``margin``, with 80% certainty;
               the estimate is drawn towards the others, but towards no gain, as far as chance explains
               (empirical Bayes); categories of fewer than 15 independent groups count as one together
    fallen     no category of any size may have fallen to nothing (its mean to a tenth), and none of 8 groups
               or more may have lost more than ``margin`` for certain, where chance shows one in one
               comparison of twenty (Bonferroni, over all that are asked)

Tasks and categories are also compared with the zero-shot base, with the *untouched* backbone where that is
another (the base's towers behind no projection), and with the *anchor*, the encoder that small losses add up
against. So nothing pays for anything else beyond the limits, tonight or over a month. The untouched backbone
cannot serve: a loss to it counts where the encoder that stays otherwise is better there, because a refusal
would help nobody where it is not.

The same holdout is asked every night. The n-th time, whoever serves, the interval of the gain has coverage
``1 - (1 - confidence) / n``: over any number of nights, chance alone promotes about as often as it would in
a few. :class:`Power` says what gain the holdout can show under these rules.

Errors are those of :mod:`recsys.metrics.clusters`: variants and duplicates of one product count once.
A task that is too small only guards, as long as another is not. Otherwise whatever is missing, too small or
not a number keeps the encoder in service and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from recsys.config import Config
from recsys.config.evaluation import GateConfig
from recsys.evaluation.candidates import ANCHOR, BASE, CHAMPION, TUNED, UNTOUCHED, Candidate
from recsys.evaluation.scores import PerQueryScores, TaskResult
from recsys.metrics.bootstrap import Interval
from recsys.metrics.clusters import Estimate, clustered_mean, component_means, group_means, shrunken

Float64 = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]

_SHOWN = float(norm.ppf(0.95))
_FOUR_IN_FIVE = float(norm.ppf(0.8))
_POINT = 0.01
_ALONE = 15
"""From so many independent groups on, a category's loss must be ruled out for it alone. With fewer, chance
alone shows one; with more, one that grows night by night is seen too late. Both by simulation."""
_CERTAIN, _FALLEN = 8, 2
"""From so many on, a category's loss can be certain; its fall to nothing is no single odd product. A few
groups are one another's results and lose together, so their number says less than it seems: by simulation of
rankings."""
_BEHIND = "the zero-shot base is worse for classes that training left out, by more than a standard error."
_NOTHING = 0.1
"""What keeps at most this share of its score has fallen to nothing; what scored no more was there already."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison of the challenger with another candidate."""

    name: str
    kind: Literal["overall", "task", "category", "fallen"]
    """``fallen``: a category that fell to nothing, or whose loss is certain; never passed."""
    against: str
    """The other candidate: ``champion``, ``base``, ``untouched`` or ``anchor``."""
    task: str | None = None
    num_products: int
    num_components: int
    difference: Interval
    limit: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Power:
    """What the holdout can show."""

    num_products: int
    num_components: int
    detectable: float
    """The gain that is promoted in four nights of five: the half-width of its interval and 0.84 errors."""
    components_for_a_point: int
    """How many components would show a gain of 0.01 as often."""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Whether the challenger takes the reference's place, and why."""

    accepted: bool
    reasons: list[str]
    """Sentences, the decisive one first."""
    checks: list[Check] = field(default_factory=list)
    power: Power | None = None

    @property
    def no_loss_to_anchor(self) -> bool:
        """Whether no estimate, of any task or category, lies below the anchor's, or else the champion's."""
        to_anchor = [c for c in self.checks if c.against == ANCHOR]
        to_champion = [c for c in self.checks if c.against == CHAMPION]
        return all(c.difference.value >= 0 for c in to_anchor or to_champion)


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
    result: GateResult
    notes: list[str]


def decide(
    config: Config,
    candidates: Sequence[Candidate],
    errors: Mapping[str, str],
    validation: Sequence[TaskResult],
    holdout: Sequence[TaskResult],
    reasons_to_change: Mapping[str, str | None],
    times_asked: int = 0,
    held: Mapping[str, str] | None = None,
) -> Decision:
    """Select the challenger on ``validation``; compare it with all that it may not lose to on ``holdout``.

    ``errors`` says why a candidate could not be embedded: with any, nothing changes, because the fault may
    be in what all share. ``reasons_to_change`` says per candidate why a tie would be enough. The holdout
    decided ``times_asked`` times before. ``held`` says which encoders (ref) are on hold, in words: they do
    not challenge.
    """
    names = [c.name for c in candidates]
    reference = CHAMPION if CHAMPION in names else BASE
    others = [n for n in (BASE, UNTOUCHED, ANCHOR) if n in names and n not in (reference, *errors)]
    gating, guards, notes = _gating_tasks(config, holdout)

    def scores(results: Sequence[TaskResult]) -> list[PerQueryScores]:
        asked = [r.main_scores() for r in results if r.name in gating]
        return [replace(t, only_guards=True) if t.task in guards else t for t in asked]

    on_hold = {c.name: f"{c.title}: {held[c.ref]}." for c in candidates if held and c.ref in held}
    on_hold.pop(reference, None)  # it serves already
    behind = [c.name for c in candidates if c.is_behind and c.name not in errors]
    able = [n for n in names if n not in (CHAMPION, UNTOUCHED, ANCHOR, *errors, *on_hold, *behind)]
    selecting = [t for t in scores(validation) if len(t.components)]
    gate = config.evaluation.gate
    against = [n for n in (reference, *others) if n not in errors]
    challenger, validation_scores = select(selecting, able, against, gate)
    known = [name for name, score in validation_scores.items() if score is not None]
    if challenger is None and known and reference in behind:
        challenger = max(known, key=lambda name: _margin(_losses(selecting, name, against, gate)))
        notes.append(
            "Every candidate loses in some task on the validation split, and the encoder in service is "
            "behind for classes that training left out: the one that loses least challenges."
        )
    validation_scores |= {name: gate_score(selecting, name) for name in behind}
    if not selecting and TUNED in able:
        challenger = TUNED
        notes.append(
            "There are no validation queries to select by, so the fine-tuned encoder is the challenger "
            "without a selection."
        )
    failed = [f"{c.title} could not be evaluated: {errors[c.name]}" for c in candidates if c.name in errors]
    if failed:
        result = GateResult(accepted=False, reasons=failed)
    elif challenger is None:
        why = [] if on_hold and not able else [_no_challenger([validation_scores[name] for name in able])]
        result = GateResult(accepted=False, reasons=why)
    elif challenger == reference:
        near = (
            "No candidate that loses in no task is better than the zero-shot base by more than a standard "
            "error on validation."
        )
        result = GateResult(accepted=False, reasons=[near])
    else:
        result = compare(
            scores(holdout), challenger=challenger, reference=reference, others=others, config=gate,
            reason_to_change=reasons_to_change.get(challenger) or (_BEHIND if reference in behind else None),
            times_asked=times_asked,
        )  # fmt: skip
    chosen = challenger if result.accepted and challenger else reference
    first_night = reference == BASE
    reasons = [*result.reasons, *on_hold.values()]
    if first_night and chosen == BASE:
        reasons.append(
            "No encoder in service is there to compare with, so the zero-shot base enters service."
        )
        if UNTOUCHED in others:
            found = compare(scores(holdout), challenger=BASE, reference=UNTOUCHED, config=gate)
            notes += [_refusal(c, "The zero-shot base") for c in _lost(found.checks)[:1]]
    return Decision(
        action="promote" if result.accepted or first_night else "keep", chosen=chosen, reference=reference,
        challenger=challenger, reasons=reasons, gating=gating, validation_scores=validation_scores,
        result=result, notes=notes,
    )  # fmt: skip


def _no_challenger(scores: Sequence[float | None]) -> str:
    if not scores:
        return (
            "Nothing challenges: classes that training left out allow no other encoder than that in service."
        )
    if any(score is not None for score in scores):
        return "No challenger could be selected: every candidate loses in some task on the validation split."
    return "No challenger could be selected: no candidate has a score on the validation split."


def _gating_tasks(config: Config, holdout: Sequence[TaskResult]) -> tuple[list[str], set[str], list[str]]:
    """Return the tasks that gate, those of them that only guard, and notes on what is too small.

    As long as another task is large enough, one that is too small for a gain to say anything only guards. One
    without any query closes the gate if somebody configured it, and is left out if it is a default one. Of
    judgements too few say nothing.
    """
    gate = config.evaluation.gate
    gating = [
        r
        for r in holdout
        if r.task.config.gate
        and not r.task.is_judgements
        and (len(r.task.queries) or config.evaluation.tasks)
    ]
    small = [r for r in gating if _too_few(r.main_scores(), gate)]
    if len(small) == len(gating):
        small = []
    names = [r.name for r in gating]
    notes = [
        f"Task {r.name} has {len(r.task.queries)} held-out queries in {len(np.unique(r.components))} "
        f"independent groups, and {gate.min_queries} in {gate.min_components} are needed: a loss in it "
        "counts, a gain does not."
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
    return names, {r.name for r in small}, notes


def select(
    validation: Sequence[PerQueryScores],
    candidates: Sequence[str],
    against: Sequence[str],
    config: GateConfig,
) -> tuple[str | None, dict[str, float | None]]:
    """Return the challenger by the validation scores, and every candidate's score.

    ``candidates`` are listed simplest first. Those that lose in a task to any of ``against``, of which the
    first is in service, are out; of the others the first is taken that is within one standard error of the
    best. ``None`` where none is left.
    """
    scores = {name: gate_score(validation, name) for name in candidates}
    known = {name: value for name, value in scores.items() if value is not None}
    able = [name for name in known if all(c.passed for c in _losses(validation, name, against, config))]
    if not able:
        return None, scores
    best = max(able, key=known.__getitem__)
    for name in able:
        behind = _overall(validation, best, name)
        if name == best or behind.value <= behind.error:
            return name, scores
    raise AssertionError(best)


def _losses(
    tasks: Sequence[PerQueryScores], candidate: str, against: Sequence[str], config: GateConfig
) -> list[Check]:
    """Return one check per task and other candidate, without those that count for nothing."""
    checks = [c for other in against if other != candidate for c in _tasks(tasks, candidate, other, config)]
    return [c for c in checks if not _is_moot(c, tasks, candidate, against[0])]


def _margin(checks: Sequence[Check]) -> float:
    """Return by how much no loss reaches its limit."""
    return min(c.difference.value - c.limit for c in checks)


def gate_score(tasks: Sequence[PerQueryScores], candidate: str) -> float | None:
    """Return the gate score: the mean over tasks of the mean over queries; ``None`` if a task has no score.

    Tasks have equal weight, judgements that of :func:`task_weights`; tasks that only guard have none.
    """
    means = [float(np.mean(t.values[candidate])) for t in tasks if len(t.values.get(candidate, ()))]
    if not tasks or len(means) < len(tasks) or not np.isfinite(means).all():
        return None
    weights = task_weights(tasks)
    return float(np.average(means, weights=weights)) if weights.any() else None


def task_weights(tasks: Sequence[PerQueryScores]) -> Float64:
    """Return each task's weight in the gate score: 1, for judgements less while they are fewer.

    A query of judgements counts as much as one of the smallest other task, all of them at most 1. A full
    weight for a few of them would drown what the other tasks show, and close the gate. A task that only
    guards weighs nothing.
    """
    smallest = min((len(t.components) for t in tasks if not t.is_judgements), default=0)
    weights = [min(1.0, len(t.components) / smallest) if t.is_judgements and smallest else 1.0 for t in tasks]
    return np.array(weights) * [not t.only_guards for t in tasks]


def weighted_mean(tasks: Sequence[PerQueryScores], values: Sequence[Float64]) -> Estimate:
    """Return the mean over tasks, by :func:`task_weights`, of the mean of each task's values ``[Q]``."""
    counted = [(v, t, w) for v, t, w in zip(values, tasks, task_weights(tasks), strict=True) if w > 0]
    return clustered_mean(
        [v for v, _, _ in counted],
        [np.asarray(t.components) for _, t, _ in counted],
        np.array([w for _, _, w in counted]),
    )


def _overall(tasks: Sequence[PerQueryScores], challenger: str, other: str) -> Estimate:
    """Return the weighted mean difference over tasks."""
    return weighted_mean(tasks, [_gain(t, challenger, other) for t in tasks])


def _gain(task: PerQueryScores, challenger: str, other: str) -> Float64:
    return np.asarray(task.values[challenger] - task.values[other], np.float64)


def compare(
    holdout: Sequence[PerQueryScores],
    *,
    challenger: str,
    reference: str,
    others: Sequence[str] = (),
    config: GateConfig,
    reason_to_change: str | None = None,
    times_asked: int = 0,
) -> GateResult:
    """Return whether ``challenger`` may take the place of ``reference``.

    ``others`` are candidates that it may not lose to either. ``reason_to_change`` is a sentence that makes
    a tie enough (the architecture differs, the champion is old), or ``None``. Nothing raises: doubt is a
    refusal.
    """
    doubt = _doubt(holdout, (challenger, reference, *others), config)
    if doubt is not None:
        return GateResult(accepted=False, reasons=[doubt])
    width = float(norm.ppf(1 - (1 - config.confidence) / 2 / (times_asked + 1)))
    gain = _overall(holdout, challenger, reference)
    num_products, num_components = _counts(holdout)
    overall = Check(
        name="overall", kind="overall", against=reference, num_products=num_products,
        num_components=num_components, difference=gain.interval(width), limit=0.0,
        passed=gain.value - width * gain.error > 0,
    )  # fmt: skip
    losses = _tasks(holdout, challenger, reference, config)
    losses += _categories(holdout, challenger, reference, config)
    for other in others:
        losses += _tasks(holdout, challenger, other, config)
        losses += _categories(holdout, challenger, other, config)
    detectable = (width + _FOUR_IN_FIVE) * gain.error
    power = Power(
        num_products=num_products,
        num_components=num_components,
        detectable=detectable,
        components_for_a_point=int(np.ceil(num_components * (detectable / _POINT) ** 2)),
    )
    behind = [c for c in losses if _is_moot(c, holdout, challenger, reference)]
    checks = [overall, *(c for c in losses if c not in behind)]
    refusals = [_refusal(c) for c in _lost(checks)]
    if refusals:
        return GateResult(accepted=False, reasons=refusals, checks=checks, power=power)
    reason_to_change = _gain_on_judgements(holdout, challenger, reference, config) or reason_to_change
    if overall.passed:
        why = (
            f"The challenger gains {_in_words(overall.difference)} over {num_products:,} held-out products "
            f"in {num_components:,} independent groups."
        )
    elif reason_to_change and gain.value >= -max(config.tolerance, gain.error):
        why = f"A tie ({_in_words(overall.difference)}), and a reason to change: {reason_to_change}"
    else:
        shows = f"This holdout shows a gain from {detectable:.3f} on."
        if not detectable:
            shows = "No held-out query tells the two apart."
        tie = f"No gain is certain: the difference is {_in_words(overall.difference)}. {shows}"
        return GateResult(accepted=False, reasons=[tie], checks=checks, power=power)
    has_categories = any(c.kind == "category" for c in checks)
    no_loss = (
        f"No gating task{' and no category' if has_categories else ''} shows a loss beyond its limit, "
        f"against {' or '.join([reference, *others])}."
    )
    stays = "The zero-shot base" if reference == BASE else "The encoder in service"
    reasons = [why, no_loss, *(f"{_refusal(c)} {stays} is no better there." for c in behind)]
    return GateResult(accepted=True, reasons=reasons, checks=checks, power=power)


def _too_few(task: PerQueryScores, config: GateConfig) -> bool:
    least = config.min_judged_queries if task.is_judgements else config.min_queries
    return len(task.components) < least or len(np.unique(task.components)) < config.min_components


def _doubt(holdout: Sequence[PerQueryScores], candidates: Sequence[str], config: GateConfig) -> str | None:
    """Return why nothing can be concluded, or ``None``."""
    if not holdout:
        return "No gating task has held-out queries with a relevant product, so nothing can be compared."
    for t in holdout:
        for name in candidates:
            values = t.values.get(name)
            if values is None or len(values) != len(t.components):
                return f"Task {t.task} has no scores for {name}."
            if not np.isfinite(values).all():
                return f"Task {t.task} has scores for {name} that are not numbers."
        if not len(t.components) or (_too_few(t, config) and not t.only_guards):
            least = config.min_judged_queries if t.is_judgements else config.min_queries
            return (
                f"Task {t.task} has {len(t.components)} held-out queries in "
                f"{len(np.unique(t.components))} independent groups; {least} in {config.min_components} are "
                "needed to conclude anything."
            )
    if not task_weights(holdout).any():
        return (
            "Every gating task asks for a label that stands in the product's text, so no gain would show "
            "that the encoder is better: add a task of another label, or by image alone."
        )
    return None


def _counts(tasks: Sequence[PerQueryScores]) -> tuple[int, int]:
    """Return how many products, and how many components, the tasks' queries are."""
    products = {product for t in tasks for product in np.asarray(t.products).tolist()}
    return len(products), len(np.unique(np.concatenate([t.components for t in tasks])))


def _tasks(tasks: Sequence[PerQueryScores], challenger: str, other: str, config: GateConfig) -> list[Check]:
    """Return one check per task."""
    found = []
    for t in tasks:
        gain = clustered_mean([_gain(t, challenger, other)], [np.asarray(t.components)], np.ones(1))
        limit = -max(config.tolerance, gain.error)
        num_products, num_components = _counts([t])
        found.append(
            Check(
                name=t.task, kind="task", against=other, task=t.task, num_products=num_products,
                num_components=num_components, difference=gain.interval(_SHOWN), limit=limit,
                passed=gain.value >= limit,
            )
        )  # fmt: skip
    return found


def _is_moot(check: Check, tasks: Sequence[PerQueryScores], challenger: str, reference: str) -> bool:
    """Return whether a check is a loss to the untouched backbone where ``reference`` is no better.

    The backbone cannot serve; refused for this, the challenger would leave the reference in service.
    """
    if check.passed or check.against != UNTOUCHED:
        return False
    task = next(t for t in tasks if t.task == check.task)
    gain = _gain(task, challenger, reference)
    if check.kind != "task":
        breakdown = _breakdown(task, challenger, reference)
        breakdown = breakdown.merged() if check.kind == "category" else breakdown
        gain = (breakdown.after - breakdown.before)[breakdown.codes == breakdown.names.index(check.name)]
    return float(gain.mean()) >= 0


@dataclass(frozen=True)
class _Breakdown:
    """One task's queries that have a category, under the challenger and another candidate; G = categories."""

    task: str
    against: str
    names: Sequence[str]
    """``[G]``."""
    codes: Ints
    """Position in :attr:`names` of each query's category ``[Q]``."""
    components: Ints
    """Component of each query ``[Q]``."""
    before: Float64
    """Score of each query ``[Q]`` under the other candidate."""
    after: Float64
    """The same under the challenger."""

    @cached_property
    def sizes(self) -> Ints:
        """How many independent groups each category has, ``[G]``."""
        _, _, category = component_means(self.after, self.components, self.codes)
        return np.bincount(category, minlength=len(self.names))

    @cached_property
    def fell_to_nothing(self) -> NDArray[np.bool_]:
        """Whether each category's mean score fell to nothing, ``[G]``."""
        counts = np.bincount(self.codes)
        before, after = (
            np.bincount(self.codes, self.before) / counts,
            np.bincount(self.codes, self.after) / counts,
        )
        return (before > _NOTHING) & (after <= _NOTHING * before)

    @cached_property
    def gains(self) -> list[Estimate]:
        """Mean gain of each category, ``[G]``."""
        return group_means(self.after - self.before, self.components, self.codes, len(self.names))

    def merged(self) -> "_Breakdown":
        """Return the categories that count alone, and the others as one, or not at all where they are few."""
        small = self.sizes < _ALONE
        is_small = small[self.codes]
        enough = len(np.unique(self.components[is_small])) >= _ALONE
        rows = ~is_small | enough
        names = [*self.names, f"{small.sum()} small categories together"]
        known, codes = np.unique(np.where(is_small, len(small), self.codes)[rows], return_inverse=True)
        return replace(
            self, names=[names[k] for k in known], codes=codes, components=self.components[rows],
            before=self.before[rows], after=self.after[rows],
        )  # fmt: skip

    def check(
        self, kind: Literal["category", "fallen"], category: int, gain: Estimate, config: GateConfig
    ) -> Check:
        """Return what is found of one category, by its position; ``fallen`` is never passed."""
        difference, limit = gain.interval(_FOUR_IN_FIVE), -config.margin
        return Check(
            name=self.names[category], kind=kind, against=self.against, task=self.task,
            num_products=int((self.codes == category).sum()), num_components=int(self.sizes[category]),
            difference=difference, limit=limit,
            passed=kind == "category" and (difference.value >= 0 or difference.low >= limit),
        )  # fmt: skip


def _categories(
    tasks: Sequence[PerQueryScores], challenger: str, other: str, config: GateConfig
) -> list[Check]:
    """Return one check per task and category, of the small ones together, and one per fallen one."""
    found = [_breakdown(t, challenger, other) for t in tasks if any(c is not None for c in t.categories)]
    num_asked = sum(int((b.sizes >= _FALLEN).sum()) for b in found)
    checks: list[Check] = []
    for breakdown in found:
        losses = _closed_categories(breakdown, config)
        refused = [c.name for c in losses if not c.passed]
        fallen = _fallen_categories(breakdown, num_asked, config)
        checks += [*losses, *(c for c in fallen if c.name not in refused)]
    return checks


def _breakdown(task: PerQueryScores, challenger: str, other: str) -> _Breakdown:
    inside = np.array([name is not None for name in task.categories], np.bool_)
    labels = np.array(task.categories, object)[inside].astype(str)
    names, codes = np.unique(labels, return_inverse=True)
    return _Breakdown(
        task=task.task,
        against=other,
        names=names.tolist(),
        codes=codes,
        components=np.asarray(task.components)[inside],
        before=np.asarray(task.values[other], np.float64)[inside],
        after=np.asarray(task.values[challenger], np.float64)[inside],
    )


def _closed_categories(breakdown: _Breakdown, config: GateConfig) -> list[Check]:
    """Return one check per category that counts alone, and one of the others as one, if they are enough."""
    asked = breakdown.merged()
    gains = shrunken(asked.gains, at_most=0.0) if asked.names else []  # no gain of others hides a loss
    return [asked.check("category", category, gain, config) for category, gain in enumerate(gains)]


def _fallen_categories(breakdown: _Breakdown, num_asked: int, config: GateConfig) -> list[Check]:
    """Return one check per category whose loss is certain, or that fell to nothing, of ``num_asked``."""
    chance = (1 - config.confidence) / max(num_asked, 1)
    width, falls = float(norm.ppf(1 - chance)), _chance_of_falls(breakdown)
    return [
        breakdown.check("fallen", category, gain, config)
        for category, (gain, size) in enumerate(zip(breakdown.gains, breakdown.sizes, strict=True))
        if (size >= _CERTAIN and gain.value + width * gain.error < -config.margin)
        or (breakdown.fell_to_nothing[category] and falls[category] <= chance and gain.value < -config.margin)
    ]


def _chance_of_falls(breakdown: _Breakdown) -> Float64:
    """Return how likely as many of a category's groups fall to nothing as did, at the others' rate, ``[G]``.

    1 for a category of which fewer than two fell.
    """
    of = (breakdown.components, breakdown.codes)
    before, _, category = component_means(breakdown.before, *of)
    after, _, _ = component_means(breakdown.after, *of)
    scored = before > _NOTHING
    fell = scored & (after <= _NOTHING * before)
    num_scored = np.bincount(category, scored, len(breakdown.names))
    num_fell = np.bincount(category, fell, len(breakdown.names))
    rate = (num_fell.sum() - num_fell + 1) / (num_scored.sum() - num_scored + 1)
    chance: Float64 = np.where(num_fell < _FALLEN, 1.0, binom.sf(num_fell - 1, num_scored, rate))
    return chance


def _gain_on_judgements(
    holdout: Sequence[PerQueryScores], challenger: str, reference: str, config: GateConfig
) -> str | None:
    """Return the reason to change that a certain gain on judgements is, or ``None``."""
    judged = [t for t in holdout if t.is_judgements]
    for check in _tasks(judged, challenger, reference, config):
        if check.difference.low > 0:
            return f"it agrees more with what people judged, by {_in_words(check.difference)}."
    return None


def _lost(checks: Sequence[Check]) -> list[Check]:
    """Return the comparisons that show a loss beyond its limit, the largest first."""
    failed = [c for c in checks if c.kind != "overall" and not c.passed]
    return sorted(failed, key=lambda c: c.difference.value)


def _refusal(check: Check, who: str = "The challenger") -> str:
    where = f"in task {check.task}" if check.kind == "task" else f"in category {check.name} ({check.task})"
    lost = "lost for certain or fell to nothing" if check.kind == "fallen" else "lost"
    return (
        f"{who} {lost} {where} against {check.against}: the difference is "
        f"{_in_words(check.difference)} on {check.num_products:,} products, beyond the limit of "
        f"{check.limit:+.3f}."
    )


def _in_words(difference: Interval) -> str:
    return f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})"
