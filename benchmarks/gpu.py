"""What a GPU does with this pipeline: each half against the forward (and backward) passes alone.

    python -m benchmarks.gpu

Each half is a module with `measure() -> dict`; one that is not there is left out. Without a GPU it says so
and ends well, so that `make bench` runs anywhere.
"""

import importlib
import importlib.util

import torch

from benchmarks.record import record

HALVES = {"embedding": "benchmarks.gpu_embedding", "training": "benchmarks.gpu_training"}


def main() -> None:
    if not torch.cuda.is_available():
        print("no GPU on this machine: nothing was measured")
        return
    figures: dict[str, object] = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    for half, module in HALVES.items():
        if importlib.util.find_spec(module) is None:
            print(f"{half}: no {module}")
            continue
        figures[half] = importlib.import_module(module).measure()
    record("gpu", figures, command="python -m benchmarks.gpu")


if __name__ == "__main__":
    main()
