"""What a GPU does with this pipeline: embedding and training, each against compute alone.

    python -m benchmarks.gpu

Embedding (ViT-B/32, bfloat16, batches of 256): end to end decodes JPEGs in threads, copies beside computing
and writes an Arrow shard, as the stage does; forward only runs the same batches, which lie on the GPU.

Training (ViT-B/32 and its text tower, bf16 autocast): the pipeline against a bare loop with the same loader.
``of_compute`` is the pipeline's rate over that of forward, loss, backward and optimiser on one batch that
stays on the device: what decoding, augmentation and copies cost.

Weights are random: speed does not see them. Without a GPU nothing is measured, so that `make bench` runs
anywhere.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.embedding import prepare
from benchmarks.harness import benchmark, summary
from benchmarks.synthetic import make_snapshot
from benchmarks.training_step import bare_loss, make_catalog, make_job, measure_case, now, since, to
from recsys.config.embedding import EmbeddingConfig
from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder.inference import embed_products
from recsys.encoder.model import ProductEncoder, build
from recsys.training.fit import make_loader, make_module
from recsys.training.schedule import Clock, Progress
from recsys.training.weights import parameter_groups
from recsys.workspace import Workspace
from recsys.workspace.embeddings import ShardWriter
from recsys.workspace.snapshot import Snapshot

BATCH, PRODUCTS, EMBEDDING_REPEATS = 256, 8192, 5
STEPS, TRAINING_REPEATS = 20, 3
VIT = ImageTowerConfig(kind="open_clip", name="ViT-B-32", resize_mode="crop")
MODELS = {
    "ViT-B-32 + MiniLM": EncoderConfig(dim=512, image=VIT),
    "ViT-B-32, both halves": EncoderConfig(
        dim=512, image=VIT, text=TextTowerConfig(kind="open_clip", name="ViT-B-32")
    ),
}
TRAINING: dict[str, Any] = {
    "encoder": {
        "dim": 512,
        "image": {"kind": "open_clip", "name": "ViT-B-32", "resize_mode": "squash"},
        "text": {"kind": "open_clip", "name": "ViT-B-32", "frozen": False},
    },
    "training": {"sampler": {"batch_size": 256}, "cache_decoded": False},
}


def measure() -> dict[str, Any]:
    """Measure both halves."""
    device = torch.cuda.get_device_name()
    return {
        "gpu": device,
        "torch": torch.__version__,
        "embedding": measure_embedding(),
        "training": measure_training(),
    }


def measure_embedding() -> dict[str, Any]:
    """Return products per second and the ratio (goal 0.90) for each model."""
    results: dict[str, Any] = {"products": PRODUCTS, "batch_size": BATCH}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        snapshot = Snapshot.open(workspace, make_snapshot(workspace, PRODUCTS))
        for name, model in MODELS.items():
            results[name] = compare(build(model, seed=0), snapshot, Path(folder) / "vectors.arrow")
            print(f"{name}: end to end is {results[name]['ratio']:.2f} of forward only (goal 0.90)")
    return results


def compare(encoder: ProductEncoder, snapshot: Snapshot, path: Path) -> dict[str, Any]:
    """Measure one model, the two ways in turn."""
    device = torch.device("cuda")
    encoder = encoder.to(device)
    batches = [
        (
            way,
            inputs.to(device)
            if isinstance(inputs, torch.Tensor)
            else {k: t.to(device) for k, t in inputs.items()},
        )
        for way, inputs in prepare(encoder, snapshot, batch_size=BATCH)
    ]
    options = EmbeddingConfig(device="cuda", batch_size=BATCH, chunk_size=2048)
    store = snapshot.images()

    def forward_only() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            for way, inputs in batches:
                way(inputs)

    def end_to_end() -> None:
        rows = (row for batch in snapshot.batches(encoder.content.columns) for row in batch.to_pylist())
        writer = ShardWriter(path, encoder.dim)
        for vectors in embed_products(encoder, rows, store, options):
            writer.write([bytes(16)] * len(vectors.image), vectors)
        writer.close()

    seconds: dict[str, list[float]] = {"forward_only": [], "end_to_end": []}
    for repeat in range(EMBEDDING_REPEATS + 1):
        for name, way in (("forward_only", forward_only), ("end_to_end", end_to_end)):
            took = timed(way)
            if repeat:  # the first round warms up
                seconds[name].append(took / PRODUCTS)
    found = {name: summary(samples) for name, samples in seconds.items()}
    return {
        "ratio": found["forward_only"]["median"] / found["end_to_end"]["median"],
        "products_per_s": {name: 1 / s["median"] for name, s in found.items()},
        "s_per_product": found,
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def timed(way: Callable[[], None]) -> float:
    """Return the seconds of ``way``, the GPU's work included."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    way()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def measure_training() -> dict[str, Any]:
    """Return the ratios to a bare loop and to compute."""
    with tempfile.TemporaryDirectory() as folder:
        snapshot = make_catalog(Workspace(Path(folder) / "workspace"), products=2000)
        results = measure_case(snapshot, Path(folder) / "case", TRAINING, STEPS, TRAINING_REPEATS)
        job = make_job(snapshot, Path(folder) / "compute", TRAINING, STEPS)
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
    rate = (STEPS - 3) * TRAINING["training"]["sampler"]["batch_size"] / seconds
    results["compute_items_per_s"] = round(rate, 1)
    results["of_compute"] = round(results["ours_items_per_s"] / rate, 3)
    return results


if __name__ == "__main__":
    if torch.cuda.is_available():
        benchmark("gpu", measure, __doc__)
    else:
        print("no GPU on this machine: nothing was measured")
