"""A compact residual CNN as an image tower, made to be trained from scratch on a CPU in a minute or two.

Group normalisation (Wu & He 2018) rather than batch normalisation: it does the same in training and in
use, whatever the batch, and leaves no running statistics that an interpolation of two models would mix.
Every convolution works in channels-last memory, which is the fast layout on a CPU.

    B = batch, C = channels, H, W = height and width
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from recsys.encoder.towers.base import ImageTower

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
    """:class:`SmallCNN` with its input format."""

    def __init__(self, *, image_size: int) -> None:
        """Start with random weights."""
        super().__init__()
        self.model = SmallCNN()
        self.dim, self.image_size, self.mean, self.std = SmallCNN.dim, image_size, _HALF, _HALF
        self.early_dim = self.dim

    def early(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, 256]``."""
        features: torch.Tensor = self.model(pixels)
        return features

    def describe(self) -> dict[str, Any]:
        """Return the input size."""
        return {"image_size": self.image_size}
