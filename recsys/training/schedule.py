"""The learning rate over a run that ends by steps or by the wall clock, whichever comes first.

Lightning's Timer keeps its time in checkpoints alone: what a kill interrupted, and the decoding before the
first step, would not count.
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


class Progress:
    """How far a run is: the larger of its share of the steps and its share of the wall clock."""

    def __init__(self, total_steps: int, clock: Clock, budget_s: float | None) -> None:
        self.clock = clock
        self._total_steps, self._budget_s = total_steps, budget_s
        self.reserve_s = 0.0
        """Seconds to leave for the last validation, as measured by the first."""

    def at(self, step: int) -> float:
        """Return the progress in [0, 1] after ``step`` optimiser steps."""
        by_steps = step / max(1, self._total_steps)
        return min(1.0, max(by_steps, self._by_clock()))

    def is_out_of_time(self) -> bool:
        """Return whether the wall clock's share is used up."""
        return self._by_clock() >= 1

    def _by_clock(self) -> float:
        elapsed = self.clock.elapsed()
        return 0.0 if self._budget_s is None else elapsed / max(1e-9, self._budget_s - self.reserve_s)
