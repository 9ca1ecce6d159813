"""What a tower is, and how weights from outside get into one.

    B = batch, F = features of a tower, L = tokens

Does not know: any particular model.
"""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recsys.errors import ConfigError

logger = logging.getLogger(__name__)

Tokens = dict[str, torch.Tensor]
Resolve = Callable[[str], str]
"""Makes a path of the configuration absolute: ``Config.resolve``."""


class ImageTower(nn.Module, ABC):
    """Normalised pixels ``[B, 3, S, S]`` to features ``[B, F]``."""

    dim: int
    """F."""
    image_size: int
    """S, pixels."""
    mean: tuple[float, ...]
    """Of the input in [0, 1], RGB."""
    std: tuple[float, ...]

    @abstractmethod
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``, not normalised."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return JSON values from which ``restore`` builds the same architecture without a network."""

    def save_files(self, folder: Path) -> None:
        """Write what ``restore`` needs beside the weights and :meth:`describe`; most towers need nothing."""


class TextTower(nn.Module, ABC):
    """Tokens to features ``[B, F]``. It keeps its own folder: weights, tokenizer and architecture."""

    dim: int
    """F."""

    @abstractmethod
    def tokenize(self, texts: list[str]) -> Tokens:
        """Return tensors ``[B, L]`` for :meth:`forward`, on the CPU."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return features ``[B, F]``, not normalised."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return JSON values that ``restore`` needs beside the folder."""

    @abstractmethod
    def save_files(self, folder: Path) -> None:
        """Write everything ``restore`` needs into ``folder``, the weights as safetensors."""


def state_digest(module: nn.Module) -> str:
    """Return a hash (32 hex characters) of every parameter and buffer of ``module``, names included."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from ``.safetensors``, or from ``.bin``/``.pt``/``.pth`` with ``weights_only``."""
    if not path.is_file():
        raise ConfigError(f"There are no weights at {path}.", fix="Correct encoder.*.weights, or unset it.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state: dict[str, torch.Tensor] = load_file(path)
        return state
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise ConfigError(
            f"{path} holds a {type(loaded).__name__}, not a state dict.",
            fix="Save model.state_dict() as safetensors and name that file.",
        )
    return dict(loaded.get("state_dict", loaded))


def write_weights(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors that others may read (the library writes for the owner only)."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_weights(module: nn.Module, path: Path, *, may_drop: tuple[str, ...] = ()) -> None:
    """Load the file at ``path`` into ``module``, strictly; keys that start with ``may_drop`` are left out.

    Raises :class:`ConfigError` that names what is missing, left over or of another shape.
    """
    state = {
        name: tensor
        for name, tensor in read_weights(path).items()
        if not name.startswith(may_drop or ("\0",))
    }
    own = module.state_dict()
    missing = sorted(set(own) - set(state))
    extra = sorted(set(state) - set(own))
    wrong = sorted(n for n in set(own) & set(state) if own[n].shape != state[n].shape)
    if missing or extra or wrong:
        raise ConfigError(
            f"The weights at {path} do not fit the architecture: {len(missing)} missing {missing[:3]}, "
            f"{len(extra)} left over {extra[:3]}, {len(wrong)} of another shape {wrong[:3]}.",
            fix="Name the architecture these weights were saved from (encoder.*.name and options).",
        )
    module.load_state_dict(state)
    logger.info("loaded %d tensors from %s", len(state), path.name)
