"""Publishing into Qdrant Edge against the bare engine, in one run.

    python -m benchmarks.publish [--products 100000] [--dim 256]

Measures, interleaved:

- ``publish``: :func:`recsys.index.run.run` on a snapshot and an embedding set, everything included
  (reading artifacts, payloads, audit, switch), against ``EdgeShard`` upserts of the same points in the
  same batches with the same payload indexes, plus optimize and flush;
- ``by id``: reading a product's vector and querying with it, against the engine's own query alone;
- ``incremental``: what a change of 1% of the products costs, and the copy of the generation in it.

Vectors are synthetic but shaped like embeddings: clusters of clusters with a falling spectrum.
"""

import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import qdrant_edge as edge

from benchmarks.harness import benchmark, summary
from recsys.config import Config, IndexConfig
from recsys.index import edge as engine
from recsys.index import open_index
from recsys.index.base import Query
from recsys.index.edge_files import copy_generation
from recsys.index.points import indexed_columns, point_id
from recsys.index.run import run
from recsys.index.source import Source
from recsys.workspace import Workspace
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SET_SCHEMA,
    SHARD_FILE,
    SHARD_KIND,
    Float32,
    ShardWriter,
    Vectors,
    halves,
    query_vector,
)
from recsys.workspace.product import PRODUCTS
from recsys.workspace.snapshot import KIND as SNAPSHOT_KIND
from recsys.workspace.snapshot import PRODUCTS_FILE

_QUERIES = 2000


