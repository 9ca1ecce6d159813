"""Builds the record of a night's evaluation; its shape is documented in ``recsys.workspace.evaluations``."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from recsys.config import Config
from recsys.evaluation import examples
from recsys.evaluation.evaluator import Evaluation
from recsys.evaluation.gate import Decision, task_weights, weighted_mean
from recsys.evaluation.scores import PerQueryScores, TaskResult, by_category, intervals, weight_of
from recsys.metrics.bootstrap import Interval
from recsys.workspace.splits import HOLDOUT

_WIDTH = 1.96


def record_of(
    config: Config,
    inputs: Mapping[str, str],
    evaluation: Evaluation,
    decision: Decision,
    times_asked: int,
) -> dict[str, Any]:
    """Return the whole record; the holdout decided ``times_asked`` times before."""
    gating = [r for r in evaluation.results[HOLDOUT] if r.name in decision.gating]
    scores = _gate_scores([r.main_scores() for r in gating], evaluation.pools)
    chosen = next(c for c in evaluation.candidates if c.name == decision.chosen)
    return {
        "snapshot": inputs["snapshot"],
        "splits": inputs["splits"],
        "confidence": config.evaluation.gate.confidence,
        "image_weight": config.evaluation.image_weight,
        "reference": decision.reference,
        "challenger": decision.challenger,
        "decision": decision.action,
        "chosen": {"name": chosen.name, "ref": chosen.ref},
        "reasons": decision.reasons,
        "notes": [*evaluation.plan.notes, *decision.notes],
        "gate": {
            "tasks": decision.gating,
            "times_asked": times_asked,
            "power": decision.result.power and asdict(decision.result.power),
            "checks": [
                {**asdict(c), **_interval("difference", c.difference)} for c in decision.result.checks
            ],
        },
        "candidates": [
            {
                "name": c.name,
                "title": c.title,
                "ref": c.ref,
                "alphas": c.alphas,
                "error": evaluation.errors.get(c.name),
                "validation_score": decision.validation_scores.get(c.name),
                "gate_score": _interval("value", scores[c.name]) if c.name in scores else None,
                "duration_s": evaluation.durations_s.get(c.name),
            }
            for c in evaluation.candidates
        ],
        "tasks": [
            _task(r, config, evaluation, decision, gates=r in gating) for r in evaluation.results[HOLDOUT]
        ],
        "examples": _examples(config, evaluation, decision),
    }


def _gate_scores(tasks: list[PerQueryScores], candidates: Iterable[str]) -> dict[str, Interval]:
    """Return candidate → gate score with its 95% interval; empty where a task has no queries."""
    if not task_weights(tasks).any() or not all(len(t.components) for t in tasks):
        return {}
    return {
        name: weighted_mean(tasks, [t.values[name] for t in tasks]).interval(_WIDTH) for name in candidates
    }


def _task(
    result: TaskResult, config: Config, evaluation: Evaluation, decision: Decision, *, gates: bool
) -> dict[str, Any]:
    gate, task, reference = config.evaluation.gate, result.task, decision.reference
    scores = intervals(result.values, result.components, gate, config.seed)
    cheap = evaluation.baselines.scores(task, evaluation.pools.get(decision.chosen))
    baselines = intervals(cheap, result.components, gate, config.seed)
    base = result.values.get(reference)
    gains = {
        candidate: {name: value - base[name] for name, value in values.items()}
        for candidate, values in result.values.items()
        if base is not None and candidate != reference
    }
    differences = intervals(gains, result.components, gate, config.seed)
    is_fused = task.config.kind == "item" and task.config.modality == "fused"
    return {
        "name": result.name,
        "title": task.config.title or result.name.replace("_", " "),
        "kind": task.config.kind,
        "modality": task.config.modality,
        "image_weight": weight_of(task, config.evaluation.image_weight) if is_fused else None,
        "gate": gates,
        "metrics": list(task.config.metrics),
        "main_metric": task.config.main,
        "breakdown_by": task.config.breakdown_by,
        "num_queries": len(task.queries),
        "num_components": len(np.unique(result.components)),
        "num_without_relevant": task.num_without_relevant,
        "num_gallery": task.num_results,
        "scores": {c: {m: _interval("value", i) for m, i in v.items()} for c, v in scores.items()},
        "differences": {
            c: {m: _interval("difference", i) for m, i in v.items()} for c, v in differences.items()
        },
        "label_in_text": result.label_in_text,
        "only_guards": result.only_guards,
        "baselines": {name: _interval("value", v[task.config.main]) for name, v in baselines.items()},
        "categories": by_category(result),
    }


def _examples(config: Config, evaluation: Evaluation, decision: Decision) -> list[dict[str, Any]]:
    """Return examples from the queries of the first item task, gating ones first."""
    settings, pools, products = config.evaluation, evaluation.pools, evaluation.products
    shown = [r for r in evaluation.results[HOLDOUT] if r.task.config.kind == "item" and len(r.task.queries)]
    sides = {
        side: name
        for side, name in (("reference", decision.reference), ("challenger", decision.challenger))
        if name is not None and name in pools
    }
    if not shown or not sides:
        return []
    result = min(shown, key=lambda r: r.name not in decision.gating)
    task, main = result.task, result.main_scores().values
    change = main[sides["challenger"]] - main[sides["reference"]] if len(sides) == 2 else None
    ids = [products.ids[p] for p in task.queries]
    chosen = examples.choose(ids, result.categories, change, settings.num_examples)
    rows = [row for row, _ in chosen]
    relevant = examples.relevant_to(task, rows)
    lists = {
        side: examples.neighbours(
            pools[name], products, task.queries[rows],
            image_weight=settings.image_weight, count=settings.num_neighbours, relevant=relevant,
        )
        for side, name in sides.items()
    }  # fmt: skip
    return [
        {
            "id": ids[row],
            "category": result.categories[row],
            "why": why,
            "change": None if change is None else float(change[row]),
            "neighbours": {side: found[i] for side, found in lists.items()},
        }
        for i, (row, why) in enumerate(chosen)
    ]


def _interval(name: str, interval: Interval) -> dict[str, float | None]:
    """Return an interval as JSON, its value called ``name``; NaN, which JSON does not have, is null."""
    parts = zip((name, "low", "high"), interval, strict=True)
    return {key: float(value) if math.isfinite(value) else None for key, value in parts}
