"""What ``evaluation.json`` holds, piece by piece; its shape is in ``run``'s docstring.

    Q = queries of a task

Does not know: how anything was computed or decided.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.evaluation import examples
from recsys.evaluation.candidates import Candidate
from recsys.evaluation.evaluator import Outcome, Trial
from recsys.evaluation.gate import Check, Decision
from recsys.evaluation.scores import Evidence, by_category, summarise, weight_of, weights
from recsys.metrics.bootstrap import Interval, Resampler, interval


def record_of(
    config: Config, inputs: Mapping[str, str], trial: Trial, decision: Decision | None
) -> dict[str, Any]:
    """Return the whole record; without a ``decision`` (``judge``) there is no gate and one candidate."""
    outcomes = trial.outcomes
    reference = decision.reference if decision else trial.candidates[0].name
    challenger = decision.challenger if decision else None
    gating = decision.gating if decision else [o.task.config.name for o in outcomes if o.task.config.gate]
    evidence = [o.evidence() for o in outcomes if o.task.config.name in gating]
    scores = gate_scores(evidence, list(trial.pools), config)
    chosen = next(c for c in trial.candidates if c.name == (decision.chosen if decision else reference))
    shown = _shown(outcomes, gating)
    return {
        "snapshot": inputs["snapshot"],
        "splits": inputs.get("splits"),
        "confidence": config.evaluation.gate.confidence,
        "image_weight": config.evaluation.image_weight,
        "reference": reference,
        "challenger": challenger,
        "decision": decision.action if decision else None,
        "chosen": {"name": chosen.name, "ref": chosen.ref},
        "reasons": decision.reasons if decision else [],
        "notes": [*trial.plan.notes, *(decision.notes if decision else [])],
        "gate": {"tasks": gating, "checks": [check_record(c) for c in decision.checks]} if decision else None,
        "candidates": [
            candidate_record(
                c,
                error=trial.errors.get(c.name),
                validation_score=decision.validation_scores.get(c.name) if decision else None,
                score=scores.get(c.name),
                duration_s=trial.seconds.get(c.name),
            )
            for c in trial.candidates
        ],
        "tasks": [task_record(o, config, reference, gates=o.task.config.name in gating) for o in outcomes],
        "examples": example_records(config, trial, shown, (reference, challenger)) if shown else [],
    }


def task_record(outcome: Outcome, config: Config, reference: str | None, *, gates: bool) -> dict[str, Any]:
    """Return a task's entry of ``evaluation.json``."""
    gate, task = config.evaluation.gate, outcome.task
    summary = summarise(
        outcome.values, outcome.components, reference=reference,
        confidence=gate.confidence, resamples=gate.resamples, seed=config.seed,
    )  # fmt: skip
    is_fused = task.config.kind == "item" and task.config.modality == "fused"
    return {
        "name": task.config.name,
        "title": task.config.title or task.config.name.replace("_", " "),
        "kind": task.config.kind,
        "modality": task.config.modality,
        "image_weight": weight_of(task, config.evaluation.image_weight) if is_fused else None,
        "gate": gates,
        "metrics": list(task.config.metrics),
        "main_metric": task.config.main,
        "breakdown_by": task.config.breakdown_by,
        "num_queries": len(task.queries),
        "num_components": len(np.unique(outcome.components)),
        "num_without_relevant": task.num_without_answer,
        "num_gallery": task.num_results,
        "scores": {c: {m: figure(i) for m, i in v.items()} for c, v in summary.figures.items()},
        "differences": {c: {m: difference(i) for m, i in v.items()} for c, v in summary.differences.items()},
        "categories": by_category(outcome.values, task.config.main, outcome.labels),
    }


