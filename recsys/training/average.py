"""A moving average of the weights, which is validated and kept in place of the last step's.

Does not know: what is averaged beyond its names.
"""

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from recsys.training.weights import floating_state


class Average:
    """Exponential moving average of trained weights and running statistics; early on it follows faster.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a short run is not held at its start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = dict(floating_state(module))
        self.values: dict[str, Tensor] = {name: t.detach().clone() for name, t in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step number ``step`` (1-based)."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.values.values()), [t.detach() for t in self._live.values()], share)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the average and the live weights; a second call takes it back."""
        for name, live in self._live.items():
            kept = live.detach().clone()
            live.copy_(self.values[name])
            self.values[name].copy_(kept)

    @torch.no_grad()
    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's average."""
        for name, value in values.items():
            self.values[name].copy_(value)


class Averaging(L.Callback):
    """Updates an :class:`Average` after every optimiser step and keeps it in checkpoints."""

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._step = 0
        self.average: Average | None = None
        self._loaded: dict[str, Tensor] | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Begin the average at the weights training begins with."""
        self.average = Average(pl_module.get_submodule("encoder"), self._decay)
        if self._loaded is not None:
            self.average.load(self._loaded)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note where the run stands."""
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Update after an optimiser step."""
        if trainer.global_step > self._step:
            self._step = trainer.global_step
            assert self.average is not None, "set when fitting starts"
            self.average.update(self._step)

    def state_dict(self) -> dict[str, Any]:
        """Return the average for the checkpoint."""
        return {"values": self.average.values} if self.average is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's average until fitting starts."""
        self._loaded = state_dict.get("values")
