"""Any timm backbone as an image tower."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from recsys.config.encoder import ImageTowerConfig
from recsys.encoder.towers.base import ImageTower, Resolve, load_weights
from recsys.encoder.towers.small_tower import GeM
from recsys.errors import ConfigError

_JSON = (str, int, float, list, tuple, dict, type(None))
"""What a model's arguments are saved of; others, such as layer classes, belong to the architecture."""


class TimmTower(ImageTower):
    """A timm model without its classifier."""

    def __init__(self, model: nn.Module, description: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._description = description
        self.pool: nn.Module = GeM() if description["pool"] == "gem" else nn.Identity()
        features: Any = getattr(model, "head_hidden_size", 0) or model.num_features
        self.dim = int(features)
        self.image_size = description["image_size"]
        self.mean, self.std = tuple(description["mean"]), tuple(description["std"])

    @classmethod
    def build(cls, config: ImageTowerConfig, resolve: Resolve) -> "TimmTower":
        """Build from the registry, ``hf-hub:`` or ``local-dir:``, with random or pretrained weights."""
        import timm

        name = config.name
        if name.startswith("local-dir:"):
            name = "local-dir:" + resolve(name.removeprefix("local-dir:"))
        sourced = ":" in name
        if config.pretrained and not sourced:
            name = f"{name.split('.')[0]}.{config.pretrained}"
        options = dict(config.options)
        if config.pool == "gem":
            options["global_pool"] = ""
        known = timm.get_pretrained_cfg(config.name) if config.image_size and ":" not in config.name else None
        if known is not None and known.fixed_input_size:  # transformers, whose position table has a size
            options.setdefault("img_size", config.image_size)
        try:
            model = timm.create_model(
                name, pretrained=sourced or bool(config.pretrained), num_classes=0, **options
            )
        except (RuntimeError, ValueError, TypeError, FileNotFoundError) as error:
            raise ConfigError(
                f"timm cannot make encoder.image.name = {name!r} with options {options}: {error}.",
                fix="Take a name from timm.list_models(); options must be that model's keyword arguments.",
            ) from error
        source = model.pretrained_cfg
        if config.weights:
            classifier = source.get("classifier") or ()
            drop = (classifier,) if isinstance(classifier, str) else tuple(classifier)
            load_weights(model, Path(resolve(config.weights)), ignored=tuple(f"{c}." for c in drop))
        arguments = {**getattr(model, "_model_args", {}), **options}
        description = {
            "architecture": source.get("architecture") or name,
            "options": {k: v for k, v in arguments.items() if k != "num_classes" and isinstance(v, _JSON)},
            "pool": config.pool,
            "image_size": config.image_size or int(source["input_size"][-1]),
            "mean": list(source["mean"]),
            "std": list(source["std"]),
        }
        return cls(model, description)

    @classmethod
    def restore(cls, description: dict[str, Any]) -> "TimmTower":
        """Rebuild what :meth:`describe` described; the weights come later."""
        import timm

        model = timm.create_model(
            description["architecture"], pretrained=False, num_classes=0, **description["options"]
        )
        return cls(model, description)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``."""
        features: torch.Tensor = self.pool(self.model(pixels))
        return features

    def describe(self) -> dict[str, Any]:
        """Return the architecture's registry name, its arguments and its input format."""
        return self._description
