"""What survives a kill: checkpoints, the best weights, the history; and when a run stops.

    last.ckpt                everything training needs to go on, written under another name and renamed
    best-<epoch>.safetensors the trained weights of the best epoch so far
    clock.json               seconds spent (recsys.training.schedule)

A run that was killed and goes on from ``last.ckpt`` ends with the weights it would have had, bit for bit
on a CPU: batches, augmentation and dropout are functions of the batch's number.

Does not know: what the figure is, how batches are made.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint
from safetensors.torch import load_file, save_file

from recsys.config.training import TrainingConfig
from recsys.training.average import Averaging
from recsys.training.data import Loader
from recsys.training.module import FineTuning
from recsys.training.schedule import Progress

logger = logging.getLogger(__name__)

LAST = "last.ckpt"
METRIC = "validation"

Measure = Callable[[], float | None]


class ValidateEachEpoch(L.Callback):
    """Measures after every epoch, keeps the best weights, logs :data:`METRIC` for early stopping."""

    def __init__(
        self,
        measure: Measure,
        folder: Path,
        config: TrainingConfig,
        progress: Progress,
        averaging: Averaging | None,
    ) -> None:
        """``measure`` gives the figure of the encoder as it is; ``averaging`` is swapped in for it."""
        self._measure, self._folder, self._config, self._progress = measure, folder, config, progress
        self._averaging = averaging
        self.epochs: list[dict[str, Any]] = []
        """Epoch 0 is the encoder that training began with."""
        self.best: dict[str, Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure where training begins."""
        if not self.epochs:
            self._enter(0, self._timed(), trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the epoch; remember its weights if they are the best so far."""
        average = None if self._averaging is None else self._averaging.average
        if average is not None:
            average.swap()
        epoch = trainer.current_epoch + 1
        metric = self._timed()
        self._enter(epoch, metric, trainer)
        if metric is not None:
            pl_module.log(METRIC, metric)
        last = self._config.validation.keep == "last"
        if last or metric is None or self.best is None or metric > self.best["metric"]:
            self._keep(epoch, metric, pl_module)
        if average is not None:
            average.swap()

    def _timed(self) -> float | None:
        """Measure; what it takes is what the schedule leaves for the last time."""
        started = time.monotonic()
        metric = self._measure()
        self._progress.reserve_s = time.monotonic() - started
        return metric

    def state_dict(self) -> dict[str, Any]:
        """Return the figures so far and which epoch is the best."""
        return {"epochs": self.epochs, "best": self.best, "reserve_s": self._progress.reserve_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self.epochs, self.best = state_dict["epochs"], state_dict["best"]
        self._progress.reserve_s = state_dict["reserve_s"]

    def best_weights(self) -> dict[str, torch.Tensor]:
        """Return the trained weights of the best epoch; empty where no epoch was finished."""
        return load_file(self._folder / self.best["file"]) if self.best is not None else {}

    def forget_others(self) -> None:
        """Remove the weights of epochs that are no longer the best; call it once that is on record."""
        for path in self._folder.glob("best-*.safetensors"):
            if self.best is None or path.name != self.best["file"]:
                path.unlink()

    def _enter(self, epoch: int, metric: float | None, trainer: L.Trainer) -> None:
        seconds = round(self._progress.clock.elapsed(), 3)
        self.epochs.append(
            {"epoch": epoch, "step": trainer.global_step, "metric": metric, "seconds": seconds}
        )
        figure = "no figure" if metric is None else f"{self._config.validation.metric} {metric:.4f}"
        logger.info("epoch %d: %s after %d steps, %.0f s", epoch, figure, trainer.global_step, seconds)

    def _keep(self, epoch: int, metric: float | None, module: L.LightningModule) -> None:
        prefix = "encoder."
        state = {
            n[len(prefix) :]: t.contiguous() for n, t in module.state_dict().items() if n.startswith(prefix)
        }
        name = f"best-{epoch}.safetensors"
        save_file(state, self._folder / f"{name}.partial")
        (self._folder / f"{name}.partial").replace(self._folder / name)
        self.best = {"epoch": epoch, "metric": metric if metric is not None else float("-inf"), "file": name}


class ResumeCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` at every epoch's end and every few minutes; ends the run when time is up.

    A subclass of Lightning's ``Checkpoint``, so that it runs after early stopping has made up its mind.
    """

    def __init__(
        self,
        folder: Path,
        loader: Loader,
        validating: ValidateEachEpoch,
        config: TrainingConfig,
        progress: Progress,
    ) -> None:
        self._path = folder / LAST
        self._loader, self._validating, self._progress = loader, validating, progress
        self._accumulate, self._every_s = config.optimizer.accumulate, config.checkpoint_minutes * 60
        self._written = time.monotonic()
        self._module: FineTuning | None = None
        self._state: dict[str, Any] = {}
        self.stopped = False
        """Whether the run has ended before its last epoch: out of time, or out of patience."""

    @property
    def path(self) -> Path | None:
        """The checkpoint to go on from, if there is one."""
        return self._path if self._path.exists() else None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hand the history back to the module; stop at once if the run had stopped."""
        assert isinstance(pl_module, FineTuning)
        self._module = pl_module
        if self._state:
            history = pl_module.history
            history.entries, history.sums, history.counts = (
                self._state[k] for k in ("entries", "sums", "counts")
            )
            history.sums = {name: value.to(pl_module.device) for name, value in history.sums.items()}
            pl_module.num_images = self._state["num_images"]
        trainer.should_stop = self.stopped

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop when time is up; write a checkpoint when one is due and no gradient is half-summed."""
        if self._progress.is_out_of_time():
            logger.info("the budget is used up after %d steps", trainer.global_step)
            trainer.should_stop = True
            return
        whole = (batch_idx + 1) % self._accumulate == 0 and batch_idx + 1 < len(self._loader)
        if whole and time.monotonic() - self._written >= self._every_s:
            self._write(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the epoch's checkpoint."""
        self.stopped = bool(trainer.should_stop)
        self._write(trainer)
        self._validating.forget_others()

    def state_dict(self) -> dict[str, Any]:
        """Return where the run stands and its history."""
        assert self._module is not None, "set when fitting starts"
        history = self._module.history
        return {
            "next_batch": self._loader.next_batch,
            "stopped": self.stopped,
            "entries": history.entries,
            "sums": history.sums,
            "counts": history.counts,
            "num_images": self._module.num_images,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set the loader to the next batch; the rest waits for the module."""
        self._loader.next_batch = state_dict["next_batch"]
        self.stopped = state_dict["stopped"]
        self._state = state_dict

    def _write(self, trainer: L.Trainer) -> None:
        partial = self._path.with_suffix(".partial")
        trainer.save_checkpoint(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._path)
        self._progress.clock.save()
        self._written = time.monotonic()
