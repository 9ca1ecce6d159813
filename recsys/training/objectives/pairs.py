"""Weighted contrastive loss on judged pairs (Hadsell, Chopra and LeCun 2006, on cosine distance).

A pair judged similar costs its distance 1 - cos beyond ``positive_margin``, one judged not similar what
its cosine exceeds ``negative_margin`` by; both squared, weighted by the judgement.

Does not know: who judged.
"""

import torch
from torch import Tensor

from recsys.config.training import ObjectiveConfig
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register


@register("pairs")
class JudgedPairs(Objective):
    """Pulls together and pushes apart exactly the pairs that were judged."""

    def __init__(
        self,
        config: ObjectiveConfig,
        context: ObjectiveContext,
        *,
        positive_margin: float = 0.0,
        negative_margin: float = 0.5,
    ) -> None:
        """Distances below ``positive_margin`` and cosines below ``negative_margin`` cost nothing."""
        super().__init__(config)
        self.positive_margin, self.negative_margin = positive_margin, negative_margin

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the weighted mean cost of the pairs whose products are both in the batch."""
        vectors, present = batch.vectors(self.config.vector)
        judged = torch.triu(batch.judged, diagonal=1)
        left, right = (judged.ne(0) & present[:, None] & present).nonzero(as_tuple=True)
        if not len(left):
            return None
        weight = judged[left, right]
        cosine = (vectors[left] * vectors[right]).sum(dim=1)
        apart = (1 - cosine - self.positive_margin).relu()
        close = (cosine - self.negative_margin).relu()
        cost = torch.where(weight > 0, apart, close).square()
        return (cost * weight.abs()).sum() / weight.abs().sum()
