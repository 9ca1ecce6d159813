"""What a tower is, and how weights from outside get into one.

B = batch, F = features of a tower, E = values of an image tower's early step, L = tokens
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from recsys.errors import ConfigError

Tokens = dict[str, torch.Tensor]
Resolve = Callable[[str], str]
"""Makes a path of the configuration absolute: ``Config.resolve``."""


class Tower(nn.Module, ABC):
    """What both towers have."""

    dim: int  # F

    def describe(self) -> dict[str, Any]:
        """Return JSON values from which, with the files, the tower is restored without a network."""
        return {}

    def save_files(self, folder: Path) -> None:
        """Write what restoring needs beside :meth:`describe` and an image tower's weights."""


class ImageTower(Tower):
    """Normalised pixels ``[B, 3, S, S]`` to features ``[B, F]``, in two steps.

    What the early stages say of an image is computed once ever, where the tower is frozen; the late stages
    may be trained all the same. Without any, the early step is the whole tower.
    """

    image_size: int  # S, pixels
    mean: tuple[float, ...]  # of the RGB input in [0, 1]
    std: tuple[float, ...]
    early_dim: int  # E, values that the early step gives for an image
    late_stages: int = 0

    @abstractmethod
    def early(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the early stages say ``[B, E]``: float16 maps, or without late stages features."""

    def late(self, early: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``, not normalised, of what :meth:`early` returned."""
        return early.float()

    def late_modules(self) -> list[nn.Module]:
        """Return the modules of the late stages."""
        return []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return features ``[B, F]``, not normalised."""
        return self.late(self.early(pixels))


class TextTower(Tower):
    """Tokens to features ``[B, F]``. Its files are whole: weights, tokenizer and architecture."""

    @abstractmethod
    def tokenize(self, texts: list[str]) -> Tokens:
        """Return tensors ``[B, L]`` for :meth:`forward`, on the CPU."""

    @abstractmethod
    def forward(self, tokens: Tokens) -> torch.Tensor:
        """Return features ``[B, F]``, not normalised."""


def state_digest(module: nn.Module, *, without: Iterable[nn.Module] = ()) -> str:
    """Return a hash (32 hex characters) of every parameter and buffer of ``module``, names included.

    Those of the modules ``without`` are left out.
    """
    digest = hashlib.sha256()
    left_out = {tensor.data_ptr() for part in without for tensor in part.state_dict().values()}
    for name, tensor in sorted(module.state_dict().items()):
        if tensor.data_ptr() in left_out:
            continue
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def write_weights(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors that others may read (the library writes for the owner only)."""
    contiguous = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(contiguous, path, metadata={"format": "pt"})
    path.chmod(0o644)


def load_weights(module: nn.Module, path: Path, *, ignored: tuple[str, ...] = ()) -> None:
    """Load ``.safetensors``, or ``.bin``/``.pt``/``.pth`` without unpickling code, into ``module``, strictly.

    Keys that start with one of ``ignored`` are left out. Raises :class:`ConfigError` that names what is
    missing, left over or of another shape.
    """
    from timm.models import load_state_dict

    if not path.is_file():
        raise ConfigError(f"There are no weights at {path}.", fix="Correct encoder.*.weights, or unset it.")
    problem = ""
    try:
        found = load_state_dict(str(path), use_ema=False)
        state = {name: tensor for name, tensor in found.items() if not name.startswith(ignored)}
        missing, unexpected = module.load_state_dict(state, strict=False)
        if missing or unexpected:
            problem = f"{len(missing)} missing {missing[:3]}, {len(unexpected)} left over {unexpected[:3]}"
    except RuntimeError as error:  # other shapes, or a pickle that holds more than tensors
        problem = str(error)[:500]
    if problem:
        raise ConfigError(
            f"The weights at {path} do not fit the architecture: {problem}.",
            fix="Name the architecture these weights were saved from (encoder.*.name and options).",
        )
