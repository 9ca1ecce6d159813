"""The evaluation stage: evaluate the candidates of a night and decide which encoder serves.

:func:`run` finds the candidates, the evaluator scores them, the gate decides; the record of it all is an
artifact of kind ``evaluations``.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.evaluation.candidates import candidates_of, differs_from_untouched, reason_to_change, save
from recsys.evaluation.evaluator import Evaluator
from recsys.evaluation.gate import decide
from recsys.evaluation.record import record_of
from recsys.workspace import Manifest, Workspace, content_id, judgements
from recsys.workspace.evaluations import KIND, write_evaluation
from recsys.workspace.holds import hold_sentence, holds
from recsys.workspace.pairs import digest
from recsys.workspace.splits import HOLDOUT, VALIDATION, ids_of

logger = logging.getLogger(__name__)

_CODE = 11
"""Part of the id: raise it when the same inputs would give another record."""


def run(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    challenger_ref: str,
    champion_ref: str | None = None,
    judgements_ref: str | None = None,
) -> Manifest:
    """Evaluate tonight's candidates and decide; return the ``evaluations`` artifact.

    Of the judgements ``judgements_ref``, those of a held-out product are one more task.
    ``info`` has ``chosen`` (ref of the encoder that serves from now on), ``decision``, ``reasons``,
    ``reference``, ``challenger``, ``gate_scores``, ``scores``, ``notes``, ``times_asked`` (how often the
    holdout decided, tonight included), ``anchor`` (what losses add up against from now on: ``ref`` and
    ``since``, or null) and ``duration_s``. A chosen interpolation is saved as an artifact first. Without a
    champion the best candidate enters service, at the least the base; an encoder on hold never does.
    Idempotent; after a kill it goes on with the candidates that are not yet embedded.
    """
    started = time.monotonic()
    challenger = workspace.get(challenger_ref)
    inputs = {"snapshot": snapshot_ref, "challenger": challenger_ref}
    inputs |= {role: challenger.inputs[role] for role in ("base", "splits")}
    inputs |= {"champion": champion_ref} if champion_ref else {}
    judgements_ref = judgements.nonempty(workspace, judgements_ref)
    inputs |= {"judgements": judgements_ref} if judgements_ref else {}
    earlier = [
        evaluation
        for evaluation in workspace.list(KIND)
        if evaluation.order < challenger.order
        and "times_asked" in evaluation.info  # older ones did not count
    ]
    previous = next((e for e in reversed(earlier) if e.info["chosen"] == champion_ref), None)
    times_asked = _times_asked(workspace, earlier, inputs["splits"])
    inputs |= {"previous": previous.ref} if previous else {}
    night = datetime.fromisoformat(workspace.get(snapshot_ref).created_at)
    anchor = _anchor(workspace, previous, night, config.evaluation.gate.anchor_days)
    alphas, anchor_ref = config.evaluation.wise_ft_alphas, anchor["ref"] if anchor else None
    is_touched = differs_from_untouched(workspace, inputs["base"])
    candidates = candidates_of(challenger, champion_ref, alphas, anchor_ref, with_untouched=is_touched)
    on_hold = holds(workspace)
    held = {c.ref: hold_sentence(c.ref, on_hold[c.ref]) for c in candidates if c.ref in on_hold}
    id = _id(config, inputs, sorted(held), times_asked)
    existing = workspace.find_intact(KIND, id)
    if existing is not None:
        workspace.drop_scratch(KIND, id)
        logger.info("%s exists already: %s", existing.ref, existing.info["decision"])
        return existing
    evaluation = Evaluator(config, workspace, inputs, workspace.scratch(KIND, id)).evaluate(candidates)
    decision = decide(
        config, candidates, evaluation.errors, evaluation.results[VALIDATION], evaluation.results[HOLDOUT],
        {c.name: reason_to_change(config, workspace, snapshot_ref, champion_ref, c) for c in candidates},
        times_asked=times_asked, held=held,
    )  # fmt: skip
    if decision.reference in evaluation.failures and not champion_ref:
        raise evaluation.failures[decision.reference]
    if decision.action == "promote":
        save(workspace, next(c for c in candidates if c.name == decision.chosen), inputs["splits"])
    record = record_of(config, inputs, evaluation, decision, times_asked)
    with workspace.create(KIND, id, inputs=inputs) as draft:
        write_evaluation(draft.path, record)
        draft.info |= {
            key: record[key] for key in ("decision", "reasons", "reference", "challenger", "notes")
        }
        draft.info["chosen"] = record["chosen"]["ref"]
        draft.info["gate_scores"] = {c["name"]: c["gate_score"] for c in record["candidates"]}
        draft.info["scores"] = _main_scores(record)
        draft.info["times_asked"] = times_asked + bool(decision.result.checks)
        if decision.action == "promote":
            before = {"ref": champion_ref, "since": night.isoformat()} if champion_ref else None
            anchor = None if decision.result.no_loss_to_anchor else anchor or before
        draft.info["anchor"] = anchor
        draft.info["duration_s"] = time.monotonic() - started
    workspace.drop_scratch(KIND, id)
    logger.info("%s %s: %s", decision.action, record["chosen"]["ref"], decision.reasons[0])
    return draft.committed()


def _times_asked(workspace: Workspace, earlier: Sequence[Manifest], splits_ref: str) -> int:
    """Return how often the holdout of ``splits_ref`` decided, whoever served then and was promoted or not.

    It is the same holdout as long as a product of it stays; where the split of an ``earlier`` evaluation is
    gone, so that nobody can tell, it counts.
    """
    tonight = ids_of(workspace, splits_ref, HOLDOUT)

    def asked_it(evaluation: Manifest) -> bool:
        ref = evaluation.inputs.get("splits", "")
        return workspace.find_ref(ref) is None or not tonight.isdisjoint(ids_of(workspace, ref, HOLDOUT))

    most_first = sorted(earlier, key=lambda e: e.info["times_asked"], reverse=True)
    return next((int(e.info["times_asked"]) for e in most_first if asked_it(e)), 0)


def _anchor(
    workspace: Workspace, previous: Manifest | None, night: datetime, days: float
) -> dict[str, Any] | None:
    """Return what losses add up against, ``ref`` and ``since``; ``None``: the champion itself."""
    anchor: dict[str, Any] | None = previous.info["anchor"] if previous else None
    if anchor is None or workspace.find_ref(anchor["ref"]) is None:
        return None
    is_recent = night - datetime.fromisoformat(anchor["since"]) <= timedelta(days=days)
    return anchor if is_recent else None


def _id(config: Config, inputs: Mapping[str, str], held: list[str], times_asked: int) -> str:
    files = {
        t.pairs: digest(Path(config.resolve(t.pairs)), "evaluation.tasks.pairs")
        for t in config.evaluation.tasks
        if t.pairs
    }
    unused = {} if "judgements" in inputs else {"gate": {"min_judged_queries"}}
    settings = config.evaluation.model_dump(mode="json", exclude=unused)
    parts = {"code": _CODE, "inputs": dict(inputs), "settings": settings, "seed": config.seed, "pairs": files}
    return content_id(parts | {"times_asked": times_asked} | ({"held": held} if held else {}))


def _main_scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return task → candidate → main metric with its interval."""
    return {
        task["name"]: {c: scores[task["main_metric"]] for c, scores in task["scores"].items()}
        | {"metric": task["main_metric"], "num_queries": task["num_queries"]}
        for task in record["tasks"]
    }
