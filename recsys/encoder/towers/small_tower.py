"""The small CNN as an image tower.

Does not know: the other towers.
"""

from pathlib import Path
from typing import Any

import torch

from recsys.config.encoder import ImageTowerConfig
from recsys.encoder.small import DEFAULT_SIZE, SmallCNN
from recsys.encoder.towers.base import ImageTower, Resolve, load_weights

_HALF = (0.5, 0.5, 0.5)


class SmallTower(ImageTower):
    """:class:`SmallCNN` with its input format."""

    def __init__(self, *, image_size: int) -> None:
        super().__init__()
        self.model = SmallCNN()
        self.dim, self.image_size, self.mean, self.std = SmallCNN.dim, image_size, _HALF, _HALF

    @classmethod
    def build(cls, config: ImageTowerConfig, resolve: Resolve) -> "SmallTower":
        """Build with random weights, or those of ``config.weights``."""
        tower = cls(image_size=config.image_size or DEFAULT_SIZE)
        if config.weights:
            load_weights(tower.model, Path(resolve(config.weights)))
        return tower

    @classmethod
    def restore(cls, description: dict[str, Any], folder: Path) -> "SmallTower":
        """Rebuild what :meth:`describe` described; the weights come later."""
        return cls(image_size=description["image_size"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, 256]``."""
        features: torch.Tensor = self.model(pixels)
        return features

    def describe(self) -> dict[str, Any]:
        """Return the input size."""
        return {"image_size": self.image_size}
