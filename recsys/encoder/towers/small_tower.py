"""A compact residual CNN as an image tower: trained from scratch on a CPU, or begun from the sample tower.

The sample tower's weights are part of the package (``weights/sample.safetensors``, with a model card beside
them): examples/sample_shop/pretrain.py trained them, on rendered products and the texts that the frozen
MiniLM reads of them. Its features end in MiniLM's space, so words find images before any training.

Group normalisation (Wu & He 2018) rather than batch normalisation: it does the same in training and in
use, whatever the batch, and leaves no running statistics that an interpolation of two models would mix.
Every convolution works in channels-last memory, which is the fast layout on a CPU.

    B = batch, C = channels, H, W = height and width
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from recsys.encoder.towers.base import ImageTower
from recsys.encoder.towers.weights import SAMPLE_WEIGHTS

DEFAULT_SIZE = 112
_WIDTHS = (32, 64, 128, 256)
_GROUP = 16


class GeM(nn.Module):
    """Generalised-mean pooling with a learned exponent (Radenovic et al. 2018, eq. 3)."""

    def __init__(self, exponent: float = 3.0) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool ``[B, C, H, W]`` to ``[B, C]``; negative values count as zero."""
        exponent = self.exponent.clamp(1.0, 10.0)
        pooled: torch.Tensor = features.float().clamp(min=1e-6).pow(exponent).mean((2, 3)).pow(1 / exponent)
        return pooled


class SmallCNN(nn.Module):
    """Four residual stages behind a 4 x 4 patch stem: 1.2 million weights, 256 features."""

    dim = _WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, _WIDTHS[0], 4, stride=4, bias=False), _norm(_WIDTHS[0]), nn.ReLU()
        )
        inputs = (_WIDTHS[0], *_WIDTHS[:-1])
        self.stages = nn.Sequential(
            *[_Block(i, o, stride=1 if i == o else 2) for i, o in zip(inputs, _WIDTHS, strict=True)]
        )
        self.pool = GeM()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map normalised pixels ``[B, 3, H, W]`` to features ``[B, 256]``."""
        features: torch.Tensor = self.pool(self.stages(self.stem(pixels)))
        return features


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016), shrunk by averaging (He et al. 2019)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = _norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = _norm(outputs)
        nn.init.zeros_(self.norm2.weight)  # each block starts as its shortcut
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // _GROUP, channels)


_HALF = (0.5, 0.5, 0.5)


class SmallTower(ImageTower):
    """:class:`SmallCNN` with its input format and, where its features end in another space, a head."""

    def __init__(self, *, image_size: int, features: int | None = None) -> None:
        """Start with random weights; ``features`` is the width of the head's space."""
        super().__init__()
        self.model = SmallCNN()
        self.head = (
            nn.Identity()
            if features is None
            else nn.Sequential(nn.LayerNorm(SmallCNN.dim), nn.Linear(SmallCNN.dim, features))
        )
        self.dim, self.image_size = features or SmallCNN.dim, image_size
        self.early_dim = self.dim
        self.mean, self.std = _HALF, _HALF

    @classmethod
    def sample(cls, weights: Path = SAMPLE_WEIGHTS, *, image_size: int = DEFAULT_SIZE) -> "SmallTower":
        """Return the sample tower; ``weights`` are those that come with the package, or others like them."""
        state = {name: tensor.float() for name, tensor in load_file(weights).items()}
        tower = cls(image_size=image_size, features=len(state["head.1.weight"]))
        tower.load_state_dict(state)
        return tower

    def early(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``: the CNN's 256, or the head's."""
        features: torch.Tensor = self.head(self.model(pixels))
        return features

    def describe(self) -> dict[str, Any]:
        """Return the input size and, where there is a head, the width of its space."""
        head = {} if isinstance(self.head, nn.Identity) else {"features": self.dim}
        return {"image_size": self.image_size, **head}
