"""The recipe: what the config leaves open of a training, decided from what is seen of the catalog.

It is one recipe for every catalog. docs/recipe.md has the measurements behind each choice.
"""

from typing import NamedTuple

from recsys.config.encoder import TowerConfig
from recsys.config.supervision import LabelConfig
from recsys.config.training import BUILT_IN_LABELS, NamedConfig, ObjectiveConfig, TrainingConfig
from recsys.encoder.model import ProductEncoder
from recsys.training.data import TrainingItems
from recsys.training.preflight import has_positives
from recsys.training.supervision import LINKS, Int, Supervision

_VALIDATIONS = 10
_MIN_STEPS = 100
_PROJECTIONS = ((40, 2000),)
_TOWERS = ((40, 300), (20, 1000))
"""Epochs and the most steps they may take; the longest of several counts. A tower takes fewer: a step of it
costs more, and a small catalog teaches it little in more of them."""
_LATE_STAGES_LR, _TOWER_LR = 3e-4, 1e-4
_LOSS = NamedConfig(name="SupConLoss", params={"temperature": 0.1})
_WORDS_WEIGHT = 0.25


class Choice(NamedTuple):
    """One setting that the recipe chose, and why."""

    setting: str
    value: str
    because: str


def decide(
    config: TrainingConfig,
    encoder: ProductEncoder,
    items: TrainingItems,
    supervision: Supervision,
    trained: Int,
) -> tuple[TrainingConfig, list[Choice]]:
    """Return the config with nothing left open, and what was decided.

    ``trained`` are the rows of the snapshot that are trained on. What the config sets stays as it is.
    """
    update: dict[str, object] = {}
    decisions = []
    if config.objectives is None:
        terms, decision = _objectives(config, items, supervision, trained)
        update["objectives"] = terms
        decisions.append(decision)
        if "group" not in config.labels and any(term.label == "group" for term in terms):
            update["labels"] = config.labels | {"group": LabelConfig()}
    if config.max_epochs is None:
        steps, decision = _steps(config, encoder, items, trained)
        epochs = min(_VALIDATIONS, steps)
        update |= {"max_epochs": epochs, "epoch_steps": -(-steps // epochs)}
        decisions.append(decision)
    towers: tuple[tuple[str, TowerConfig, bool], ...] = (
        ("image", encoder.config.image, bool(items.sha256)), ("text", encoder.config.text, bool(items.texts)),
    )  # fmt: skip
    for name, tower, is_needed in towers:
        if tower.frozen is None and is_needed:
            why = "its weights are pretrained." if tower.is_pretrained else "its weights start at random."
            decisions.append(Choice(f"encoder.{name}.frozen", str(tower.is_frozen).lower(), why))
    if encoder.config.text.lexical_share is None and encoder.lexical.dim and items.texts:
        why = "words and parts of words tell apart the models, sizes and names that a language model blurs."
        decisions.append(Choice("encoder.text.lexical_share", f"{encoder.config.lexical_share:g}", why))
    late = encoder.image_tower.late_stages if items.sha256 else 0
    if late and encoder.config.image.late_stages is None:
        why = "the last stages learn from what the earlier ones say, which is computed once."
        decisions.append(Choice("encoder.image.late_stages", str(late), why))
    if config.optimizer.backbone_lr is None:
        rate = _LATE_STAGES_LR if late else _TOWER_LR
        update["optimizer"] = config.optimizer.model_copy(update={"backbone_lr": rate})
        if late or any(tower.is_pretrained and not tower.is_frozen for _, tower, _ in towers):
            why = f"it is that of {'late stages' if late else 'a tower that is trained whole'}."
            decisions.append(Choice("training.optimizer.backbone_lr", f"{rate:g}", why))
    return config.model_copy(update=update), decisions


def _objectives(
    config: TrainingConfig, items: TrainingItems, supervision: Supervision, trained: Int
) -> tuple[tuple[ObjectiveConfig, ...], Choice]:
    """Return one term per label level and kind of vector that has positives, one for links, one for words."""
    levels = [name for name in config.labels if name not in BUILT_IN_LABELS]
    wanted = [
        ObjectiveConfig(kind="metric", vector=vector, label=level, loss=_LOSS)
        for level in (*levels, "group", *([LINKS] if config.links or config.pairs else ()))
        for vector in ("image", "text")
    ]
    wanted.append(ObjectiveConfig(kind="clip", weight=_WORDS_WEIGHT))
    terms = tuple(term for term in wanted if has_positives(term, items, supervision, trained))
    named = [f"{term.vector}s of one {term.label}" if term.loss else "words and images" for term in terms]
    return terms, Choice(
        "training.objectives",
        ", ".join(named) or "none",
        "each has training products to bring together.",
    )


def _steps(
    config: TrainingConfig, encoder: ProductEncoder, items: TrainingItems, trained: Int
) -> tuple[int, Choice]:
    """Return how many steps the training takes."""
    count = int(items.num_images[trained].clip(min=1).sum())
    size = config.sampler.batch_size
    image, text = encoder.config.image, encoder.config.text
    is_image_trained = encoder.image_tower.late_stages or not image.is_frozen
    is_trained = (items.sha256 and is_image_trained) or (items.texts and not text.is_frozen)
    plans = _TOWERS if is_trained else _PROJECTIONS
    steps = max(_MIN_STEPS, *(min(-(-epochs * count // size), most) for epochs, most in plans))
    why = f"{steps * size / count:.0f} times through {count:,} images and texts in batches of {size}."
    return steps, Choice("training steps", f"{steps:,}", why)
