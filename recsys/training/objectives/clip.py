"""CLIP's symmetric contrastive loss with multi-positive masks.

    loss_i = -1/|P_i| * sum over p in P_i of log( exp(s_ip) / sum over j not in I_i of exp(s_ij) )

for image i against all texts, and likewise for text i against all images; s is the scaled cosine. P_i are
the texts of the same product and equal texts; I_i what is neither positive nor a fair negative: variants
and duplicates of the product, and what was judged similar to it. Where every positive is unique this is
CLIP's loss (Radford et al. 2021, figure 3); several positives as in supervised contrastive learning
(Khosla et al. 2020, equation 2).

Does not know: where the vectors come from.
"""

from typing import Literal

import torch
from torch import Tensor

from recsys.config.training import ObjectiveConfig
from recsys.errors import ConfigError
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register


@register("clip")
class Clip(Objective):
    """Image to text and text to image within the batch."""

    def __init__(
        self,
        config: ObjectiveConfig,
        context: ObjectiveContext,
        *,
        variants: Literal["ignore", "positive"] = "ignore",
    ) -> None:
        """``variants``: what another product of the same component is, ignored or a positive."""
        super().__init__(config)
        if variants not in ("ignore", "positive"):
            raise ConfigError(f"clip has variants = {variants!r}.", fix='Use "ignore" or "positive".')
        self.variants = variants

    @classmethod
    def reads(cls, config: ObjectiveConfig) -> set[str]:
        """Return both, whatever ``vector`` says."""
        return {"image", "text"}

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the mean of both directions over the products that have both modalities."""
        rows = (batch.has_image & batch.has_text).nonzero().flatten()
        if len(rows) < 2:
            return None
        positive, ignored = masks(batch, rows, variants_are_positive=self.variants == "positive")
        logits = batch.logit_scale * batch.image[rows] @ batch.text[rows].T
        return (directed(logits, positive, ignored) + directed(logits.T, positive, ignored)) / 2


def masks(batch: EncodedBatch, rows: Tensor, *, variants_are_positive: bool) -> tuple[Tensor, Tensor]:
    """Return which pairs of ``rows`` ``[R]`` are positives, and which are left out: ``[R, R]`` bool."""
    products, components, codes = batch.products[rows], batch.components[rows], batch.text_codes[rows]
    positive = (products[:, None] == products) | (codes[:, None] == codes)
    related = (components[:, None] == components) | (batch.judged[rows][:, rows] > 0)
    if variants_are_positive:
        return positive | related, torch.zeros_like(positive)
    return positive, related & ~positive


def directed(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Return the mean over rows of the multi-positive cross entropy of ``logits`` ``[R, R]``."""
    log_p = logits.masked_fill(ignored, -torch.inf).log_softmax(dim=1)
    return -(log_p.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()
