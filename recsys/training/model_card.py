"""The model card of an encoder: what it was trained on, how, what came of it, what it is for.

Follows the headings of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

import json
from typing import Any

from recsys.config import Config


def model_card(config: Config, info: dict[str, Any], inputs: dict[str, str]) -> str:
    """Return the card as Markdown, from the artifact's ``info`` and ``inputs``."""
    image, text = config.encoder.image, config.encoder.text
    fit = info.get("fit") or {}
    validation = config.training.validation
    vectors = "each way to ask" if validation.vector == "auto" else f"the {validation.vector} vector"
    scores = [e for e in fit.get("epochs", []) if e["metric"] is not None]
    trained = ""
    if image.is_frozen:
        trained = " (late stages trained)" if info["late_stages"] else " (not trained)"
    lines = [
        f"# Product encoder of {config.name}",
        "",
        "## Model",
        "",
        f"- image tower: {image.kind} {image.name}".rstrip() + trained,
        f"- text tower: {text.kind} {text.name}" + (" (not trained)" if text.is_frozen else ""),
        f"- shared space: {config.encoder.dim} dimensions, unit norm; a product is [image, text] / sqrt(2)",
        f"- begins with: {inputs['initial']}",
        "",
        "## Intended use",
        "",
        "Similar products within this catalog, and search of it by words or a photograph. It is not meant",
        "for other catalogs without an evaluation on them, nor for any decision about people in the images.",
        "",
        "## Training data",
        "",
        f"- catalog snapshot: {inputs.get('snapshot')}, split: {inputs.get('splits')}",
        *[f"- {split}: {count} products" for split, count in info["counts"]["splits"].items()],
        *[
            f"- label {name}: {c['products']} products in {c['classes']} classes, "
            f"{c['classes_with_positives']} of them with positives"
            for name, c in info["counts"]["supervision"]["labels"].items()
        ],
        f"- judged and linked pairs: {json.dumps(info['counts']['supervision']['pairs'])}",
        "",
        "## Training",
        "",
    ]
    if not fit:
        return "\n".join([*lines, f"None: {info['reason']}", ""])
    lines += [
        *[
            f"- objective: {term.kind} x {term.weight} on {term.vector}"
            + (f", {term.loss.name} on label {term.label}" if term.loss else "")
            for term in config.training.terms
        ],
        f"- {fit['steps']} steps of {config.training.sampler.batch_size} items"
        f" in {fit['seconds']} s on {fit['device']}",
        "",
        "## Validation",
        "",
        f"{validation.metric} by {vectors}, relevance by {info['validation_label']}, on",
        "products that were neither trained on nor held out. The gate's scores, on held-out products, are",
        "in the evaluation artifact.",
        "",
        "| epoch | steps | score |",
        "|---|---|---|",
        *[f"| {e['epoch']} | {e['step']} | {e['metric']:.4f} |" for e in scores],
        "",
        f"Kept: epoch {fit['kept_epoch']}. Epoch 0 is the encoder that training began with.",
        "",
    ]
    return "\n".join(lines)
