"""The terms of the loss, behind one seam: seam.py says what a term is given and how to add one.

    clip      symmetric contrastive loss between image and text, multi-positive
    metric    any loss of pytorch-metric-learning with its miner, on a label level or on linked pairs
    pairs     weighted contrastive loss on judged pairs
    distill   stay near the vectors of the encoder that training began with
    l2sp      stay near its weights

Does not know: the encoder's insides, the optimiser.
"""

from recsys.training.objectives import clip, metric, pairs, regularization  # noqa: F401  (each registers its kinds)
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
