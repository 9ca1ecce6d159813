"""The Lightning training step of this project against a bare torch loop of the same model and data.

Both read the same batches (same loader, cache, augmentation), run the same encoder, terms of the loss,
clipping and optimiser. They take turns within one run; a ratio is bare seconds over ours, so 1 is even.

    python -m benchmarks.training_step [--steps 12] [--repeats 5] [--cases mobilenetv2_160]

``loader_share`` is the time spent making batches, of the bare loop's.
"""

import copy
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import simplejpeg
import torch

from benchmarks.harness import benchmark, summary
from benchmarks.synthetic import image_hash, write_snapshot
from recsys.config import Config
from recsys.encoder.memory import keep_freed_memory
from recsys.encoder.model import build
from recsys.encoder.template import ContentReader
from recsys.training.data import Batch, BatchLoader, read_items
from recsys.training.fit import FitJob, make_loader, make_module, make_trainer
from recsys.training.module import FineTuning
from recsys.training.resume import ResumeCheckpoint, ValidateEachEpoch
from recsys.training.schedule import Clock, Progress
from recsys.training.supervision import build as supervise
from recsys.training.weights import parameter_groups
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot

CASES: dict[str, dict[str, Any]] = {
    "mobilenetv2_160": {
        "encoder": {
            "dim": 256,
            "image": {"kind": "timm", "name": "mobilenetv2_100", "image_size": 224, "resize_mode": "squash"},
        },
        "training": {
            "image_size": 160,
            "sampler": {"batch_size": 64},
            "objectives": [
                {"kind": "metric", "vector": "image", "loss": {"name": "SupConLoss"}},
                {"kind": "metric", "vector": "image", "loss": {"name": "ProxyAnchorLoss"}},
            ],
        },
    },
    "small_112_and_text": {"encoder": {"dim": 256, "image": {"kind": "small"}}, "training": {}},
}


def make_catalog(workspace: Workspace, products: int = 400) -> Snapshot:
    """Write a catalog of smooth random images in forty categories."""
    rng = np.random.default_rng(0)
    jpegs, rows = [], []
    for i in range(products):
        coarse = rng.integers(0, 256, (7, 7, 3), np.uint8).repeat(32, 0).repeat(32, 1)
        jpegs.append(bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(coarse), 90)))
        row = {"id": f"{i:05d}", "title": f"product {i} of kind {i % 40}", "product_type": str(i % 40)}
        rows.append(row | {"images": [image_hash(i)]})
    return Snapshot.open(workspace, write_snapshot(workspace, jpegs, 224, rows))


def make_job(snapshot: Snapshot, folder: Path, case: dict[str, Any], steps: int) -> FitJob:
    """Prepare one fine-tuning of ``steps`` steps."""
    training = case["training"] | {"epoch_steps": steps, "max_epochs": 1, "checkpoint_minutes": 1e6}
    config = Config.model_validate({"encoder": case["encoder"], "training": training})
    splits = ["train"] * snapshot.num_products
    folder.mkdir(parents=True, exist_ok=True)
    return FitJob(
        config=config.training,
        encoder=build(config.encoder, seed=0),
        items=read_items(snapshot, ContentReader(config.encoder), splits, splits),
        images=snapshot.images(),
        supervision=supervise(snapshot.table(), splits, config.training, str),
        trained=np.arange(len(splits)),
        validator=None,
        folder=folder,
        seed=0,
    )


