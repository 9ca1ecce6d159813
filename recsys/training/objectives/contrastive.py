"""Contrastive losses: CLIP's and SigLIP's between image and text, and one on judged pairs.

R = products of the batch that have both modalities
"""

from typing import Literal

import torch
from torch import Tensor, nn

from recsys.config.training import ObjectiveConfig
from recsys.errors import ConfigError
from recsys.training.objectives.base import EncodedBatch, Objective, ObjectiveContext, register


class _ImageText(Objective):
    """A loss between image and text with several positives.

    Positives of an image are the texts of the same product and equal texts. Ignored are variants and
    duplicates of the product and what was judged similar to it: neither positives nor fair negatives.
    """

    def __init__(
        self, config: ObjectiveConfig, context: ObjectiveContext, *,
        variants: Literal["ignore", "positive"] = "ignore",
    ) -> None:  # fmt: skip
        """``variants``: what another product of the same component is, ignored or a positive."""
        super().__init__(config)
        if variants not in ("ignore", "positive"):
            raise ConfigError(
                f"{config.kind} has variants = {variants!r}.", fix='Use "ignore" or "positive".'
            )
        self._variants = variants

    @classmethod
    def reads(cls, config: ObjectiveConfig) -> set[str]:
        """Return both, whatever ``vector`` says."""
        return {"image", "text"}

    def _compare(self, batch: EncodedBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled cosines of images (rows) and texts, which are positive, which ignored, ``[R, R]``."""
        rows = (batch.has_image & batch.has_text).nonzero().flatten()
        products, codes, components = batch.products[rows], batch.text_codes[rows], batch.components[rows]
        positive = (products[:, None] == products) | (codes[:, None] == codes)
        related = (components[:, None] == components) | (batch.judged[rows][:, rows] > 0)
        if self._variants == "positive":
            positive = positive | related
        logits = batch.logit_scale * batch.image[rows] @ batch.text[rows].T
        return logits, positive, related & ~positive


@register("clip")
class Clip(_ImageText):
    """CLIP's symmetric contrastive loss, image to text and text to image, with several positives.

        loss_i = -1/|P_i| * sum over p in P_i of log( exp(s_ip) / sum over j not in I_i of exp(s_ij) )

    for image i against all texts, and likewise for text i against all images; s is the scaled cosine, P_i
    are positives and I_i is ignored. With unique positives this is CLIP's loss (Radford et al. 2021,
    figure 3); several positives as in supervised contrastive learning (Khosla et al. 2020, equation 2).
    """

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the mean of both directions."""
        logits, positive, ignored = self._compare(batch)
        if len(logits) < 2:
            return None
        return clip_loss(logits, positive, ignored)


def clip_loss(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Return :class:`Clip`'s loss of scaled cosines ``[R, R]``.

    Which are positive and which are ignored, ``[R, R]``, is the same both ways.
    """
    losses = [_cross_entropy(s, positive, ignored) for s in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2


def _cross_entropy(logits: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """Return the mean over rows of the multi-positive cross entropy of ``logits`` ``[R, R]``."""
    log_p = logits.masked_fill(ignored, -torch.inf).log_softmax(dim=1)
    return -(log_p.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1)).mean()


@register("siglip")
class SigLip(_ImageText):
    """SigLIP's pairwise sigmoid loss between image and text, with several positives.

        loss = -1/R * sum over i, j not in I_i of log sigmoid( z_ij * (s_ij + b) )

    where z is 1 for positives and -1 for others, s the scaled cosine, b the encoder's ``logit_bias`` and I_i
    ignored. With unique positives this is the loss of Zhai et al. 2023 (section 3.2). Every pair counts by
    itself, so it needs no large batch.
    """

    def __init__(
        self, config: ObjectiveConfig, context: ObjectiveContext, *,
        variants: Literal["ignore", "positive"] = "ignore",
    ) -> None:  # fmt: skip
        """Take what ``clip`` takes; raises :class:`ConfigError` for an encoder without a bias to train."""
        super().__init__(config, context, variants=variants)
        if "logit_bias" not in context.trained:
            raise ConfigError(
                "A siglip objective learns logit_bias, and the encoder has none that is trained.",
                fix="Set encoder.logit_bias = -10 and encoder.logit_scale = 2.3026 (ln 10), and freeze "
                'neither; an encoder in service without one needs training.start_from = "base".',
            )

    def forward(self, batch: EncodedBatch) -> Tensor | None:
        """Return the sum over pairs, divided by the number of rows."""
        logits, positive, ignored = self._compare(batch)
        if len(logits) < 2:
            return None
        assert batch.logit_bias is not None, "checked before training"
        sign = torch.where(positive, 1.0, -1.0)
        losses = -nn.functional.logsigmoid(sign * (logits + batch.logit_bias))
        return losses.masked_fill(ignored, 0.0).sum() / len(logits)


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
