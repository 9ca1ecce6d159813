"""The night's judgement: how the challenger was trained, how candidates did, what the gate said.

Does not know: pages, or how anything was computed.
"""

import json
from collections.abc import Mapping
from typing import Any

from recsys.evaluation.report import words
from recsys.workspace import Manifest, Workspace

_EVALUATION = "evaluation.json"
_EVALUATION_SAYS: dict[str, Any] = {
    "confidence": 0.95,
    "image_weight": 0.5,
    "reference": None,
    "challenger": None,
    "decision": None,
    "chosen": None,
    "reasons": [],
    "notes": [],
    "gate": None,
    "candidates": [],
    "tasks": [],
    "examples": [],
}
_NOT_LOSSES = {"step", "epoch", "seconds", "lr_factor", "progress"}


def training_facts(encoder: Manifest) -> dict[str, Any]:
    """Return how the challenger was trained: curves, counts, or why it was not."""
    info = encoder.info
    fit = info.get("fit") or {}
    history = fit.get("history") or []
    names = [name for name in dict.fromkeys(k for entry in history for k in entry) if name not in _NOT_LOSSES]
    curves = {
        name: [[e["step"], e[name]] for e in history if e.get(name) is not None and "step" in e]
        for name in names
    }
    return {
        "trained": bool(info.get("trained", fit)),
        "reason": info.get("reason"),
        "device": fit.get("device"),
        "steps": fit.get("steps"),
        "seconds": fit.get("seconds"),
        "pictures_per_second": fit.get("pictures_per_second"),
        "best_epoch": fit.get("best_epoch"),
        "stopped_early": bool(fit.get("stopped_early")),
        "validation": {
            "metric": info.get("config", {}).get("validation", {}).get("metric"),
            "label": info.get("validation_label"),
            "epochs": [
                {"epoch": e["epoch"], "metric": e.get("metric")}
                for e in fit.get("epochs") or []
                if "epoch" in e
            ],
        },
        "splits": info.get("counts", {}).get("splits", {}),
        "judgements": _judgements_words(info.get("counts", {}).get("supervision", {}).get("judgements")),
        "losses": curves,
    }


def _judgements_words(counts: Mapping[str, int] | None) -> str | None:
    """Return what became of people's judgements in one sentence; ``None`` where there were none."""
    if not counts:
        return None
    parts = [
        f"{words.count(counts['learnt'], 'pair')} learnt from "
        f"({counts['similar']:,} similar, {counts['not_similar']:,} not)"
    ]
    others = {
        "selecting": "help to pick the challenger",
        "judging": "judge the candidates",
        "left_out": "left out",
        "gone": "of products that are gone",
    }
    parts += [f"{counts[key]:,} {what}" for key, what in others.items() if counts[key]]
    return f"Of what people judged: {words.joined(parts)}."


def evaluation_facts(workspace: Workspace, evaluation: Manifest) -> dict[str, Any]:
    """Return ``evaluation.json``, complete with what it may lack."""
    path = workspace.path(evaluation) / _EVALUATION
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return _EVALUATION_SAYS | facts


def candidate(evaluation: Mapping[str, Any], name: str | None) -> dict[str, Any] | None:
    """Return the entry of a candidate, or ``None``."""
    return next((c for c in evaluation.get("candidates", []) if c["name"] == name), None)


def title(evaluation: Mapping[str, Any], name: str | None) -> str:
    """Return what a candidate is called, such as ``Fine-tuned tonight``."""
    found = candidate(evaluation, name)
    return str(found["title"]) if found and found.get("title") else str(name or "none")


def verdict(evaluation: Mapping[str, Any]) -> str:
    """Return the decision in one sentence."""
    chosen = evaluation.get("chosen") or {}
    name = title(evaluation, chosen.get("name"))
    if evaluation.get("reference") != "champion":
        return f"There was no champion yet: “{name}” is the first encoder in service."
    if evaluation.get("decision") == "promote":
        return f"A new encoder takes over: “{name}”."
    return "The champion stays."


def check_title(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return what one of the gate's comparisons is about."""
    if check.get("kind") == "overall":
        return "All tasks together"
    tasks = {task["name"]: task["title"] for task in evaluation.get("tasks", [])}
    return str(tasks.get(check["name"], check["name"]) if check.get("kind") == "task" else check["name"])


def check_words(evaluation: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """Return one of the gate's comparisons as a sentence."""
    name = check_title(evaluation, check)
    subject = {
        "overall": "Over all tasks",
        "task": f"On the task “{name}”",
        "category": f"In the category “{name}”",
    }.get(str(check.get("kind")), name)
    return (
        f"{subject}, the challenger differs by {words.signed(check.get('difference'))} "
        f"({words.signed(check.get('low'))} to {words.signed(check.get('high'))}, "
        f"{words.count(check.get('num_queries') or 0, 'query', 'queries')}); "
        f"the interval must lie above {words.signed(check.get('limit'))}: "
        f"{'passed' if check.get('passed') else 'not passed'}."
    )
