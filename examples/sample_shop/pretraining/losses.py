"""What is brought together: images of one label, and images with the words for them.

B = images of a batch, F = features
"""

import torch
from torch import Tensor

TEMPERATURE = 0.1


def supervised_contrastive(vectors: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of Khosla et al. 2020, eq. 2, of unit vectors ``[B, F]`` with labels ``[B]``.

    Its mean is over the rows that have a positive.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = (labels[:, None] == labels) & ~itself
    log_p = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -torch.inf).log_softmax(dim=1)
    losses = _mean_of_positives(log_p, positive)
    return losses[positive.any(dim=1)].mean()


def contrast_words(images: Tensor, texts: Tensor, products: Tensor, log_scale: Tensor) -> Tensor:
    """Return CLIP's loss (Radford et al. 2021, figure 3) of unit vectors ``[B, F]``.

    Every image of a product is a positive of its text.
    """
    logits = log_scale.exp().clamp(max=100) * images @ texts.T
    positive = products[:, None] == products
    losses = [_mean_of_positives(scores.log_softmax(dim=1), positive).mean() for scores in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2


def _mean_of_positives(log_p: Tensor, positive: Tensor) -> Tensor:
    return -log_p.masked_fill(~positive, 0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
