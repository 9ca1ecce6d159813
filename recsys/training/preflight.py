"""Says, before anything is trained, whether there is anything to learn from."""

import numpy as np

from recsys.config.training import ObjectiveConfig, TrainingConfig
from recsys.encoder.model import ProductEncoder
from recsys.training.data import TrainingItems
from recsys.training.supervision import LINKS, Int, Supervision
from recsys.training.weights import trainable_weights


def reason_not_to_train(
    config: TrainingConfig,
    encoder: ProductEncoder,
    items: TrainingItems,
    supervision: Supervision,
    trained: Int,
) -> str | None:
    """Return why nothing can be trained and what to change, as a sentence; ``None`` if something can."""
    if config.max_epochs == 0:
        return "max_epochs is 0: training is switched off."
    if len(trained) < 2:
        return f"the split leaves {len(trained)} training products; check training.split."
    if not trainable_weights(encoder):
        return (
            "every part of the encoder is frozen; "
            "set trained = true for a projection or frozen = false for a tower."
        )
    if not any(has_positives(term, items, supervision, trained) for term in config.terms):
        return (
            "no objective has a positive to learn from: no label class and no judged pair holds two training "
            "products, and no product has both an image and a text. Name a label column in training.labels, "
            "give item_group_id, or give judged pairs."
        )
    return None


def has_positives(
    term: ObjectiveConfig, items: TrainingItems, supervision: Supervision, trained: Int
) -> bool:
    """Return whether a term of the loss finds two training products, or images, to bring together."""
    has_image, has_text = items.num_images[trained] > 0, items.text_codes[trained] >= 0
    if term.kind in ("clip", "siglip"):
        return len(np.unique(items.components[trained[has_image & has_text]])) > 1
    if term.kind == "pairs" or term.label == LINKS:
        return len(supervision.pairs.left) > 0
    if term.kind != "metric":
        return True
    present = {"image": has_image, "text": has_text}.get(term.vector, has_image | has_text)
    codes = supervision.labels[term.label][trained[present]]
    counts = np.unique(codes[codes >= 0], return_counts=True)[1]
    several_images = term.label in ("product", "group") and items.num_images[trained].max(initial=0) > 1
    return len(counts) > 1 and (bool((counts > 1).any()) or bool(several_images))
