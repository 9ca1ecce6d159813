"""Training runs that kill themselves with SIGKILL, one after the other; a program for test_resume.

    python -m tests.training.killed <workspace> <snapshot ref> <config.json> <moment> ...

A moment is ``batch:<number>`` (as that batch is to be trained on) or ``validated:<epoch>`` (after the epoch
was measured, before its checkpoint is written). Each attempt is a fork, so that libraries are loaded once;
they have not been used by then, so there are no threads to lose. Prints the signal each attempt died of.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from recsys.config import Config
from recsys.training import resume
from recsys.training.module import FineTuning
from recsys.training.run import run
from recsys.workspace import Workspace


def die_at(where: str, number: int) -> None:
    """Arm the kill."""
    if where == "batch":
        step = FineTuning.training_step

        def training_step(self: FineTuning, batch: dict[str, Any], batch_idx: int) -> Any:
            if batch["number"] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, batch, batch_idx)

        FineTuning.training_step = training_step  # type: ignore[method-assign]
    else:
        validate = resume.ValidateEachEpoch._validate

        def _validate(self: resume.ValidateEachEpoch, trainer: Any, epoch: int) -> float | None:
            metric = validate(self, trainer, epoch)
            if epoch == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return metric

        resume.ValidateEachEpoch._validate = _validate  # type: ignore[method-assign]


def main() -> None:
    """Run the attempts."""
    root, snapshot, config, *moments = sys.argv[1:]
    for moment in moments:
        attempt = os.fork()
        if attempt == 0:
            torch.set_num_threads(1)
            where, _, number = moment.partition(":")
            die_at(where, int(number))
            run(Config.model_validate_json(Path(config).read_text()), Workspace(root), snapshot)
            os._exit(0)
        _, status = os.waitpid(attempt, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")


if __name__ == "__main__":
    main()
