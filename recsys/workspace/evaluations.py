"""``evaluation.json``, the record of a night's evaluation: written by evaluation, read by the report.

An artifact of kind ``evaluations`` with one file. Every score lies in 0 to 1; ``low`` and ``high`` are the
ends of a bootstrap interval.

    {
      "version": 3,
      "snapshot": "snapshots/…", "splits": "splits/…" or null, "confidence": 0.95,
      "image_weight": 0.5,                        of fused tasks and of the examples
      "reference": "champion",                    the candidate to beat: champion, or base on the first night
      "challenger": "wise-0.5" or null,           selected on the validation split; may be base or tuned
      "decision": "promote" or "keep",            keep: the champion stays
      "chosen": {"name": "champion", "ref": "encoders/…"},
      "reasons": ["…"],                           sentences, the decisive one first
      "notes": ["…"],                             what was sampled, skipped or left out
      "gate": {
        "tasks": ["variants", "category", "words"],  the gate score is the mean of their main metrics;
                                                  judgements weigh less as long as they are fewer
        "times_asked": 12,                        how often this holdout decided before
        "power": {"num_products": 812, "num_components": 400,   null where nothing was compared
                  "detectable": 0.021,            the gain that is promoted four times in five
                  "components_for_a_point": 1764},  to show 0.01 as often
        "checks": [{"name": "overall", "kind": "overall" | "task" | "category" | "fallen",
                    "task": "variants" or null,
                    "against": "champion" | "base" | "untouched" | "anchor",
                    "num_products": 812, "num_components": 400,
                    "difference": 0.02, "low": 0.01, "high": 0.03, "limit": -0.005, "passed": true}],
      },                                          overall: low above the limit; task: difference at least
                                                  the limit; category: a gain, or low at least it
                                                  (small ones count together); fallen: never passed
      "candidates": [{                            champion, base, untouched, anchor, wise-<alpha> …, tuned;
                                                  without those that there are none of
        "name": "tuned", "title": "Fine-tuned tonight", "ref": "encoders/…",
        "alphas": null or [0.5, 0.25],            how far an interpolation's images and texts go
        "error": null or "why it could not be evaluated",
        "validation_score": 0.41 or null,         gate score on validation, which selects the challenger
        "gate_score": {"value": 0.40, "low": 0.38, "high": 0.42} or null,   on the holdout
        "duration_s": 12.3 or null}],
      "tasks": [{                                 on the holdout
        "name": "variants", "title": "…", "kind": "item" | "text_to_image",
        "modality": "image" | "text" | "fused", "image_weight": 0.5 or null, "gate": true,
        "metrics": ["map@r", …], "main_metric": "map@r", "breakdown_by": "product_type" or null,
        "num_queries": 812, "num_components": 400, "num_without_relevant": 31, "num_gallery": 6000,
        "scores": {"tuned": {"map@r": {"value": 0.40, "low": 0.38, "high": 0.42}, …}, …},
        "differences": {"tuned": {"map@r": {"difference": 0.02, "low": 0.01, "high": 0.03}, …}, …},
                                                  to the reference, which has no entry itself
        "label_in_text": 0.8 or null,             share of the queries whose text names their label
        "only_guards": true,                      so often that a gain says nothing; a loss counts if it gates
        "baselines": {"bag_of_words": {"value": 0.6, "low": …, "high": …}, "pixels": …, "image_alone": …,
                      "text_alone": …},           main metric of cheap tricks, those that fit the task
        "categories": [{"name": "Shoes", "num_queries": 40, "scores": {"tuned": 0.44, …}}]}],
                                                  main metric, most queries first
      "examples": [{
        "id": "P0012", "category": "Shoes" or null, "why": "lost most" | "gained most" | "typical",
        "change": 0.2 or null,                    of the first gating task's main metric for this product
        "neighbours": {"reference": [{"id": "P0099", "score": 0.91, "image_score": 0.95,
                                      "text_score": 0.87, "relevant": true}], "challenger": […]}}]
    }

``relevant`` of a neighbour is by the first gating item task. Where no challenger could be selected,
``challenger`` is null and ``neighbours`` has ``reference`` only. A task without queries has empty ``scores``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.errors import ArtifactError
from recsys.workspace.store import Manifest, Workspace

KIND = "evaluations"
FILE = "evaluation.json"
VERSION = 3


def write_evaluation(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``evaluation.json`` into ``folder``; :data:`VERSION` is added to ``record``."""
    text = json.dumps({"version": VERSION, **record}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_evaluation(workspace: Workspace, manifest: Manifest) -> dict[str, Any]:
    """Return ``evaluation.json``; raises :class:`ArtifactError` for one of another version."""
    record: dict[str, Any] = json.loads((workspace.path(manifest) / FILE).read_text(encoding="utf-8"))
    if record.get("version") != VERSION:
        raise ArtifactError(
            f"{manifest.ref} has version {record.get('version')}; this release reads version {VERSION}.",
            fix="Evaluate again: `recsys evaluate`.",
        )
    return record
