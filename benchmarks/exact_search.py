"""Exact search and exact evaluation against FAISS's flat index: time in one run, and memory.

    python -m benchmarks.exact_search [--size 60000] [--repeats 3] [--threads 2]

``search`` is the bare top 100 of every product among all. ``evaluation`` is every metric of the pipeline
(recall, precision, R-precision, MAP@R, nDCG, depth 100) for groups of 12 products; ``evaluation_category``
the same for classes of 600, for which MAP@R must order 599 results per query.

Times are taken in turns, several times, with the same number of threads; ratios are of medians. Memory is
the peak of resident memory in a fresh process over what it held once the embeddings were loaded
(``above_embeddings_mb``), and over the embeddings' own bytes, interpreter and libraries included
(``above_embeddings_with_interpreter_mb``).
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import benchmark, in_fresh_process, process_status_mb

DIM, K = 512, 100
GROUP, CLASS = 12, 600
METRICS = ("recall@1", "recall@10", "recall@100", "precision@1", "r_precision", "map@r", "ndcg@100")
TASKS = ("search", "evaluation", "evaluation_category", "faiss")


def embeddings(size: int, dim: int = DIM) -> np.ndarray:
    """Unit vectors in groups of 12 within classes of 600, in no order."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((size, dim), dtype=np.float32) * 1.6
    classes = rng.standard_normal((size // CLASS + 1, dim), dtype=np.float32)
    groups = rng.standard_normal((size // GROUP + 1, dim), dtype=np.float32)
    for i in range(0, size, 4096):
        at = np.arange(i, min(i + 4096, size))
        vectors[at] += classes[at // CLASS] * 0.6 + groups[at // GROUP]
        vectors[at] /= np.linalg.norm(vectors[at], axis=1, keepdims=True)
    order = rng.permutation(size)
    return vectors[order]


def labels(size: int, per_label: int) -> np.ndarray:
    """The label of each of :func:`embeddings`."""
    rng = np.random.default_rng(0)
    for shape in ((size, DIM), (size // CLASS + 1, DIM), (size // GROUP + 1, DIM)):
        rng.standard_normal(shape, dtype=np.float32)  # the same stream of random numbers
    return rng.permutation(size) // per_label


def search(vectors: np.ndarray) -> float:
    """Our bare top k; returns a checksum."""
    from recsys.metrics.exact import Term, score_chunks, top_k

    size, total = len(vectors), 0.0
    for _, scores in score_chunks([Term(vectors, vectors)], np.full(size, K)):
        last = top_k(scores, K)[:, -1]
        total += float(scores[np.arange(len(scores)), last].sum())
    return total / size


def evaluation(vectors: np.ndarray, codes: np.ndarray) -> float:
    """Every metric, each product searched among all others; returns MAP@R."""
    from recsys.config.evaluation import TaskConfig
    from recsys.evaluation.relevance import Relevance, equal_labels
    from recsys.evaluation.scores import PoolVectors, score_queries
    from recsys.evaluation.tasks import PreparedTask
    from recsys.workspace.embeddings import Vectors

    everyone = np.arange(len(vectors))
    relevance = Relevance(
        [equal_labels(codes, codes)], shape=(len(codes),) * 2, hidden=[equal_labels(everyone, everyone)]
    )
    num_relevant, num_not_similar = relevance.counts()
    task = PreparedTask(
        config=TaskConfig(name="labels", modality="image", relevant=("label",), metrics=METRICS),
        queries=everyone, gallery=everyone, group_starts=None, relevance=relevance,
        num_relevant=num_relevant, num_not_similar=num_not_similar, num_without_relevant=0,
        is_judgements=False,
    )  # fmt: skip
    present = np.ones(len(vectors), np.bool_)
    values = score_queries(task, PoolVectors(everyone, Vectors(vectors, vectors, present, present)), 1.0)
    return float(values["map@r"].mean())


def faiss_search(vectors: np.ndarray, threads: int) -> Callable[[], float]:
    """The yardstick: an IndexFlatIP that already holds the vectors."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda: float(index.search(vectors, K)[0][:, -1].mean())


def jobs(vectors: np.ndarray, threads: int, names: tuple[str, ...]) -> dict[str, Callable[[], float]]:
    """The named jobs, ready to run."""
    size = len(vectors)
    made: dict[str, Callable[[], float]] = {}
    for name in names:
        if name == "search":
            made[name] = lambda: search(vectors)
        elif name == "faiss":
            made[name] = faiss_search(vectors, threads)
        else:
            codes = labels(size, GROUP if name == "evaluation" else CLASS)
            made[name] = lambda codes=codes: evaluation(vectors, codes)
    return made


def timed(job: Callable[[], float]) -> dict[str, float]:
    """Wall and CPU seconds of one run, and its answer."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = job()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "answer": answer}


def memory(name: str, path: Path, threads: int) -> dict[str, float]:
    """Return the peak memory of one job in this process, which did nothing before."""
    vectors = np.load(path)
    job = jobs(vectors, threads, (name,))[name]
    jobs(vectors[:256], threads, (name,))[name]()  # loads libraries and starts their threads
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = process_status_mb("VmRSS")
    job()
    peak, size = process_status_mb("VmHWM"), vectors.nbytes / 1e6
    return {"above_embeddings_mb": peak - before, "above_embeddings_with_interpreter_mb": peak - size}


def measure(size: int, repeats: int, threads: int) -> dict[str, Any]:
    """Let ours and FAISS take turns; then measure the memory of each of ours."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(threads):  # read when numpy is imported: start again
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.exact_search", *sys.argv[1:]],
                  os.environ | dict.fromkeys(names, str(threads)))  # fmt: skip
    vectors = embeddings(size)
    ready = jobs(vectors, threads, TASKS)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in TASKS}
    for _ in range(repeats):
        for name in TASKS:
            times[name].append(timed(ready[name]))
            print(f"{name}: {times[name][-1]}", file=sys.stderr)
    median = {
        clock: {name: sorted(t[clock] for t in times[name])[repeats // 2] for name in TASKS}
        for clock in ("wall_s", "cpu_s")
    }
    ready.clear()
    ours = ("search", "evaluation", "evaluation_category")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        del vectors
        memories = {name: in_fresh_process(memory, name, path, threads) for name in ours}
    return {
        "size": size, "dim": DIM, "k": K, "threads": threads,
        "ratio_to_faiss_wall": {n: median["wall_s"][n] / median["wall_s"]["faiss"] for n in ours},
        "ratio_to_faiss_cpu": {n: median["cpu_s"][n] / median["cpu_s"]["faiss"] for n in ours},
        "targets": {"ratio_to_faiss": 1.1, "above_embeddings_mb": 300},
        "memory": memories,
        "seconds": times,
    }  # fmt: skip


if __name__ == "__main__":
    benchmark("exact_search", measure, __doc__, size=60_000, repeats=3, threads=2)