def embeddings(count: int, dim: int, seed: int) -> Float32:
    """Return unit vectors ``[count, dim]`` in nested clusters, variance falling with the dimension."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    coarse = rng.normal(size=(40, dim)).astype(np.float32)
    fine = coarse[rng.integers(0, 40, 1500)] + 0.7 * rng.normal(size=(1500, dim)).astype(np.float32)
    vectors = fine[rng.integers(0, 1500, count)] + 0.6 * rng.normal(size=(count, dim)).astype(np.float32)
    vectors *= spectrum
    unit: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def catalog(count: int, *, changed: range = range(0)) -> pa.Table:
    """Return ``count`` products; those in ``changed`` with another title and price."""
    rng = np.random.default_rng(1)
    paths = [f"Department {d} > Aisle {a} > Shelf {s}" for d in range(8) for a in range(5) for s in range(3)]
    numbers = np.arange(count)
    which = rng.integers(0, len(paths), count)
    colours = np.array(["red", "green", "blue", "black", "white", "beige", "grey", "navy"])
    prices = np.round(rng.lognormal(3, 1, count), 2)
    titles = [f"A product of the long kind with a name, number {i}" for i in numbers]
    for i in changed:
        titles[i] += ", revised"
        prices[i] += 1
    columns: dict[str, Any] = {name: pa.nulls(count, PRODUCTS.field(name).type) for name in PRODUCTS.names}
    columns |= {
        "id": pa.array([f"sku-{i:08d}" for i in numbers]),
        "title": pa.array(titles),
        "brand": pa.array([f"Brand {i}" for i in rng.integers(0, 300, count)]),
        "product_type": pa.array([paths[i] for i in which]),
        "color": pa.array(colours[rng.integers(0, 8, count)]),
        "gender": pa.array(np.array(["female", "male", "unisex"])[rng.integers(0, 3, count)]),
        "availability": pa.array(
            np.array(["in_stock", "out_of_stock"])[(rng.random(count) < 0.1).astype(int)]
        ),
        "price": pa.array(prices),
        "currency": pa.array(["EUR"] * count),
        "link": pa.array([f"https://shop.example/products/{i}" for i in numbers]),
        "item_group_id": pa.array([f"group-{i // 3}" for i in numbers]),
        "attributes": pa.array([[("season", "summer")]] * count, PRODUCTS.field("attributes").type),
        "images": pa.array([[int(i).to_bytes(32, "big")] for i in numbers], PRODUCTS.field("images").type),
    }
    hashes = [
        hash((t, p)).to_bytes(16, "big", signed=True) for t, p in zip(titles, prices.tolist(), strict=True)
    ]
    columns |= {name: pa.array(hashes, pa.binary(16)) for name in ("content_hash", "payload_hash")}
    return pa.Table.from_arrays([columns[n] for n in PRODUCTS.names], schema=PRODUCTS)


def write_inputs(
    workspace: Workspace, products: pa.Table, image: Float32, text: Float32, tag: str
) -> tuple[str, str]:
    """Write a snapshot and its embedding set; return their refs."""
    with workspace.create(SNAPSHOT_KIND, f"s-{tag}") as draft:
        pq.write_table(products, draft.path / PRODUCTS_FILE)
        draft.info["image_shards"] = []
    snapshot = draft.committed().ref
    count, keys = len(image), [v.tobytes()[:16] for v in image]
    inputs = {"snapshot": snapshot, "encoder": "encoders/bench"}
    with workspace.create(SHARD_KIND, f"v-{tag}", inputs=inputs) as draft:
        writer = ShardWriter(draft.path / SHARD_FILE, image.shape[1])
        for start in range(0, count, 4096):
            part = slice(start, start + 4096)
            present = np.ones(len(image[part]), np.bool_)
            writer.write(keys[part], Vectors(image[part], text[part], present, present))
        writer.close()
    with workspace.create(SET_KIND, f"e-{tag}", inputs=inputs) as out:
        out.info |= {"dim": image.shape[1], "shards": [draft.committed().ref]}
        rows = pa.table(
            [
                products["id"],
                pa.array(keys, pa.binary(16)),
                np.zeros(count, np.int32),
                np.arange(count, dtype=np.int32),
            ],
            schema=SET_SCHEMA,
        )
        with pa.OSFile(str(out.path / SET_FILE), "wb") as file, pa.ipc.new_file(file, SET_SCHEMA) as arrow:
            arrow.write_table(rows)
    workspace.write_pointer("catalog", {"snapshot": snapshot})
    return snapshot, out.committed().ref


def bare(folder: Path, source: Source, config: IndexConfig) -> dict[str, float]:
    """Upsert the same points with nothing around it; points are made beforehand and not counted."""
    folder.mkdir()
    batches: list[list[Any]] = [[]]
    for point in source.points():
        if len(batches[-1]) == config.batch_size:
            batches.append([])
        batches[-1].append(point)
    timings = {}
    cpu = time.process_time()
    started = time.perf_counter()
    shard = edge.EdgeShard.create(str(folder), engine.shard_config(config, source.dim))
    for column, kind in indexed_columns(config.attributes).items():
        shard.update(edge.UpdateOperation.create_field_index(column, engine.INDEX_KINDS[kind]))
    for batch in batches:
        points = [edge.Point(point_id(p.id), p.vector.tolist(), p.payload) for p in batch]
        shard.update(edge.UpdateOperation.upsert_points(points))
    timings["upsert_s"] = time.perf_counter() - started
    shard.optimize()
    timings["optimize_s"] = time.perf_counter() - started - timings["upsert_s"]
    shard.flush()
    timings["total_s"] = time.perf_counter() - started
    timings["cpu_s"] = time.process_time() - cpu
    shard.close()
    return timings


def queries(config: Config, workspace: Workspace, source: Source) -> dict[str, Any]:
    """Time the by-id query and the engine's own, by chance on one product or another.

    Each product is asked about once: a second question would find in the processor's cache what the first
    one brought there.
    """
    index = open_index(config, workspace)
    collection: Any = index.open()
    chosen = list(source.points(source.sample(_QUERIES, 7)))
    by_id: list[float] = []
    bare_engine: list[float] = []
    lots = np.random.default_rng(0).permutation(len(chosen)) % 2
    for i, point in enumerate(chosen):
        weight = (0.0, 0.25, 0.5, 0.75, 1.0)[i % 5]
        image, text = halves(point.vector)
        query = Query(vector=query_vector(image, text, weight), limit=11)
        request = collection.request(query)

        def ask_by_id(point: Any = point, weight: float = weight) -> None:
            opened = index.open()
            stored: Any = opened.retrieve([point.id], payload=False, with_vectors=True)[0].vector
            vector = query_vector(*halves(stored), weight)
            opened.query(Query(vector=vector, limit=11, with_vectors=True))

        def ask_engine(request: Any = request) -> None:
            collection.shard.query(request)

        samples, ask = (by_id, ask_by_id) if lots[i] else (bare_engine, ask_engine)
        started = time.perf_counter()
        ask()
        samples.append((time.perf_counter() - started) * 1e3)
    index.close()
    over = float(np.median(by_id) - np.median(bare_engine))
    return {
        "engine_p50_ms": float(np.median(bare_engine)),
        "by_id_p50_ms": float(np.median(by_id)),
        "by_id_p95_ms": float(np.percentile(by_id, 95)),
        "by_id_over_engine_ms": over,
    }


def measure(products: int, dim: int, repeats: int) -> dict[str, Any]:
    """Publish, query and change synthetic products with ``dim`` dimensions per modality."""
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        return measure_in(Path(folder), products, dim, repeats)


def measure_in(root: Path, count: int, dim: int, repeats: int) -> dict[str, Any]:
    config = Config()
    image, text = embeddings(count, dim, 1), embeddings(count, dim, 2)
    table = catalog(count)
    ratios, cpu_ratios, publish_s, bare_s, steps = [], [], [], [], {}
    for repeat in range(repeats):
        workspace = Workspace(root / f"w{repeat}")
        refs = write_inputs(workspace, table, image, text, "first")
        source = Source(workspace, *refs)
        if repeat % 2:
            base = bare(root / f"bare{repeat}", source, config.index)
        cpu, started = time.process_time(), time.perf_counter()
        steps = run(config, workspace, *refs).info
        publish_s.append(time.perf_counter() - started)
        cpu = time.process_time() - cpu
        if not repeat % 2:
            base = bare(root / f"bare{repeat}", source, config.index)
        bare_s.append(base["total_s"])
        ratios.append(base["total_s"] / publish_s[-1])
        cpu_ratios.append(base["cpu_s"] / cpu)
        shutil.rmtree(root / f"bare{repeat}")
        print(
            f"repeat {repeat}: publish {publish_s[-1]:.2f} s, bare {base}, "
            f"ratio {ratios[-1]:.3f}, by CPU {cpu_ratios[-1]:.3f}",
            flush=True,
        )
        if repeat < repeats - 1:
            shutil.rmtree(root / f"w{repeat}")
    return {
        "products": count,
        "dimensions": 2 * dim,
        "publish_s": summary(publish_s),
        "bare_s": summary(bare_s),
        "publish_over_bare_speed": summary(ratios),
        "publish_over_bare_speed_by_cpu_time": summary(cpu_ratios),
        "last_publish_steps": steps["timings"],
        "last_bare_steps": base,
        "recall": steps["audit"]["recall"],
        "query": queries(config, workspace, source),
        "incremental": incremental(config, workspace, table, image, text),
    }


def incremental(
    config: Config, workspace: Workspace, table: pa.Table, image: Float32, text: Float32
) -> dict[str, Any]:
    """Change 1% of the products and publish; time the copy of the generation by itself."""
    count = len(table)
    changed = range(0, count, 100)
    moved = image.copy()
    moved[changed] = embeddings(count, image.shape[1], 3)[changed]
    refs = write_inputs(workspace, catalog(count, changed=changed), moved, text, "second")
    info = run(config, workspace, *refs).info
    folder = next((workspace.local / "index/collections").glob("*/g000002"))
    started = time.perf_counter()
    copy_generation(folder, folder.parent / "copy")
    copy_s = time.perf_counter() - started
    shutil.rmtree(folder.parent / "copy")
    return {
        "changed": len(changed),
        "counts": info["counts"],
        "steps": info["timings"],
        "copy_s": round(copy_s, 3),
    }


if __name__ == "__main__":
    benchmark("publish", measure, __doc__, products=100_000, dim=256, repeats=3)
