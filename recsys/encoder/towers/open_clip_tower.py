"""The two halves of an open_clip model as image and text tower.

Where both towers name the same model it is built once and taken apart, so each weight exists once.
A saved tower holds open_clip's own ``open_clip_config.json`` and tokenizer files and is restored through
open_clip's ``local-dir:``.

Does not know: the other towers.
"""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from recsys.config.encoder import ImageTowerConfig, TextTowerConfig
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower, Tokens, write_weights
from recsys.errors import ConfigError

logger = logging.getLogger(__name__)

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "text.safetensors"
_LOCAL, _HUB = "local-dir:", "hf-hub:"


class Source(NamedTuple):
    """What is needed to build one open_clip model."""

    name: str
    pretrained: str | None
    options: str
    image_size: int | None

    def same_model(self, other: "Source") -> bool:
        """Whether both name one model, at whatever image size."""
        return self._replace(image_size=None) == other._replace(image_size=None)


class Built(NamedTuple):
    """One open_clip model, not yet taken apart."""

    model: nn.Module
    config: dict[str, Any]
    """``model_cfg`` and ``preprocess_cfg``: the content of :data:`CONFIG_FILE`."""
    tokenizer: Any


class OpenClipImageTower(ImageTower):
    """``model.visual``."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model: nn.Module = built.model.visual  # type: ignore[assignment]
        self._config = built.config
        preprocess = built.config["preprocess_cfg"]
        size = preprocess["size"]
        self.image_size = int(size if isinstance(size, int) else size[0])
        self.mean, self.std = tuple(preprocess["mean"]), tuple(preprocess["std"])
        self.dim = int(built.config["model_cfg"]["embed_dim"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``."""
        features = self.model(pixels)
        first: torch.Tensor = features[0] if isinstance(features, tuple) else features
        return first

    def describe(self) -> dict[str, Any]:
        """Return nothing: the files say it."""
        return {}

    def save_files(self, folder: Path) -> None:
        """Write open_clip's configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(self._config, indent=1), encoding="utf-8")


class OpenClipTextTower(TextTower):
    """An open_clip model without its visual half."""

    def __init__(self, built: Built) -> None:
        super().__init__()
        self.model = built.model
        for name in ("visual", "logit_scale", "logit_bias"):  # the image tower's, and the encoder's
            if hasattr(self.model, name):
                delattr(self.model, name)
        self._config, self._tokenizer = built.config, built.tokenizer
        self.dim = int(built.config["model_cfg"]["embed_dim"])

    @classmethod
    def restore(cls, folder: Path) -> "OpenClipTextTower":
        """Rebuild what :meth:`save_files` wrote, weights included."""
        tower = cls(restore(folder, text=True))
        tower.load_state_dict(load_file(folder / WEIGHTS_FILE))
        return tower

    def tokenize(self, texts: list[str]) -> Tokens:
        """Return ``{"input_ids": [B, L]}``; open_clip models read their full context length."""
        return {"input_ids": self._tokenizer(texts)}

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return features ``[B, F]``."""
        features: torch.Tensor = self.model.encode_text(tokens["input_ids"])  # type: ignore[operator]
        return features

    def describe(self) -> dict[str, Any]:
        """Return nothing: the files say it."""
        return {}

    def save_files(self, folder: Path) -> None:
        """Write the weights, the configuration and, where it is not open_clip's own, the tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(self.state_dict(), folder / WEIGHTS_FILE)
        (folder / CONFIG_FILE).write_text(json.dumps(self._config, indent=1), encoding="utf-8")
        if hasattr(self._tokenizer, "save_pretrained"):
            self._tokenizer.save_pretrained(str(folder))
        inner = getattr(getattr(self.model, "text", None), "config", None)
        if inner is not None:  # a Hugging Face text model: its configuration stands beside
            inner.save_pretrained(str(folder))


def source(config: ImageTowerConfig | TextTowerConfig, resolve: Resolve) -> Source:
    """Return what ``config`` says must be built; equal sources are one model."""
    name = config.name
    if name.startswith(_LOCAL):
        name = _LOCAL + resolve(name.removeprefix(_LOCAL))
    pretrained = resolve(config.weights) if config.weights else config.pretrained
    size = config.image_size if isinstance(config, ImageTowerConfig) else None
    return Source(name, pretrained, json.dumps(config.options, sort_keys=True), size)


def build(source: Source) -> Built:
    """Build the model that ``source`` names, with its weights; raises :class:`ConfigError`.

    The options override entries of the model's configuration (``quick_gelu``, ``vision_cfg`` ...).
    """
    import open_clip

    if source.pretrained and Path(source.pretrained).is_absolute() and not Path(source.pretrained).is_file():
        raise ConfigError(f"There are no weights at {source.pretrained}.", fix="Correct encoder.*.weights.")
    try:
        config = open_clip.get_model_config(source.name)
        if config is None:
            raise ValueError("there is no such model")
        overrides = _merge(config, json.loads(source.options), source.image_size)
        config.update(overrides)
        model = open_clip.create_model(source.name, pretrained=source.pretrained, **overrides)
        tokenizer = open_clip.get_tokenizer(source.name)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise ConfigError(
            f"open_clip cannot make {source.name!r} with pretrained {source.pretrained!r} "
            f"and options {source.options}: {error}",
            fix="Take name and tag from open_clip.list_pretrained(), hf-hub:owner/model or local-dir:path; "
            "without a network only local weights can be used.",
        ) from error
    preprocess = {k: v for k, v in model.visual.preprocess_cfg.items() if k in ("size", "mean", "std")}
    return Built(model, {"model_cfg": config, "preprocess_cfg": preprocess}, tokenizer)


def temperature(built: Built) -> tuple[float, float | None]:
    """Return the model's log temperature and, for a sigmoid loss, its bias."""
    scale: Any = built.model.logit_scale
    bias: Any = built.model.logit_bias
    return float(scale.detach()), None if bias is None else float(bias.detach())


def _merge(config: dict[str, Any], options: dict[str, Any], image_size: int | None) -> dict[str, Any]:
    """Return the entries of ``config`` that ``options`` and ``image_size`` change, each one whole."""
    if image_size:
        options = {**options, "vision_cfg": {**options.get("vision_cfg", {}), "image_size": image_size}}
    return {
        key: {**config.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in options.items()
    }


def restore(folder: Path, *, text: bool) -> Built:
    """Rebuild a saved architecture with random weights; reads nothing outside ``folder``."""
    import open_clip

    content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    arguments: dict[str, Any] = {}
    text_cfg = content["model_cfg"]["text_cfg"]
    if text_cfg.get("hf_model_name"):
        arguments["text_cfg"] = {**text_cfg, "hf_model_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.create_model(
        f"{_LOCAL}{folder}", load_weights=False, pretrained_text=False, **arguments
    )
    tokenizer = open_clip.get_tokenizer(f"{_LOCAL}{folder}") if text else None
    return Built(model, content, tokenizer)
