"""Settings of the training stage: supervision, split, objective, optimiser, budget."""

from recsys.config.base import Section


class TrainingConfig(Section):
    """How the encoder is fine-tuned."""
