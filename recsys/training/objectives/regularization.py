"""Terms against forgetting: stay near the vectors, or the weights, that training began with."""

import torch
from torch import Tensor

from recsys.config.training import ObjectiveConfig
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register


@register("distill")
class Distill(Objective):
    """Feature distillation: 1 - cos between a vector and the one the initial encoder gives for it."""

    needs_base = True

    def __init__(self, config: ObjectiveConfig, context: ObjectiveContext) -> None:
        super().__init__(config)

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the mean over the products that have the vector."""
        vectors, present = batch.vectors(self.config.vector)
        if not present.any():
            return None
        return (1 - (vectors * batch.base_vectors(self.config.vector)).sum(dim=1))[present].mean()


@register("l2sp")
class StartingPoint(Objective):
    """L2-SP (Li, Grandvalet and Davoine 2018, eq. 3): half the squared distance from pretrained weights."""

    def __init__(self, config: ObjectiveConfig, context: ObjectiveContext) -> None:
        super().__init__(config)
        self._weights = [context.trained[name] for name in sorted(context.pretrained & set(context.trained))]
        for i, weight in enumerate(self._weights):
            self.register_buffer(f"initial_{i}", weight.detach().clone(), persistent=False)

    @classmethod
    def reads(cls, config: ObjectiveConfig) -> set[str]:
        """Return nothing: it looks at weights."""
        return set()

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the sum over pretrained weights; it does not depend on the batch."""
        if not self._weights:
            return None
        parts = [(w - self.get_buffer(f"initial_{i}")).square().sum() for i, w in enumerate(self._weights)]
        return torch.stack(parts).sum() / 2
