"""How many steps a run has, the learning rate over them, and the clock that only aborts.

A wall-clock budget becomes a number of steps before the first one, from the measured time of a step; from
then on the same inputs give the same encoder, however busy the machine.

Lightning's Timer keeps its time in checkpoints alone: what a kill interrupted, and the decoding before the
first step, would not count.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from recsys.config.training import OptimizerConfig
from recsys.workspace.store import write_atomic

_SAVE_EVERY_S = 2.0
_PATIENCE = 1.5


def lr_factor(progress: float, config: OptimizerConfig) -> float:
    """Return the factor of the peak learning rate at ``progress`` in [0, 1] of the run.

    Linear warm-up over ``warmup_share``, then half a cosine down to ``final_lr_share``
    (Loshchilov and Hutter 2017, equation 5).
    """
    if progress < config.warmup_share:
        return progress / config.warmup_share
    along = (progress - config.warmup_share) / (1 - config.warmup_share)
    return config.final_lr_share + (1 - config.final_lr_share) * (1 + math.cos(math.pi * along)) / 2


class Clock:
    """Seconds of work spent on a run, over all its attempts, killed ones included.

    The time is written to ``path`` every two seconds, so a run that is killed again and again still ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0
        self._started = self._saved = time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds spent so far; write them down if two seconds have passed since the last time."""
        if time.monotonic() - self._saved >= _SAVE_EVERY_S:
            self.save()
        return self._before + time.monotonic() - self._started

    def save(self) -> None:
        """Write down the seconds spent."""
        self._saved = time.monotonic()
        write_atomic(self._path, json.dumps({"seconds": self._before + self._saved - self._started}))


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """How long a run will be; decided once, before its first step."""

    batches: int
    """Batches of the whole run."""
    batch_s: float | None = None
    """Seconds of a batch, as measured; ``None`` without a budget."""
    validation_s: float | None = None
    """Seconds of one validation, as measured."""

    @classmethod
    def within(
        cls, budget_s: float, *, epoch_batches: int, max_epochs: int, batch_s: float, validation_s: float
    ) -> "StepPlan":
        """Return as many batches as fit ``budget_s`` with a validation after each epoch; at least one."""
        epochs = budget_s / (epoch_batches * batch_s + validation_s)
        batches = min(max_epochs * epoch_batches, max(1, int(epochs * epoch_batches)))
        return cls(batches=batches, batch_s=round(batch_s, 4), validation_s=round(validation_s, 3))

    @classmethod
    def kept(cls, path: Path, make: Callable[[], "StepPlan"]) -> "StepPlan":
        """Return the plan at ``path``; if there is none, write there what ``make`` gives."""
        if not path.exists():
            write_atomic(path, json.dumps(asdict(make())))
        return cls(**json.loads(path.read_text()))


class Progress:
    """How far a run is, by its steps; and whether it has taken so long that it must end."""

    def __init__(self, total_steps: int, clock: Clock, budget_s: float | None) -> None:
        self.clock = clock
        self._total_steps, self._budget_s = total_steps, budget_s

    def at(self, step: int) -> float:
        """Return the progress in [0, 1] after ``step`` optimiser steps."""
        return min(1.0, step / max(1, self._total_steps))

    def is_out_of_time(self) -> bool:
        """Return whether the run has taken half as long again as its budget."""
        return self._budget_s is not None and self.clock.elapsed() >= _PATIENCE * self._budget_s
