"""The model card of the sample tower, and what its weights say of themselves.

Follows the headings of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

import json

from examples.sample_shop.pretraining import held_out
from examples.sample_shop.pretraining.fit import Stage
from examples.sample_shop.pretraining.other_shops import PRODUCTS_PER_SHOP, VARIANTS, digest_of, shapes
from examples.sample_shop.pretraining.training_set import ATTRIBUTES, SIDE, VIEWS, TrainingSet
from examples.sample_shop.run import VERSION

Scores = dict[str, float]


def metadata(seeds: range) -> dict[str, str]:
    """Return what the file of weights says it was trained on, as strings: safetensors holds no others."""
    return {
        "format": "pt",
        "licence": "Apache-2.0",
        "seeds": json.dumps(list(seeds)),
        "shapes": digest_of(shapes(seeds)),
        "version of the drawing": str(VERSION),
    }


def model_card(
    data: TrainingSet, seeds: range, stages: dict[str, Stage], how: str, scores: dict[str, Scores]
) -> str:
    """Return the card as Markdown. ``how`` says what it ran on, ``scores`` each tower's by its name."""
    names = list(next(iter(scores.values())))
    designs = len(set(data.labels["design"].tolist()))
    lines = [
        "# The sample tower",
        "",
        'A small image tower to begin with: `[encoder.image] kind = "small", pretrained = "sample"`. Its',
        f"{data.texts.shape[1]} features lie in the space of the MiniLM that reads the texts. Made by",
        "`python -m examples.sample_shop.pretraining`. Licence: Apache-2.0, as the code.",
        "",
        "## Intended use",
        "",
        "`make demo`, and other shops that examples/sample_shop draws. It has never seen a photograph: for",
        "those of a real shop take a tower that has.",
        "",
        "## Training data",
        "",
        f"- {len(data.images):,} images, {SIDE} pixels a side, of {designs:,} designs: {VARIANTS} variants",
        f"  of each, {VIEWS} views of each variant",
        f"- the designs of the first {PRODUCTS_PER_SHOP} products of seeds {seeds[0]} to {seeds[-1]};",
        "  the demo's shop is seed 0 and shares no shape with them",
        "- half of the designs are in other materials and colours than their brand would choose, the palette",
        "  drifts by product, half of the views have any light, background, distance and viewpoint",
        "- words: title, brand, colour, material, pattern and description, as the encoder reads them; of",
        "  every third product the title alone",
        "",
        "## Training",
        "",
        "- terms: design, type: supervised contrastive; words: CLIP's loss, the text tower frozen;",
        f"  attributes: classifiers of {', '.join(ATTRIBUTES)}",
        *[line for name, stage in stages.items() for line in _described(name, stage)],
        f"- {how}",
        "",
        "## Scores",
        "",
        f"Means over the shops of seeds {held_out.SEEDS[0]} to {held_out.SEEDS[-1]}, "
        f"{held_out.NUM_PRODUCTS} products each, on which nothing was trained;",
        "by the cosine of the features, before any training on the shop itself.",
        "",
        f"| tower | {' | '.join(names)} |",
        "|---|" + "---|" * len(names),
        *[
            f"| {tower} | {' | '.join(f'{found[name]:.3f}' for name in names)} |"
            for tower, found in scores.items()
        ],
        "",
    ]
    return "\n".join(lines)


def _described(name: str, stage: Stage) -> list[str]:
    terms = ", ".join(f"{term} x {weight}" for term, weight in stage.weights.items())
    sizes = ", ".join(f"{size} pixels for {share:.0%} of them" for size, share in stage.sizes)
    return [
        f"- {name} stage: {stage.steps:,} steps, views of {sizes};",
        f"  {terms}; learning rate {stage.learning_rate:g}",
    ]
