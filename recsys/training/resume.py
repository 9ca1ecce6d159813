"""Checkpoints that survive kills, the weights of the epoch that is kept, and when a run stops.

    last.ckpt                everything training needs to go on, written under another name and renamed
    kept-<epoch>.safetensors the trained weights of the epoch that would be kept now
    clock.json               seconds spent (recsys.training.schedule)

A run that was killed and goes on from ``last.ckpt`` ends with the weights it would have had, bit for bit
on a CPU: batches, augmentation and dropout are functions of the batch's number.

Lightning's ModelCheckpoint would lose that: it deletes the last weights kept before the checkpoint names the
new ones, and its time interval can fall between two batches of one accumulated step.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from safetensors.torch import load_file, save_file

from recsys.config.training import TrainingConfig
from recsys.training.data import BatchLoader
from recsys.training.module import FineTuning
from recsys.training.schedule import Progress
from recsys.training.validation import Validator

logger = logging.getLogger(__name__)

METRIC = "validation"


class ValidateEachEpoch(L.Callback):
    """Validates after every epoch, keeps the weights of one, logs :data:`METRIC` for early stopping."""

    def __init__(
        self, validator: Validator | None, folder: Path, config: TrainingConfig, progress: Progress
    ) -> None:  # fmt: skip
        self._validator, self._folder, self._config = validator, folder, config
        self._progress = progress
        self.epochs: list[dict[str, Any]] = []
        """Epoch 0 is the encoder that training began with."""
        self.kept: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate the encoder that training begins with."""
        if not self.epochs:
            self._validate(trainer, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate the epoch; keep its weights if the last are wanted or they are the best so far."""
        epoch = trainer.current_epoch + 1
        metric = self._validate(trainer, epoch)
        if metric is not None:
            pl_module.log(METRIC, metric)
        keep_last = self._config.validation.keep == "last"
        if keep_last or metric is None or self.kept is None or metric > self.kept["metric"]:
            name = f"kept-{epoch}.safetensors"
            weights = {
                n.removeprefix("encoder."): weight.contiguous()
                for n, weight in pl_module.state_dict().items()
                if n.startswith("encoder.")
            }
            save_file(weights, self._folder / f"{name}.partial")
            (self._folder / f"{name}.partial").replace(self._folder / name)
            self.kept = {"epoch": epoch, "metric": -1.0 if metric is None else metric, "file": name}

    def _validate(self, trainer: L.Trainer, epoch: int) -> float | None:
        """Score the encoder."""
        module = trainer.lightning_module
        assert isinstance(module, FineTuning)
        metric = None if self._validator is None else self._validator(module.encoder)
        seconds, step = round(self._progress.clock.elapsed(), 3), trainer.global_step
        self.epochs.append({"epoch": epoch, "step": step, "metric": metric, "seconds": seconds})
        score = "no validation" if metric is None else f"{self._config.validation.metric} {metric:.4f}"
        logger.info("epoch %d: %s after %d steps, %.0f s", epoch, score, step, seconds)
        return metric

    def state_dict(self) -> dict[str, Any]:
        """Return the scores so far and which epoch is kept."""
        return {"epochs": self.epochs, "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self.epochs, self.kept = state_dict["epochs"], state_dict["kept"]

    def kept_weights(self) -> dict[str, torch.Tensor]:
        """Return the trained weights of the epoch kept; empty where no epoch was finished."""
        return load_file(self._folder / self.kept["file"]) if self.kept is not None else {}

    def remove_other_weights(self) -> None:
        """Remove the weights of epochs that are not kept; call it once a checkpoint names the one that is."""
        for path in self._folder.glob("kept-*.safetensors"):
            if self.kept is None or path.name != self.kept["file"]:
                path.unlink()


class ResumeCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` at every epoch's end and every few minutes; ends the run when time is up.

    A subclass of Lightning's ``Checkpoint``, so that it runs after early stopping has decided.
    """

    def __init__(
        self, folder: Path, loader: BatchLoader, validation: ValidateEachEpoch, config: TrainingConfig,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._path = folder / "last.ckpt"
        self._loader, self._validation, self._progress = loader, validation, progress
        self._accumulate, self._interval_s = config.optimizer.accumulate, config.checkpoint_minutes * 60
        self._written = time.monotonic()
        self.stopped = False
        """Whether the run has ended before its last epoch: out of time, or out of patience."""

    @property
    def path(self) -> Path | None:
        """The checkpoint to go on from, if there is one."""
        return self._path if self._path.exists() else None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop at once if the run had stopped."""
        trainer.should_stop = self.stopped

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop when time is up; write a checkpoint when one is due and no gradient is half-summed."""
        if self._progress.is_out_of_time():
            logger.warning(
                "aborted after %d steps: the run took half as long again as training.budget_minutes",
                trainer.global_step,
            )
            trainer.should_stop = True
            return
        stepped = (batch_idx + 1) % self._accumulate == 0 and batch_idx + 1 < len(self._loader)
        if stepped and time.monotonic() - self._written >= self._interval_s:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's checkpoint."""
        self.stopped = bool(trainer.should_stop)
        self._write(trainer)
        self._validation.remove_other_weights()

    def state_dict(self) -> dict[str, Any]:
        """Return which batch is next."""
        return {"next_batch": self._loader.next_batch, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from that batch."""
        self._loader.next_batch, self.stopped = state_dict["next_batch"], state_dict["stopped"]

    def _write(self, trainer: L.Trainer) -> None:
        partial = self._path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._path)
        self._progress.clock.save()
        self._written = time.monotonic()
