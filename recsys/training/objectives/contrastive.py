"""Contrastive losses: CLIP's between image and text, and one on judged pairs."""

from typing import Literal

import torch
from torch import Tensor

from recsys.config.training import ObjectiveConfig
from recsys.errors import ConfigError
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register


@register("clip")
class Clip(Objective):
    """CLIP's symmetric contrastive loss, image to text and text to image, with several positives.

        loss_i = -1/|P_i| * sum over p in P_i of log( exp(s_ip) / sum over j not in I_i of exp(s_ij) )

    for image i against all texts, and likewise for text i against all images; s is the scaled cosine. P_i
    are the texts of the same product and equal texts; I_i is ignored: variants and duplicates of the product
    and what was judged similar to it, neither positives nor fair negatives. With unique positives this is
    CLIP's loss (Radford et al. 2021, figure 3); several positives as in supervised contrastive learning
    (Khosla et al. 2020, equation 2).
    """

    def __init__(
        self, config: ObjectiveConfig, context: ObjectiveContext, *,
        variants: Literal["ignore", "positive"] = "ignore",
    ) -> None:  # fmt: skip
        """``variants``: what another product of the same component is, ignored or a positive."""
        super().__init__(config)
        if variants not in ("ignore", "positive"):
            raise ConfigError(f"clip has variants = {variants!r}.", fix='Use "ignore" or "positive".')
        self._variants = variants

    @classmethod
    def reads(cls, config: ObjectiveConfig) -> set[str]:
        """Return both, whatever ``vector`` says."""
        return {"image", "text"}

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the mean of both directions over the R products that have both modalities."""
        rows = (batch.has_image & batch.has_text).nonzero().flatten()
        if len(rows) < 2:
            return None
        products, codes, components = batch.products[rows], batch.text_codes[rows], batch.components[rows]
        positive = (products[:, None] == products) | (codes[:, None] == codes)  # [R, R]
        related = (components[:, None] == components) | (batch.judged[rows][:, rows] > 0)
        if self._variants == "positive":
            positive = positive | related
        ignored = related & ~positive
        logits = batch.logit_scale * batch.image[rows] @ batch.text[rows].T
        losses = [_cross_entropy(s, positive, ignored) for s in (logits, logits.T)]
        return (losses[0] + losses[1]) / 2


def _cross_entropy(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Return the mean over rows of the multi-positive cross entropy of ``logits`` ``[R, R]``."""
    log_p = logits.masked_fill(ignored, -torch.inf).log_softmax(dim=1)
    return -(log_p.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()


@register("pairs")
class JudgedPairs(Objective):
    """Weighted contrastive loss on judged pairs (Hadsell, Chopra and LeCun 2006, on cosine distance).

    A pair judged similar costs the part of 1 - cos beyond ``positive_margin``, a pair judged not similar
    the part of its cosine beyond ``negative_margin``; both squared and weighted by the judgement.
    """

    def __init__(
        self, config: ObjectiveConfig, context: ObjectiveContext, *,
        positive_margin: float = 0.0, negative_margin: float = 0.5,
    ) -> None:  # fmt: skip
        """Distances below ``positive_margin`` and cosines below ``negative_margin`` cost nothing."""
        super().__init__(config)
        self._positive_margin, self._negative_margin = positive_margin, negative_margin

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the weighted mean cost of the pairs that are both in the batch."""
        vectors, present = batch.vectors(self.config.vector)
        judged = torch.triu(batch.judged, diagonal=1)
        left, right = (judged.ne(0) & present[:, None] & present).nonzero(as_tuple=True)
        if not len(left):
            return None
        weight = judged[left, right]
        cosine = (vectors[left] * vectors[right]).sum(dim=1)
        too_far = (1 - cosine - self._positive_margin).relu()
        too_close = (cosine - self._negative_margin).relu()
        cost = torch.where(weight > 0, too_far, too_close).square()
        return (cost * weight.abs()).sum() / weight.abs().sum()
