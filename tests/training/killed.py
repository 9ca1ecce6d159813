"""A training run that kills itself with SIGKILL at a chosen moment; a program for test_resume.

    python -m tests.training.killed <workspace> <snapshot ref> <config.json> <where> <number>

``where`` is ``batch`` (after batch ``number``, before its checkpoint can be the last thing on disk) or
``validated`` (after epoch ``number`` was measured, before its checkpoint is written).
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


def main() -> None:
    root, snapshot, config, where, number = sys.argv[1:]
    torch.set_num_threads(1)
    if where == "batch":
        step = FineTuning.training_step

        def training_step(self: FineTuning, batch: dict[str, Any], batch_idx: int) -> Any:
            if batch["number"] == int(number):
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, batch, batch_idx)

        FineTuning.training_step = training_step  # type: ignore[method-assign]
    else:
        enter = resume.Validating._enter

        def _enter(self: resume.Validating, epoch: int, *rest: Any) -> None:
            enter(self, epoch, *rest)
            if epoch == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

        resume.Validating._enter = _enter  # type: ignore[method-assign]
    run(Config.model_validate_json(Path(config).read_text()), Workspace(root), snapshot)


if __name__ == "__main__":
    main()
