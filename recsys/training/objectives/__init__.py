"""The terms of the loss: base.py says what a term is given and how to add one.

    contrastive  clip, siglip: image-text losses with several positives; pairs: on judged pairs
    metric       any loss of pytorch-metric-learning with its miner, on a label level or on linked pairs
    library      the library's classes by name: what each is built with, which are refused
    adapted      those of them that need something of a batch, or lose something, changed where they do

Does not know: the encoder's insides, the optimiser.
"""

from recsys.training.objectives import contrastive, metric  # noqa: F401  (each registers its kinds)
from recsys.training.objectives.base import (
    KINDS,
    EncodedBatch,
    Objective,
    ObjectiveContext,
    build,
    check_kind,
    register,
)

__all__ = ["KINDS", "EncodedBatch", "Objective", "ObjectiveContext", "build", "check_kind", "register"]
