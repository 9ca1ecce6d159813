"""Embedding on a GPU, end to end, against the forward passes alone: ViT-B/32, bfloat16, batches of 256.

End to end decodes JPEGs in threads, copies beside computing and writes an Arrow shard, as the stage does.
Forward only runs the same batches, which lie on the GPU. Weights are random: speed does not see them.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.embedding import prepare
from benchmarks.record import summary
from benchmarks.shop import make_shop
from recsys.config.encoder import EncoderConfig, ImageTowerConfig, TextTowerConfig
from recsys.encoder import InferenceOptions, ProductEncoder, build, embed_products
from recsys.workspace import Workspace
from recsys.workspace.embeddings import ShardWriter
from recsys.workspace.snapshot import Snapshot

BATCH, PRODUCTS, REPEATS = 256, 8192, 5
VIT = ImageTowerConfig(kind="open_clip", name="ViT-B-32", resize_mode="crop")
MODELS = {
    "ViT-B-32 + MiniLM": EncoderConfig(dim=512, image=VIT),
    "ViT-B-32, both halves": EncoderConfig(
        dim=512, image=VIT, text=TextTowerConfig(kind="open_clip", name="ViT-B-32")
    ),
}


def measure() -> dict[str, Any]:
    """Return products per second and the ratio (goal 0.90) for each model."""
    figures: dict[str, Any] = {"products": PRODUCTS, "batch_size": BATCH}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        snapshot = Snapshot.open(workspace, make_shop(workspace, PRODUCTS))
        for name, model in MODELS.items():
            figures[name] = compare(build(model, seed=0), snapshot, Path(folder) / "vectors.arrow")
            print(f"{name}: end to end is {figures[name]['ratio']:.2f} of forward only (goal 0.90)")
    return figures


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
    options = InferenceOptions(device="cuda", batch_size=BATCH, chunk_size=2048)
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
    for repeat in range(REPEATS + 1):
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
