"""A night's decision: from the outcomes of all candidates to the encoder that serves.

Does not know: how outcomes were computed, where they are written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import numpy as np

from recsys.config import Config
from recsys.encoder.description import read_description
from recsys.evaluation import gate
from recsys.evaluation.candidates import BASE, CHAMPION, TUNED, Candidate
from recsys.evaluation.judgement import Outcome
from recsys.workspace import Workspace


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
    checks: list[gate.Check] = field(default_factory=list)
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
    challenger, scores = gate.pick([o.evidence() for o in asked], able)
    if challenger is None and TUNED in able:
        challenger = TUNED
        notes.append(
            "There are no validation queries to select by, so the fine-tuned encoder is the challenger "
            "without a selection."
        )
    failed = [f"{c.title} could not be judged: {errors[c.name]}" for c in candidates if c.name in errors]
    if failed:
        verdict = gate.Verdict(accepted=False, reasons=failed)
    elif challenger == reference:
        best = (
            f"The zero-shot base has the best score on validation, {scores[reference]:.4f}: nothing beats it."
        )
        verdict = gate.Verdict(accepted=False, reasons=[best])
    else:
        verdict = gate.decide(
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
        if queries >= gate_config.judged_queries and groups >= gate_config.min_components:
            named.append(o.task.config.name)
        else:
            notes.append(
                f"{o.task.config.title}: {queries} held-out products in {groups} independent groups are "
                f"judged; from {gate_config.judged_queries} in {gate_config.min_components} they take part "
                "in the decision."
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
