"""The learning rate over a run that ends by steps or by the wall clock, whichever comes first.

Does not know: optimisers, Lightning.
"""

import json
import math
import time
from pathlib import Path

from recsys.config.training import OptimizerConfig
from recsys.workspace.store import write_atomic

_SAVE_EVERY_S = 2.0


def lr_factor(progress: float, config: OptimizerConfig) -> float:
    """Return the factor of the peak learning rate at ``progress`` in [0, 1] of the run.

    Linear warm-up over ``warmup_share``, then half a cosine down to ``final_lr_share``
    (Loshchilov and Hutter 2017, equation 5).
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < config.warmup_share:
        return progress / config.warmup_share
    along = (progress - config.warmup_share) / (1 - config.warmup_share)
    return config.final_lr_share + (1 - config.final_lr_share) * (1 + math.cos(math.pi * along)) / 2


class Clock:
    """Seconds of work spent on a run, over all its attempts: what a kill interrupted counts too.

    The time is written to ``path`` every two seconds, so a run that is killed again and again still ends.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = float(json.loads(path.read_text())["seconds"]) if path.exists() else 0.0
        self._started = self._saved = time.monotonic()

    def elapsed(self) -> float:
        """Return the seconds spent so far, and now and then write them down."""
        now = time.monotonic()
        spent = self._before + now - self._started
        if now - self._saved >= _SAVE_EVERY_S:
            self._write(now, spent)
        return spent

    def save(self) -> None:
        """Write the seconds spent down now."""
        now = time.monotonic()
        self._write(now, self._before + now - self._started)

    def _write(self, now: float, spent: float) -> None:
        self._saved = now
        write_atomic(self._path, json.dumps({"seconds": spent}))


class Progress:
    """How far a run is: the larger of its share of the steps and its share of the wall clock."""

    def __init__(self, total_steps: int, clock: Clock, budget_s: float | None) -> None:
        self.total_steps, self.clock, self.budget_s = total_steps, clock, budget_s
        self.reserve_s = 0.0
        """Seconds to leave for the last validation, as measured by the first."""

    def at(self, step: int) -> float:
        """Return the progress in [0, 1] after ``step`` optimiser steps."""
        by_steps = step / max(1, self.total_steps)
        elapsed = self.clock.elapsed()
        if self.budget_s is None:
            return min(1.0, by_steps)
        by_clock = elapsed / max(1e-9, self.budget_s - self.reserve_s)
        return min(1.0, max(by_steps, by_clock))

    def is_out_of_time(self) -> bool:
        """Say whether the wall clock's share is used up."""
        return self.budget_s is not None and self.clock.elapsed() >= self.budget_s - self.reserve_s
