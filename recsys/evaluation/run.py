"""The evaluation stage's door: evaluate the candidates of a night and decide which encoder serves."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.evaluation.candidates import Candidate, candidates_of, save
from recsys.evaluation.evaluator import hold
from recsys.evaluation.gate import decide, reason_to_change
from recsys.evaluation.record import record_of
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.evaluations import KIND, write_evaluation
from recsys.workspace.judgements import nonempty
from recsys.workspace.pairs import digest
from recsys.workspace.splits import HOLDOUT, VALIDATION
from recsys.workspace.splits import KIND as SPLITS

logger = logging.getLogger(__name__)

FIGURES_KIND = "figures"
_CODE = 3
"""Part of the id: raise it when the same inputs would give another record."""


def run(
    config: Config,
    workspace: Workspace,
    snapshot_ref: str,
    challenger_ref: str,
    champion_ref: str | None = None,
    judgements_ref: str | None = None,
) -> Manifest:
    """Judge tonight's candidates and decide; return the ``evaluations`` artifact.

    Of the judgements ``judgements_ref``, those of a held-out product are one more task.
    ``info`` has ``chosen`` (ref of the encoder that serves from now on), ``decision``, ``reasons``,
    ``reference``, ``challenger``, ``scores``, ``notes`` and ``duration_s``. A chosen interpolation is saved
    as an artifact first. Without a champion the best candidate enters service, at the least the base.
    Idempotent; after a kill it goes on with the candidates that are not yet embedded.
    """
    started = time.monotonic()
    challenger = workspace.get(challenger_ref)
    inputs = {"snapshot": snapshot_ref, "challenger": challenger_ref}
    inputs |= {role: challenger.inputs[role] for role in ("base", "splits") if role in challenger.inputs}
    if champion_ref:
        inputs["champion"] = champion_ref
    judgements_ref = nonempty(workspace, judgements_ref)
    if judgements_ref:
        inputs["judgements"] = judgements_ref
    id = _id(config, inputs)
    existing = workspace.find(KIND, id)
    if existing is not None:
        logger.info("evaluation %s is there already: %s", id, existing.info["decision"])
        return existing
    candidates = candidates_of(challenger, champion_ref, config.evaluation.wise_ft_alphas)
    trial = hold(config, workspace, inputs, candidates, workspace.scratch(KIND, id), (VALIDATION, HOLDOUT))
    decision = decide(
        config, candidates, trial.errors, trial.court.judge(VALIDATION, gating_only=True), trial.outcomes,
        {c.name: reason_to_change(config, workspace, snapshot_ref, champion_ref, c) for c in candidates},
    )  # fmt: skip
    if decision.reference in trial.failures and not champion_ref:
        raise trial.failures[decision.reference]
    if decision.action == "promote":
        save(workspace, next(c for c in candidates if c.name == decision.chosen), inputs.get("splits"))
    record = record_of(config, inputs, trial, decision)
    with workspace.create(KIND, id, inputs=inputs) as draft:
        write_evaluation(draft.path, record)
        draft.info |= {
            key: record[key] for key in ("decision", "reasons", "reference", "challenger", "notes")
        }
        draft.info["chosen"] = record["chosen"]["ref"]
        draft.info["gate_scores"] = {c["name"]: c["gate_score"] for c in record["candidates"]}
        draft.info["scores"] = _main_scores(record)
        draft.info["duration_s"] = time.monotonic() - started
    workspace.drop_scratch(KIND, id)
    logger.info("%s %s: %s", decision.action, record["chosen"]["ref"], decision.reasons[0])
    return draft.committed()


def judge(
    config: Config, workspace: Workspace, snapshot_ref: str, encoder_ref: str, splits_ref: str | None = None
) -> Manifest:
    """Return every task's figures for one encoder, without a gate: an artifact of kind ``figures``.

    Its ``evaluation.json`` has the shape above with one candidate, ``encoder``. Held-out queries are those
    of ``splits_ref``, by default of the split that the encoder was trained with or, for a base, of the
    latest split of the snapshot.
    """
    started = time.monotonic()
    encoder = workspace.get(encoder_ref)
    splits_ref = splits_ref or _splits_of(workspace, encoder, snapshot_ref)
    inputs = {"snapshot": snapshot_ref, "encoder": encoder_ref} | (
        {"splits": splits_ref} if splits_ref else {}
    )
    id = _id(config, inputs)
    existing = workspace.find(FIGURES_KIND, id)
    if existing is not None:
        return existing
    candidate = Candidate(name="encoder", title=encoder.id, ref=encoder_ref)
    trial = hold(config, workspace, inputs, [candidate], workspace.scratch(FIGURES_KIND, id), (HOLDOUT,))
    if trial.failures:
        raise trial.failures["encoder"]
    record = record_of(config, inputs, trial, None)
    with workspace.create(FIGURES_KIND, id, inputs=inputs) as draft:
        write_evaluation(draft.path, record)
        draft.info |= {"scores": _main_scores(record), "notes": record["notes"]}
        draft.info["duration_s"] = time.monotonic() - started
    workspace.drop_scratch(FIGURES_KIND, id)
    return draft.committed()


def _main_scores(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return task → candidate → main metric with its interval."""
    return {
        task["name"]: {c: scores[task["main_metric"]] for c, scores in task["scores"].items()}
        | {"metric": task["main_metric"], "num_queries": task["num_queries"]}
        for task in record["tasks"]
    }


def _splits_of(workspace: Workspace, encoder: Manifest, snapshot_ref: str) -> str | None:
    """Return the split the encoder was made with, or else the snapshot's latest, or ``None``."""
    own = encoder.inputs.get("splits")
    if own is not None and encoder.inputs.get("snapshot", snapshot_ref) == snapshot_ref:
        return own
    made = [m.ref for m in workspace.list(SPLITS) if m.inputs.get("snapshot") == snapshot_ref]
    return made[-1] if made else None


def _id(config: Config, inputs: Mapping[str, str]) -> str:
    files = {
        t.pairs: digest(Path(config.resolve(t.pairs)), "evaluation.tasks.pairs")
        for t in config.evaluation.tasks
        if t.pairs
    }
    only_judged = {} if "judgements" in inputs else {"gate": {"min_judged_queries"}}
    settings = config.evaluation.model_dump(mode="json", exclude=only_judged)
    return content_id(
        {"code": _CODE, "inputs": dict(inputs), "settings": settings, "seed": config.seed, "pairs": files}
    )