def gate_scores(evidence: Sequence[Evidence], names: Sequence[str], config: Config) -> dict[str, Interval]:
    """Return each candidate's gate score on some split with its interval; without those that have none."""
    gate = config.evaluation.gate
    if not evidence or any(not len(e.components) for e in evidence):
        return {}
    known, codes = np.unique(np.concatenate([e.components for e in evidence]), return_inverse=True)
    parts = np.split(codes, np.cumsum([len(e.components) for e in evidence])[:-1])
    resampler = Resampler(len(known), resamples=gate.resamples, seed=config.seed)
    shares, found = weights(evidence), {}
    for name in names:
        values = [e.values[name] for e in evidence if name in e.values]
        if len(values) == len(evidence):
            draws = [resampler.means(v[:, None], c)[:, 0] for v, c in zip(values, parts, strict=True)]
            mean = float(np.average([v.mean() for v in values], weights=shares))
            drawn = np.average(draws, axis=0, weights=shares)
            found[name] = interval(mean, drawn, gate.confidence)
    return found


def check_record(check: Check) -> dict[str, Any]:
    """Return one of the gate's comparisons."""
    return {
        "name": check.name,
        "kind": check.kind,
        "num_queries": check.num_queries,
        **difference(check.difference),
        "limit": check.limit,
        "passed": check.passed,
    }


def candidate_record(
    candidate: Candidate,
    *,
    error: str | None,
    validation_score: float | None,
    score: Interval | None,
    duration_s: float | None,
) -> dict[str, Any]:
    """Return a candidate's entry."""
    return {
        "name": candidate.name,
        "title": candidate.title,
        "ref": candidate.ref,
        "alpha": candidate.alpha,
        "error": error,
        "validation_score": number(validation_score),
        "gate_score": figure(score) if score is not None else None,
        "duration_s": duration_s,
    }


def example_records(
    config: Config, trial: Trial, outcome: Outcome, names: tuple[str, str | None]
) -> list[dict[str, Any]]:
    """Return examples from the queries of ``outcome`` under reference and challenger (``names``)."""
    settings, task, products, pools = config.evaluation, outcome.task, trial.products, trial.pools
    sides = {
        side: name for side, name in zip(("reference", "challenger"), names, strict=True) if name in pools
    }
    main = {side: outcome.values[name][task.config.main] for side, name in sides.items() if name}
    change = main["challenger"] - main["reference"] if len(main) == 2 else None
    ids = [products.ids[p] for p in task.queries]
    chosen = examples.choose(ids, outcome.labels, change, settings.num_examples)
    if not chosen or not sides:
        return []
    rows = [row for row, _ in chosen]
    answers = examples.right_answers(task, rows)
    lists = {
        side: examples.neighbours(
            pools[name], products, task.queries[rows],
            image_weight=settings.image_weight, count=settings.num_neighbours, relevant=answers,
        )
        for side, name in sides.items() if name
    }  # fmt: skip
    return [
        {
            "id": ids[row],
            "category": outcome.labels[row],
            "why": why,
            "change": None if change is None else float(change[row]),
            "neighbours": {side: found[i] for side, found in lists.items()},
        }
        for i, (row, why) in enumerate(chosen)
    ]


def _shown(outcomes: Sequence[Outcome], gating: Sequence[str]) -> Outcome | None:
    """Return the task that examples come from: the first item task with queries, gating ones first."""
    able = [o for o in outcomes if o.task.config.kind == "item" and len(o.task.queries)]
    return min(able, key=lambda o: o.task.config.name not in gating, default=None)


def figure(i: Interval) -> dict[str, float | None]:
    """Return an interval as JSON: ``value``, ``low``, ``high``; what is not a number is null."""
    return {"value": number(i.value), "low": number(i.low), "high": number(i.high)}


def difference(i: Interval) -> dict[str, float | None]:
    """Return a difference's interval as JSON: ``difference``, ``low``, ``high``."""
    return {"difference": number(i.value), "low": number(i.low), "high": number(i.high)}


def number(value: float | None) -> float | None:
    """Return ``value``, or ``None`` where it is no number: JSON has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None