class Stopwatch(L.Callback):
    """Seconds from the second batch's start to the last batch's end; the first one warms up."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.seconds = (0.0, 0.0)

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == 1:
            self._started = now()

    def on_train_batch_end(self, *arguments: Any) -> None:
        if arguments[-1] == self._last:
            self.seconds = since(self._started)


def now() -> tuple[float, float]:
    """Return wall clock and CPU time, finished with what the GPU has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Return wall and CPU seconds since ``start``."""
    end = now()
    return end[0] - start[0], end[1] - start[1]


def ours(job: FitJob, loader: BatchLoader, state: dict[str, Any]) -> tuple[float, float]:
    """Train by Lightning as the pipeline does, callbacks and all; return wall and CPU seconds."""
    loader.next_batch = 0
    progress = Progress(len(loader), Clock(job.folder / "clock.json"), None)
    module = make_module(job, progress)
    module.load_state_dict(state, strict=False)
    validating = ValidateEachEpoch(None, job.folder, job.config, progress, None)
    resumable = ResumeCheckpoint(job.folder, loader, validating, job.config, progress)
    watch = Stopwatch(len(loader) - 1)
    trainer = make_trainer(job.config, [validating, resumable, watch], job.folder)
    trainer.fit(module, loader)
    return watch.seconds


def bare(job: FitJob, loader: BatchLoader, state: dict[str, Any]) -> tuple[float, float]:
    """Train by a plain loop; return wall and CPU seconds."""
    loader.next_batch = 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = make_module(job, Progress(len(loader), Clock(job.folder / "clock.json"), None))
    module.load_state_dict(state, strict=False)
    module.to(device)
    optimizer = torch.optim.AdamW(
        parameter_groups(module.encoder, module.objectives, frozenset(), job.config.optimizer), fused=True
    )
    weights = [p for p in module.parameters() if p.requires_grad]
    started = now()
    for i, batch in enumerate(loader):
        if i == 1:
            started = now()
        loss = bare_loss(module, to(batch, device), device)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, job.config.optimizer.clip_grad_norm)
        optimizer.step()
    return since(started)


def bare_loss(module: FineTuning, batch: Batch, device: torch.device) -> torch.Tensor:
    """Return the sum of the terms, in bf16 autocast on a GPU as ours is."""
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        encoded = module.encode_batch(batch)
    values = [term(encoded) for term in module.objectives]
    return torch.stack([value for value in values if value is not None]).sum()


def to(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's tensors."""
    return {
        k: to(v, device)
        if isinstance(v, dict)
        else v.to(device, non_blocking=True)
        if isinstance(v, torch.Tensor)
        else v
        for k, v in batch.items()
    }


def measure_case(
    snapshot: Snapshot, folder: Path, case: dict[str, Any], steps: int, repeats: int
) -> dict[str, Any]:
    """Let both take turns and return their speeds and ratios."""
    job = make_job(snapshot, folder, case, steps)
    loader = make_loader(job)
    state = copy.deepcopy(make_module(job, Progress(1, Clock(folder / "c.json"), None)).state_dict())
    seconds: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    runs = {"bare": bare, "ours": ours}
    for repeat in range(repeats + 1):
        for name in sorted(runs, reverse=bool(repeat % 2)):
            taken = runs[name](job, loader, state)
            if repeat:  # the first round warms caches and allocators up
                seconds[name].append(taken)
    loader.next_batch = 0
    batches = iter(loader)
    next(batches)
    started = now()
    for _ in batches:
        pass
    alone = since(started)
    pairs = list(zip(seconds["bare"], seconds["ours"], strict=True))
    items = (steps - 1) * job.config.sampler.batch_size
    median = sorted(b[0] for b in seconds["bare"])[repeats // 2]
    return {
        "ratio": round(float(np.median([b[0] / o[0] for b, o in pairs])), 3),
        "ratio_of_best": round(min(b[0] for b, _ in pairs) / min(o[0] for _, o in pairs), 3),
        "ratio_cpu_time": round(float(np.median([b[1] / o[1] for b, o in pairs])), 3),
        "ours_items_per_s": round(items / sorted(o[0] for o in seconds["ours"])[repeats // 2], 1),
        "bare_items_per_s": round(items / median, 1),
        "bare_items_per_cpu_s": round(items / sorted(b[1] for b in seconds["bare"])[repeats // 2], 1),
        "loader_share": round(alone[0] / median, 3),
        "bare_s": summary([round(b[0], 3) for b in seconds["bare"]]),
        "ours_s": summary([round(o[0], 3) for o in seconds["ours"]]),
    }


def measure(steps: int, repeats: int, cases: tuple[str, ...]) -> dict[str, Any]:
    """Measure every case."""
    results: dict[str, Any] = {"goal_ratio": 0.95, "steps": steps, "threads": torch.get_num_threads()}
    if not torch.cuda.is_available():
        keep_freed_memory()  # as training does
    with tempfile.TemporaryDirectory() as folder:
        snapshot = make_catalog(Workspace(Path(folder) / "workspace"))
        for name in cases:
            results[name] = measure_case(snapshot, Path(folder) / name, CASES[name], steps, repeats)
    return results


if __name__ == "__main__":
    benchmark("training_step", measure, __doc__, steps=12, repeats=5, cases=tuple(CASES))
