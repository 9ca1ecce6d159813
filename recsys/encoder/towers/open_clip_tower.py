"""The two halves of an open_clip model as image and text tower.

Where both towers name the same model it is created once and taken apart, so each weight exists once.
A saved tower holds open_clip's own ``open_clip_config.json`` and tokenizer files and is restored through
open_clip's ``local-dir:``.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder.towers.base import ImageTower, Resolve, TextTower, Tokens, write_weights
from recsys.errors import ConfigError

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "text.safetensors"
_LOCAL = "local-dir:"


class ClipModel(NamedTuple):
    """One open_clip model, not yet taken apart."""

    model: Any  # open_clip.CLIP or CustomTextCLIP
    config: dict[str, Any]  # `model_cfg` and `preprocess_cfg`: the content of CONFIG_FILE
    tokenizer: Any


def create(config: EncoderConfig, resolve: Resolve) -> tuple[ClipModel | None, ClipModel | None]:
    """Create the models of the image and of the text tower, one for both where they name the same.

    ``None`` for a tower of another kind. Raises :class:`ConfigError`.
    """
    image = text = None
    names = [
        (tower.name, tower.pretrained, tower.weights, tower.options) for tower in (config.image, config.text)
    ]
    if config.image.kind == "open_clip":
        image = _create(config.image, config.image.image_size, resolve)
    if config.text.kind == "open_clip":
        text = image if image and names[0] == names[1] else _create(config.text, None, resolve)
    return image, text


def _create(tower: ImageTowerConfig | TextTowerConfig, image_size: int | None, resolve: Resolve) -> ClipModel:
    """Create one model with its weights; ``options`` override entries of its configuration."""
    import open_clip

    name = tower.name
    if name.startswith(_LOCAL):
        name = _LOCAL + resolve(name.removeprefix(_LOCAL))
    pretrained = resolve(tower.weights) if tower.weights else tower.pretrained
    if pretrained and Path(pretrained).is_absolute() and not Path(pretrained).is_file():
        raise ConfigError(f"There are no weights at {pretrained}.", fix="Correct encoder.*.weights.")
    options = dict(tower.options)
    if image_size:
        options["vision_cfg"] = options.get("vision_cfg", {}) | {"image_size": image_size}
    try:
        config = open_clip.get_model_config(name)
        if config is None:
            raise ValueError("there is no such model")
        overrides = {k: config.get(k, {}) | v if isinstance(v, dict) else v for k, v in options.items()}
        config.update(overrides)
        model = open_clip.create_model(name, pretrained=pretrained, **overrides)
        tokenizer = open_clip.get_tokenizer(name)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise ConfigError(
            f"open_clip cannot make {name!r} with pretrained {pretrained!r} and options {options}: {error}",
            fix="Take name and tag from open_clip.list_pretrained(), hf-hub:owner/model or local-dir:path; "
            "without a network only local weights can be used.",
        ) from error
    preprocess = {k: v for k, v in model.visual.preprocess_cfg.items() if k in ("size", "mean", "std")}
    return ClipModel(model, {"model_cfg": config, "preprocess_cfg": preprocess}, tokenizer)


def restore(folder: Path, *, text: bool) -> ClipModel:
    """Rebuild a saved architecture with random weights; reads nothing outside ``folder``."""
    import open_clip

    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    arguments: dict[str, Any] = {}
    text_cfg = config["model_cfg"]["text_cfg"]
    if text_cfg.get("hf_model_name"):
        arguments["text_cfg"] = {**text_cfg, "hf_model_name": str(folder), "hf_model_pretrained": False}
    model = open_clip.create_model(
        f"{_LOCAL}{folder}", load_weights=False, pretrained_text=False, **arguments
    )
    tokenizer = open_clip.get_tokenizer(f"{_LOCAL}{folder}") if text else None
    return ClipModel(model, config, tokenizer)


class OpenClipImageTower(ImageTower):
    """``model.visual``."""

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.model: nn.Module = clip.model.visual
        self._config = clip.config
        preprocess = clip.config["preprocess_cfg"]
        size = preprocess["size"]
        self.image_size = int(size if isinstance(size, int) else size[0])
        self.mean, self.std = tuple(preprocess["mean"]), tuple(preprocess["std"])
        self.dim = self.early_dim = int(clip.config["model_cfg"]["embed_dim"])

    def early(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``."""
        features = self.model(pixels)
        first: torch.Tensor = features[0] if isinstance(features, tuple) else features
        return first

    def save_files(self, folder: Path) -> None:
        """Write open_clip's configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(self._config, indent=1), encoding="utf-8")


class OpenClipTextTower(TextTower):
    """An open_clip model without its visual half."""

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.model: nn.Module = clip.model
        for name in ("visual", "logit_scale", "logit_bias"):  # the image tower's, and the encoder's
            if hasattr(self.model, name):
                delattr(self.model, name)
        self._config, self._tokenizer = clip.config, clip.tokenizer
        self.dim = int(clip.config["model_cfg"]["embed_dim"])

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
