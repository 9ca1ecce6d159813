"""What is brought together: images of one label, and images with the words for them.

B = images of a batch, F = features
"""

import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from recsys.training.objectives.contrastive import clip_loss

TEMPERATURE = 0.1

supervised_contrastive = SupConLoss(temperature=TEMPERATURE)
"""Of vectors ``[B, F]`` with labels ``[B]`` (Khosla et al. 2020, eq. 2); its mean is over the rows that have
a positive."""


def contrast_words(images: Tensor, texts: Tensor, products: Tensor, log_scale: Tensor) -> Tensor:
    """Return CLIP's loss (Radford et al. 2021, figure 3) of unit vectors ``[B, F]``.

    Every image of a product is a positive of its text.
    """
    logits = log_scale.exp().clamp(max=100) * images @ texts.T
    positive = products[:, None] == products
    return clip_loss(logits, positive, torch.zeros_like(positive))
