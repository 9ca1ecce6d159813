"""Training on a GPU: the pipeline against a bare loop with the same loader, and against compute alone.

ViT-B/32 with its text tower, both trained, bf16 autocast; images decoded and augmented in workers.
``of_compute`` is the pipeline's rate over that of forward, loss, backward and optimiser on one batch that
stays on the device: what decoding, augmentation and copies cost.

Does not know: the record; benchmarks/gpu.py writes it.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.training_step import bare_loss, make_job, measure_case, now, shop, since, to
from recsys.training.fit import make_loader, make_module
from recsys.training.schedule import Clock, Progress
from recsys.training.weights import parameter_groups
from recsys.workspace import Workspace

CASE: dict[str, Any] = {
    "encoder": {
        "dim": 512,
        "image": {"kind": "open_clip", "name": "ViT-B-32", "resize_mode": "squash"},
        "text": {"kind": "open_clip", "name": "ViT-B-32", "frozen": False},
    },
    "training": {"sampler": {"batch_size": 256}, "cache_decoded": False},
}
STEPS, REPEATS = 20, 3


def measure() -> dict[str, Any]:
    """Return the figures; needs a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot = shop(Workspace(Path(folder) / "workspace"), products=2000)
        figures = measure_case(snapshot, Path(folder) / "case", CASE, STEPS, REPEATS)
        job = make_job(snapshot, Path(folder) / "compute", CASE, STEPS)
        device = torch.device("cuda")
        module = make_module(job, Progress(1, Clock(Path(folder) / "clock.json"), None)).to(device)
        optimizer = torch.optim.AdamW(
            parameter_groups(module.encoder, module.objectives, frozenset(), job.config.optimizer), fused=True
        )
        batch = to(next(iter(make_loader(job))), device)
        started = now()
        for step in range(STEPS):
            if step == 3:
                started = now()
            loss = bare_loss(module, batch, device)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds = since(started)[0]
    rate = (STEPS - 3) * CASE["training"]["sampler"]["batch_size"] / seconds
    figures["compute_items_per_s"] = round(rate, 1)
    figures["of_compute"] = round(figures["ours_items_per_s"] / rate, 3)
    return figures
