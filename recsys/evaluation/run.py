"""The evaluation stage's door: judge the candidates of a night and decide which encoder serves.

``run`` writes one artifact of kind ``evaluations`` with ``evaluation.json``; ``judge`` the same for one
encoder without a gate. Every figure lies in 0 to 1, every ``low``/``high`` is a bootstrap interval.

    {
      "version": 1,
      "snapshot": "snapshots/…", "splits": "splits/…" or null, "confidence": 0.95,
      "image_weight": 0.5,                        of fused tasks and of the examples
      "reference": "champion",                    the candidate to beat: champion, or base on the first night
      "challenger": "wise-0.5",                  picked on the validation split; may be base or tuned
      "decision": "promote" or "keep",            keep: the champion stays (judge: null)
      "chosen": {"name": "champion", "ref": "encoders/…"},
      "reasons": ["…"],                           sentences, the decisive one first
      "notes": ["…"],                             what was sampled, skipped or left out
      "gate": {                                   null where nothing could be compared
        "tasks": ["variants", "category", "words"],  their main metrics' mean is the gate score; judgements
                                                  weigh less as long as they are fewer
        "checks": [{"name": "overall", "kind": "overall" | "task" | "category", "num_queries": 812,
                    "difference": 0.02, "low": 0.01, "high": 0.03, "limit": -0.005, "passed": true}],
      },
      "candidates": [{                            champion (if any), base, tuned, wise-<alpha> …
        "name": "tuned", "title": "Fine-tuned tonight", "ref": "encoders/…" or null, "alpha": null,
        "error": null or "why it could not be judged",
        "validation_score": 0.41 or null,         gate score on validation: by this the challenger is picked
        "score": {"value": 0.40, "low": 0.38, "high": 0.42} or null,   gate score on the judged queries
        "duration_s": 12.3}],
      "tasks": [{
        "name": "variants", "title": "…", "kind": "item" | "text_to_image",
        "modality": "image" | "text" | "fused", "image_weight": 0.5 or null, "gate": true,
        "metrics": ["map@r", …], "main_metric": "map@r", "by": "product_type" or null,
        "num_queries": 812, "num_components": 400, "num_without_answer": 31, "num_gallery": 6000,
        "figures": {"tuned": {"map@r": {"value": 0.40, "low": 0.38, "high": 0.42}, …}, …},
        "differences": {"tuned": {"map@r": {"difference": 0.02, "low": 0.01, "high": 0.03}, …}, …},
                                                  to the reference; the reference itself is not in it
        "categories": [{"name": "Shoes", "num_queries": 40, "figures": {"tuned": 0.44, …}}]}],
                                                  main metric, most queries first
      "examples": [{
        "id": "P0012", "category": "Shoes" or null, "why": "lost most" | "gained most" | "typical",
        "change": 0.2 or null,                    of the first gating task's main metric for this product
        "neighbours": {"reference": [{"id": "P0099", "score": 0.91, "image_score": 0.95,
                                      "text_score": 0.87, "relevant": true}], "challenger": […]}}]
    }

``relevant`` of a neighbour is by the first gating item task. Where no challenger could be picked,
``challenger`` is null and ``neighbours`` has ``reference`` only. A task that no candidate could be judged
on has empty ``figures``.
"""

import json
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
from recsys.workspace.judgements import telling
from recsys.workspace.pairs import digest
from recsys.workspace.splits import HOLDOUT, VALIDATION
from recsys.workspace.splits import KIND as SPLITS

logger = logging.getLogger(__name__)

KIND = "evaluations"
FIGURES_KIND = "figures"
FILE = "evaluation.json"
_CODE = 2
"""Goes into the ids: raise it when the same inputs would give other figures."""


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
    judgements_ref = telling(workspace, judgements_ref)
    if judgements_ref:
        inputs["judgements"] = judgements_ref
    id = _id(config, inputs)
    existing = workspace.find(KIND, id)
    if existing is not None:
        logger.info("evaluation %s is there already: %s", id, existing.info["decision"])
        return existing
    candidates = candidates_of(challenger, champion_ref, config.evaluation.alphas)
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
        _write(draft.path / FILE, record)
        draft.info |= {
            key: record[key] for key in ("decision", "reasons", "reference", "challenger", "notes")
        }
        draft.info["chosen"] = record["chosen"]["ref"]
        draft.info["scores"] = {c["name"]: c["score"] for c in record["candidates"]}
        draft.info["figures"] = _main_figures(record)
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
        _write(draft.path / FILE, record)
        draft.info |= {"figures": _main_figures(record), "notes": record["notes"]}
        draft.info["duration_s"] = time.monotonic() - started
    workspace.drop_scratch(FIGURES_KIND, id)
    return draft.committed()


def _main_figures(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return task → candidate → main metric with its interval."""
    return {
        task["name"]: {c: figures[task["main_metric"]] for c, figures in task["figures"].items()}
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
    only_judged = {} if "judgements" in inputs else {"gate": {"judged_queries"}}
    settings = config.evaluation.model_dump(mode="json", exclude=only_judged)
    return content_id(
        {"code": _CODE, "inputs": dict(inputs), "settings": settings, "seed": config.seed, "pairs": files}
    )


def _write(path: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
