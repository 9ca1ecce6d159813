"""By-id lookup through HTTP over Qdrant Edge against the bare engine, in one run.

    python -m benchmarks.search_http [--products 100000] [--dim 256]

The service is a process of its own (one, as `recsys serve` starts it, its log written to a file), the load
comes from `wrk` on the same machine, which takes one core of two. In turns, ``--repeats`` times:

- ``engine``: the engine's own query for each product's vector, same limit, payloads included, one after
  another in a process with nothing else;
- ``1 connections``: what a request takes; minus the engine's median, what the service adds;
- several connections: what it holds, and its ratio to the engine's own queries.

``in threads`` answers requests by id in threads instead of the event loop: why the service does not do so.

On a machine that has other work, `chrt -r 1 python -m benchmarks.search_http` keeps it out of the way; the
record says so.
"""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.harness import benchmark, in_fresh_process, summary
from benchmarks.publish import catalog, embeddings, write_inputs
from recsys.config import Config, IndexConfig, WorkspaceConfig
from recsys.index import open_index
from recsys.index.base import Query
from recsys.index.run import run
from recsys.index.source import Source
from recsys.workspace import Workspace
from recsys.workspace.embeddings import halves, query_vector

LIMIT = 10
_QUERIES = 2000
_SECONDS = 10
_CONNECTIONS = (1, 4, 8)
_SCRIPT = """
local ids = {}
for id in io.lines("%s") do ids[#ids + 1] = id end
local next = 0
request = function()
  next = next %% #ids + 1
  return wrk.format("GET", "/v1/products/" .. ids[next] .. "/similar?limit=%d")
end
done = function(summary, latency, requests)
  io.write(string.format(
    '\\n{"requests": %%d, "seconds": %%f, "wrong": %%d, "p50_ms": %%f, "p90_ms": %%f, "p99_ms": %%f}\\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3))
end
"""


def measure(products: int, dim: int, repeats: int) -> dict[str, Any]:
    """Publish synthetic products with ``dim`` dimensions per modality and load the service."""
    if shutil.which("wrk") is None:
        sys.exit("The load generator wrk is not here. Install it: apt-get install wrk (or brew install wrk).")
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        return measure_in(Path(folder), products, dim, repeats)


def measure_in(root: Path, count: int, dim: int, repeats: int) -> dict[str, Any]:
    """Publish, then run everything in turns."""
    chosen = publish(root, count, dim)
    engine: list[dict[str, float]] = []
    rounds: dict[tuple[bool, int], list[dict[str, Any]]] = {}
    for repeat in range(repeats):
        for quick in (True, False) if repeat % 2 == 0 else (False, True):
            engine.append(in_fresh_process(query_engine, str(root / "w"), str(root / "ids")))
            with service(root, quick=quick) as url:
                load(root, url, 4, seconds=3)  # the first calls open files
                for connections in _CONNECTIONS:
                    found = load(root, url, connections) | {"engine": engine[-1]}
                    rounds.setdefault((quick, connections), []).append(found)
                    print(f"repeat {repeat}, {_way(quick)}, {connections} connections: {found}", flush=True)
                size = len(httpx.get(f"{url}/v1/products/{chosen[0]}/similar?limit={LIMIT}").content)
    wrong = sum(r["wrong"] for found in rounds.values() for r in found)
    assert not wrong, f"{wrong} requests failed"
    return {
        "products": count, "dimensions": 2 * dim, "limit": LIMIT, "answer_bytes": size,
        "real_time_priority": os.sched_getscheduler(0) != os.SCHED_OTHER,
        "engine": {name: summary([e[name] for e in engine]) for name in engine[0]},
        **{_way(quick): {
            f"{c} connections": _summarise(found, alone=c == 1)
            for (q, c), found in rounds.items() if q == quick
        } for quick in (True, False)},
    }  # fmt: skip


def publish(root: Path, count: int, dim: int) -> list[str]:
    """Publish a catalog, write what `wrk` reads, and return the ids that it asks for."""
    config = Config(workspace=WorkspaceConfig(root=str(root / "w")))
    workspace = Workspace(root / "w")
    image, text = embeddings(count, dim, 1), embeddings(count, dim, 2)
    refs = write_inputs(workspace, catalog(count), image, text, "bench")
    run(config, workspace, *refs)
    source = Source(workspace, *refs)
    chosen = [p.id for p in source.points(source.sample(_QUERIES, 7))]
    np.random.default_rng(3).shuffle(chosen)
    write_load(root, chosen)
    return chosen


def write_load(root: Path, ids: list[str]) -> None:
    """Write what `wrk` reads to ask for these products in turn."""
    (root / "ids").write_text("\n".join(ids) + "\n", encoding="utf-8")
    (root / "load.lua").write_text(_SCRIPT % (root / "ids", LIMIT), encoding="utf-8")


def _summarise(found: list[dict[str, Any]], *, alone: bool) -> dict[str, Any]:
    rates = [r["requests"] / r["seconds"] for r in found]
    engine = [r["engine"] for r in found]
    summarised = {
        "requests_per_s": summary(rates),
        "over_engine_queries_per_s": summary(
            [r / e["queries_per_s"] for r, e in zip(rates, engine, strict=True)]
        ),
        **{name: summary([r[name] for r in found]) for name in ("p50_ms", "p90_ms", "p99_ms")},
    }
    if alone:
        added = [r["p50_ms"] - e["p50_ms"] for r, e in zip(found, engine, strict=True)]
        summarised["added_to_engine_p50_ms"] = summary(added)
    return summarised


def _way(quick: bool) -> str:
    return "event loop" if quick else "in threads"


def load(root: Path, url: str, connections: int, *, seconds: int = _SECONDS) -> dict[str, Any]:
    """Ask with `wrk` for some seconds; return what it says."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(root / "load.lua"), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@contextmanager
def service(root: Path, *, quick: bool) -> Iterator[str]:
    """Start the service as a process; yield its address."""
    with (root / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.search_http_service", str(root / "w"), str(int(quick))],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        match = re.search(r"http://\S+?:\d+", said)
        assert match, f"the service did not start: {(root / 'service.log').read_text()[-2000:]}"
        while "cannot be answered" not in (root / "service.log").read_text():
            time.sleep(0.2)  # it has yet to find that the encoder of this catalog is not there
        yield match[0]
    finally:
        process.terminate()
        process.wait(60)


def query_engine(workspace: str, ids: str) -> dict[str, float]:
    """Time the engine's own query for each product, one after another."""
    config = Config(index=IndexConfig())
    index = open_index(config, Workspace(workspace))
    collection: Any = index.open()
    samples: list[float] = []
    for _ in range(2):  # the first round opens files
        samples.clear()
        for id in Path(ids).read_text(encoding="utf-8").split():
            vector = collection.retrieve([id], with_vectors=True)[0].vector
            image, text = halves(vector)
            query = Query(vector=query_vector(image, text, 0.5), limit=LIMIT + 1)
            request = collection.request(query)
            started = time.perf_counter()
            collection.shard.query(request)
            samples.append((time.perf_counter() - started) * 1e3)
    index.close()
    p50, p99 = np.percentile(samples, (50, 99)).tolist()
    return {"p50_ms": p50, "p99_ms": p99, "queries_per_s": 1e3 / float(np.mean(samples))}


if __name__ == "__main__":
    benchmark("search_http", measure, __doc__, products=100_000, dim=256, repeats=3)
