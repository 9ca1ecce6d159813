"""Recall of the index against exact search, on the project's own embeddings.

    python -m benchmarks.recall [--configs conf/fashion.toml conf/grocery.toml] [--grow 6]

Takes the latest embedding set of each configuration's workspace, fills Qdrant Edge with it as the
publisher does, and asks for the ten nearest of 200 products at five weights of image and text, under
several search settings. ``--grow n`` adds n - 1 products per product, each a mixture of it and one of its
ten nearest in each half, so that the graph is as crowded as that of a larger catalog.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from benchmarks.harness import benchmark
from recsys.config import Config, load
from recsys.index import edge as engine
from recsys.index.points import point_id
from recsys.workspace import Workspace
from recsys.workspace.embeddings import SET_KIND, EmbeddingSet, Float32, product_vectors, query_vector

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
SETTINGS: dict[str, dict[str, Any]] = {
    "ef 256, rescored x4 (ours)": {},
    "ef 128, rescored x4": {"ef": 128},
    "ef 64, rescored x4": {"ef": 64},
    "ef 256, rescored x1": {"oversampling": 1.0},
    "ef 256, not rescored": {"rescore": False},
    "ef 256, no quantisation": {"ignore": True},
}
_QUERIES, _K, _TIE = 200, 10, 1e-5


def read(path: str) -> tuple[Config, Float32, Float32]:
    """Return the latest embeddings ``[N, D]`` of a configuration's workspace."""
    config = load(path)
    workspace = Workspace(config.resolve(config.workspace.root))
    latest = workspace.list(SET_KIND)[-1]
    vectors = [b.vectors for b in EmbeddingSet(workspace, latest.ref).batches()]
    return config, np.concatenate([v.image for v in vectors]), np.concatenate([v.text for v in vectors])


def grow(image: Float32, text: Float32, times: int, seed: int = 0) -> tuple[Float32, Float32]:
    """Return ``times`` as many products: mixtures of each with one of its ten nearest, half by half."""
    rng = np.random.default_rng(seed)
    halves = []
    for half in (image, text):
        nearest = np.concatenate(
            [np.argpartition(-(part @ half.T), 10, axis=1)[:, :11] for part in np.array_split(half, 20)]
        )
        parts = [half]
        for _ in range(times - 1):
            other = half[nearest[np.arange(len(half)), rng.integers(0, 11, len(half))]]
            share = rng.uniform(0.2, 0.8, (len(half), 1)).astype(np.float32)
            mixed = share * half + (1 - share) * other
            parts.append(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
        halves.append(np.concatenate(parts))
    return halves[0], halves[1]


def fill(folder: Path, stored: Float32, config: Config) -> tuple[Any, dict[str, float]]:
    """Return a shard with every vector in a graph, and how long it took."""
    folder.mkdir()
    shard = edge.EdgeShard.create(str(folder), engine.shard_config(config.index, stored.shape[1] // 2))
    started = time.perf_counter()
    size = config.index.batch_size
    for start in range(0, len(stored), size):
        points = [
            edge.Point(point_id(str(i)), stored[i].tolist(), {"id": str(i)})
            for i in range(start, min(start + size, len(stored)))
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    upserted = time.perf_counter()
    shard.optimize()
    return shard, {"upsert_s": upserted - started, "index_s": time.perf_counter() - upserted}


def exact(queries: Float32, stored: Float32) -> Float32:
    """Return the score of each query's k-th nearest, ``[Q]``."""
    kth: Float32 = np.sort(np.partition(queries @ stored.T, -_K, axis=1)[:, -_K:], axis=1)[:, 0]
    return kth


def ask(shard: Any, queries: Float32, stored: Float32, setting: dict[str, Any]) -> tuple[float, list[float]]:
    """Return recall@k and the latencies in ms under one setting."""
    quantization = edge.QuantizationSearchParams(
        ignore=setting.get("ignore", False),
        rescore=setting.get("rescore", True),
        oversampling=setting.get("oversampling", 4.0) if setting.get("rescore", True) else None,
    )
    params = edge.SearchParams(hnsw_ef=setting.get("ef", 256), quantization=quantization)
    floors = exact(queries, stored)
    found, latencies = 0, []
    for query, floor in zip(queries, floors, strict=True):
        request = edge.QueryRequest(
            _K, query=edge.Query.Nearest(query.tolist()), params=params, with_payload=True
        )
        started = time.perf_counter()
        hits = shard.query(request)
        latencies.append((time.perf_counter() - started) * 1e3)
        true = stored[[int(h.payload["id"]) for h in hits]] @ query
        found += int(np.count_nonzero(true >= floor - _TIE))
    return found / (_K * len(queries)), latencies


def measure_catalog(path: str, times: int) -> dict[str, Any]:
    """Return recall and latency on one catalog."""
    config, image, text = read(path)
    if times > 1:
        image, text = grow(image, text, times)
    stored = product_vectors(image, text)
    folder = Path(tempfile.mkdtemp())
    try:
        shard, timings = fill(folder / "shard", stored, config)
        chosen = np.random.default_rng(1).choice(len(stored), min(_QUERIES, len(stored)), replace=False)
        results: dict[str, Any] = {
            "products": len(stored),
            "dimensions": stored.shape[1],
            "in_graph": shard.info().indexed_vectors_count,
            **{name: round(value, 2) for name, value in timings.items()},
            "recall_at_10": {},
            "p50_ms": {},
        }
        for name, setting in SETTINGS.items():
            by_weight, latencies = {}, []
            for weight in WEIGHTS:
                queries = np.stack([query_vector(image[i], text[i], weight) for i in chosen])
                recall, taken = ask(shard, queries, stored, setting)
                by_weight[f"{weight:g}"] = round(recall, 4)
                latencies += taken
            results["recall_at_10"][name] = by_weight
            results["p50_ms"][name] = round(float(np.median(latencies)), 3)
        shard.close()
    finally:
        shutil.rmtree(folder)
    return results


def measure(configs: tuple[str, ...], grow: int) -> dict[str, Any]:
    """Measure each catalog as it is, and grown."""
    results = {}
    for path in configs:
        for times in sorted({1, grow}):
            name = Path(path).stem + (f", grown {times} times" if times > 1 else "")
            results[name] = measure_catalog(path, times)
            print(name, results[name])
    return results


if __name__ == "__main__":
    benchmark("recall", measure, __doc__, configs=("conf/fashion.toml", "conf/grocery.toml"), grow=6)
