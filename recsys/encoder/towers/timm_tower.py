"""Any timm backbone as an image tower.

Of the convolutional families below the last stages can be trained on what the earlier ones say. A transformer
is one stage: its tokens would take 300 KB of an image, where these maps take 5 to 40.
"""

import copy
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from recsys.config.encoder import ImageTowerConfig
from recsys.encoder.towers.base import ImageTower, Resolve, load_weights
from recsys.encoder.towers.small_tower import GeM
from recsys.errors import ConfigError

_JSON = (str, int, float, list, tuple, dict, type(None))
"""What a model's arguments are saved of; others, such as layer classes, belong to the architecture."""


class _Family(NamedTuple):
    """In which attributes a family of timm models keeps its layers, in the order of the forward pass."""

    num_late: int  # of the last stages, trained unless the config says otherwise
    first: tuple[str, ...]
    stages: tuple[str, ...]  # several modules, or one sequence of them
    last: tuple[str, ...]


_FAMILIES = {
    "EfficientNet": _Family(2, ("conv_stem", "bn1"), ("blocks",), ("conv_head", "bn2")),
    "MobileNetV3": _Family(2, ("conv_stem", "bn1"), ("blocks",), ("conv_head", "norm_head")),
    "ResNet": _Family(1, ("conv1", "bn1", "act1", "maxpool"), ("layer1", "layer2", "layer3", "layer4"), ()),
    "ConvNeXt": _Family(1, ("stem",), ("stages",), ("norm_pre",)),
}
"""By the name of their class."""


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
        self._family = _FAMILIES.get(type(model).__name__)
        self.late_stages = description.get("late_stages", 0)
        self.early_dim, self._map_shape = self.dim, (self.dim,)
        if self.late_stages:
            with torch.inference_mode():
                maps = self._early_model().eval()(torch.zeros(1, 3, self.image_size, self.image_size))
            self._map_shape = tuple(maps.shape[1:])
            self.early_dim = math.prod(self._map_shape)

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
        family, asked = _FAMILIES.get(type(model).__name__), config.num_late_stages
        if family is None:
            description["late_stages"] = 0
        else:
            description["late_stages"] = family.num_late if asked is None else asked
        if config.late_stages and config.late_stages != description["late_stages"]:
            raise ConfigError(
                f"encoder.image.late_stages is {config.late_stages}, and {name} has no stages that can be "
                "trained while the others stay.",
                fix=f"Unset it, or use a model of {', '.join(_FAMILIES)}.",
            )
        return cls(model, description)

    @classmethod
    def restore(cls, description: dict[str, Any]) -> "TimmTower":
        """Rebuild what :meth:`describe` described; the weights come later."""
        import timm

        model = timm.create_model(
            description["architecture"], pretrained=False, num_classes=0, **description["options"]
        )
        return cls(model, description)

    def early(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the early stages' maps ``[B, E]``, float16; without late stages features ``[B, F]``."""
        if not self.late_stages:
            features: torch.Tensor = self.pool(self.model(pixels))
            return features
        maps: torch.Tensor = self._early_model()(pixels)
        return maps.half().flatten(1)

    def late(self, early: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``."""
        if not self.late_stages:
            return early.float()
        assert self._family is not None
        _, first, stages, _ = self._family
        maps = early.float().reshape(-1, *self._map_shape).contiguous(memory_format=torch.channels_last)
        model = _with(self.model, dict.fromkeys(first) | self._some(stages, slice(-self.late_stages, None)))
        features: torch.Tensor = self.pool(model(maps))
        return features

    def late_modules(self) -> list[nn.Module]:
        """Return the last stages, what comes after them, and the pooling."""
        if not self.late_stages:
            return []
        assert self._family is not None
        kept = self._some(self._family.stages, slice(-self.late_stages, None))
        last = [getattr(self.model, name, None) for name in self._family.last]
        return [m for m in (*kept.values(), *last, self.pool) if isinstance(m, nn.Module)]

    def _early_model(self) -> nn.Module:
        """Return the model without late stages and head; it shares its weights."""
        assert self._family is not None
        _, _, stages, last = self._family
        head = ("global_pool", "flatten", "act2", "head")
        early = self._some(stages, slice(None, -self.late_stages))
        return _with(self.model, dict.fromkeys((*last, *head)) | early)

    def _some(self, stages: tuple[str, ...], kept: slice) -> dict[str, nn.Module | None]:
        """Return the attributes of the stages, with those that are not ``kept`` as ``None``."""
        if len(stages) == 1:
            sequence: Any = getattr(self.model, stages[0])
            return {stages[0]: sequence[kept]}
        return {name: getattr(self.model, name) if name in stages[kept] else None for name in stages}

    def describe(self) -> dict[str, Any]:
        """Return the architecture's registry name, its arguments and its input format."""
        return self._description


def _with(model: nn.Module, modules: dict[str, nn.Module | None]) -> nn.Module:
    """Return a shallow copy of ``model`` with other ``modules``; ``None`` lets values through unchanged."""
    other = copy.copy(model)
    found = {n: nn.Identity() if m is None else m for n, m in modules.items() if n in model._modules}
    other._modules = {**model._modules, **found}
    return other
