"""Embedding end to end against the forward passes alone: the same model, images and texts in one run.

    python -m benchmarks.embedding [--products 512] [--repeats 5]

End to end is the stage itself (`embed_shard`): rows from Parquet, JPEGs from the image store decoded and
resized, texts rendered and tokenised, both towers, averaging, projection, an Arrow shard committed. Forward
only is both towers on batches that lie decoded and tokenised in memory, run in the better of two ways: with
torch's threads inside each operation, and with one batch per core. The two are measured in turn.

`ratio_wall` is what a person sees; other work on the machine disturbs it, so `ratio_cpu`, the same of CPU
seconds, stands beside it.
"""

import logging
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import benchmark, summary
from benchmarks.synthetic import IMAGES_PER_PRODUCT, make_snapshot
from recsys.config import Config
from recsys.config.embedding import EmbeddingConfig
from recsys.config.encoder import EncoderConfig, ImageTowerConfig
from recsys.embedding import run
from recsys.encoder.model import ProductEncoder, build
from recsys.machine import available_cores
from recsys.workspace import Workspace
from recsys.workspace.snapshot import Snapshot

WEIGHTS = Path(__file__).resolve().parents[2] / "shared/weights/mobilenetv2_100_tf2ptq_imagenet1k.safetensors"
HALF = (0.5, 0.5, 0.5)
MODELS = {
    "mobilenetv2_100 at 224 + MiniLM": EncoderConfig(
        image=ImageTowerConfig(
            kind="timm", name="mobilenetv2_100", options={"pad_type": "same"}, mean=HALF, std=HALF,
            weights=str(WEIGHTS) if WEIGHTS.is_file() else None,
        )
    ),
    "small at 112 + MiniLM": EncoderConfig(),
}  # fmt: skip
BATCH = 32

Batches = list[tuple[Callable[[Any], torch.Tensor], Any]]


def prepare(encoder: ProductEncoder, snapshot: Snapshot, *, batch_size: int = BATCH) -> Batches:
    """Everything decoded and tokenised, in batches as the stream makes them."""
    contents = [encoder.content.read(row) for b in snapshot.batches() for row in b.to_pylist()]
    hashes = list(dict.fromkeys(sha for content in contents for sha in content.images))
    texts = sorted({content.text or "" for content in contents}, key=len, reverse=True)
    store = snapshot.images()
    batches: Batches = []
    for some in _batched(hashes, batch_size):
        pixels = torch.stack([torch.from_numpy(encoder.preprocess.pixels(store.jpeg(sha))) for sha in some])
        batches.append((encoder.encode_image, pixels.permute(0, 3, 1, 2)))
    batches += [(encoder.text_features, encoder.tokenize(list(some))) for some in _batched(texts, batch_size)]
    return batches


def _batched(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@torch.inference_mode()
def forward(batch: tuple[Callable[[Any], torch.Tensor], Any]) -> None:
    batch[0](batch[1])


def threads_inside(batches: Batches) -> None:
    for batch in batches:
        forward(batch)


def batch_per_core(batches: Batches) -> None:
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(available_cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(forward, batches))
    torch.set_num_threads(threads)


class Timer:
    """Wall and CPU seconds of a block, per product."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def measure(self, work: Callable[[], object], products: int) -> None:
        started, used = time.perf_counter(), _cpu_s()
        work()
        self.wall.append((time.perf_counter() - started) / products)
        self.cpu.append((_cpu_s() - used) / products)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def compare(model: EncoderConfig, workspace: Workspace, snapshot_ref: str, repeats: int) -> dict[str, Any]:
    """Measure one model; products per second and the ratios."""
    encoder = build(model, seed=0)
    with workspace.create("encoders", f"e{len(workspace.list('encoders'))}") as draft:
        encoder.save(draft.path)
    encoder_ref = draft.committed().ref
    config = Config(embedding=EmbeddingConfig(device="cpu", batch_size=BATCH))
    snapshot = Snapshot.open(workspace, snapshot_ref)
    batches, products = prepare(encoder, snapshot), snapshot.num_products
    [shard] = run.plan(config, workspace, snapshot_ref, encoder_ref)

    def end_to_end() -> None:
        ref = run.embed_shard(config, workspace, shard)
        made.append(workspace.get(ref))

    made: list[Any] = []
    ways = {"end_to_end": end_to_end, "threads_inside": lambda: threads_inside(batches),
            "batch_per_core": lambda: batch_per_core(batches)}  # fmt: skip
    timers = {name: Timer() for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            timer = timers[name] if repeat else Timer()  # the first round warms up
            timer.measure(way, products)
            for manifest in [*made, *workspace.list("features")]:
                workspace.delete(manifest)
            made.clear()
    wall = {name: summary(timer.wall) for name, timer in timers.items()}
    cpu = {name: summary(timer.cpu) for name, timer in timers.items()}
    best = min(("threads_inside", "batch_per_core"), key=lambda name: wall[name]["median"])
    least = min(("threads_inside", "batch_per_core"), key=lambda name: cpu[name]["median"])
    return {
        "ratio_wall": wall[best]["median"] / wall["end_to_end"]["median"],
        "ratio_wall_of_best_runs": wall[best]["min"] / wall["end_to_end"]["min"],
        "ratio_cpu": cpu[least]["median"] / cpu["end_to_end"]["median"],
        "products_per_s": {name: 1 / s["median"] for name, s in wall.items()},
        "wall_s_per_product": wall,
        "cpu_s_per_product": cpu,
    }


def measure(products: int, repeats: int) -> dict[str, Any]:
    """Compare the two for each model."""
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(folder)
        snapshot_ref = make_snapshot(workspace, products)
        results: dict[str, Any] = {"products": products, "images_per_product": IMAGES_PER_PRODUCT}
        for name, model in MODELS.items():
            results[name] = compare(model, workspace, snapshot_ref, repeats)
            print(f"{name}: end to end is {results[name]['ratio_wall']:.2f} of forward only (goal 0.90)")
    return results


if __name__ == "__main__":
    benchmark("embedding", measure, __doc__, products=512, repeats=5)
