"""Proof that a collection is what it should be, before anybody reads it.

Contents are compared row by row with the source; vectors, scores, recall and self-retrieval on a
sample. The exact neighbours come from the source's own vectors, not from the engine under test.

The source itself may be wrong: so a sample, another one each time, is encoded anew from the products' images
and texts by the encoder that the collection names, and compared with what the index holds. The golden
queries are made of these vectors.

    Q = sampled queries, N = products encoded anew, B = products of a batch, D = dimensions of one modality
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from recsys.config.index import IndexConfig
from recsys.errors import AuditError
from recsys.index.base import Float32, Hit, Point, Query
from recsys.index.diff import Changes
from recsys.index.engine import Collection, batches
from recsys.index.source import Positions, Row, Source
from recsys.workspace.embeddings import Vectors, halves, product_vectors, query_vector

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Image weights at which neighbours are checked; the pure ones are the hardest for the graph."""
_SCORE_TOLERANCE = 1e-4
_TIE = 1e-5
_ROUNDING = {"fp32": 0.005, "bf16": 0.05}
"""Distance of unit vectors up to which two encodings of one product are the same, by what the towers compute
in: machines round differently. On one CPU 1e-6 was seen; 0.007 between bfloat16 and float32."""
_SHOWN = 5
REENCODED = "encoded anew"
"""The check of vectors against new ones."""
_QUERIES_PER_CALL = 64


_FIX_BUILD = (
    "Publish again: a failed build starts again, a failed change is repeated. If only recall fails, raise "
    "index.ef, index.oversampling or index.hnsw_m."
)
_FIX_VECTORS = (
    "Delete the named embeddings, and the workspace's features, which they may come from; then run the night "
    "again, or `recsys embed` and `recsys publish`; for what is in service, `recsys audit --repair`."
)


class Encode(Protocol):
    """Encodes products of a snapshot anew: :func:`recsys.embedding.reencode.reencode`, or a fake."""

    def __call__(
        self, snapshot_ref: str, encoder_ref: str, precision: str, positions: Positions, /
    ) -> Vectors:
        """Return the vectors ``[N, D]`` of the products at ascending ``positions``."""


@dataclass
class Audit:
    """The findings of one audit."""

    checks: dict[str, str] = field(default_factory=dict)
    """Check → ``"ok"`` or what is wrong."""
    recall: dict[str, float] = field(default_factory=dict)
    """Image weight → recall@k."""
    sampled: int = 0
    """Products whose vectors and payloads were compared."""
    reencoded: int = 0
    """Products whose vectors were compared with new ones."""
    seed: int | None = None
    """Of the sample that was encoded anew; another one each time."""

    def note(self, check: str, problem: str | None) -> None:
        """Record a check; ``problem`` is ``None`` if it passed."""
        self.checks[check] = problem or "ok"

    def require(self, name: str) -> None:
        """Raise :class:`AuditError` with every problem, if there is any."""
        problems = [f"  {check}: {text}" for check, text in self.checks.items() if text != "ok"]
        if problems:
            fix = _FIX_VECTORS if self.checks.get(REENCODED, "ok") != "ok" else _FIX_BUILD
            raise AuditError(
                f"{name} failed its audit; the alias stays where it is.\n" + "\n".join(problems), fix=fix
            )


def audit_build(
    collection: Collection, source: Source, config: IndexConfig, *, seed: int, encode: Encode | None = None
) -> Audit:
    """Check a whole collection against its source; memory is one batch and the samples.

    Without ``encode`` nothing is encoded anew and golden queries are made of the source's vectors.
    """
    audit = Audit()
    _check_contents(audit, collection, source)
    positions = source.sample(config.audit_sample, seed)
    audit.sampled = len(positions)
    if not len(positions) or audit.checks["contents"] != "ok":
        return audit
    _check_points(audit, collection, list(source.points(positions)))
    golden = None
    if encode is not None:
        everything = np.arange(len(source))
        anew, vectors = _check_reencoded(audit, collection, source, everything, config, encode)
        positions = source.sample(config.audit_sample, seed, among=anew)
        golden = vectors[np.searchsorted(anew, positions)]
    points = list(source.points(positions))
    _check_neighbours(audit, collection, source, points, golden, config)
    return audit


def audit_changes(
    collection: Collection,
    source: Source,
    changes: Changes,
    config: IndexConfig,
    *,
    seed: int,
    encode: Encode | None = None,
) -> Audit:
    """Check what a change wrote: the count, samples of what was written, a sample of what went."""
    audit = Audit()
    found = collection.count()
    audit.note("count", None if found == len(source) else f"{found} products, expected {len(source)}")
    written = np.union1d(changes.upsert, changes.payload)
    points = list(source.points(source.sample(config.audit_sample, seed, among=written)))
    audit.sampled = len(points)
    _check_points(audit, collection, points)
    if encode is not None and len(changes.upsert):
        _check_reencoded(audit, collection, source, changes.upsert, config, encode)
    left = [r.id for r in collection.retrieve(changes.gone[: config.audit_sample], payload=False)]
    audit.note("gone", f"still there: {_examples(left)}" if left else None)
    return audit


def _check_reencoded(
    audit: Audit,
    collection: Collection,
    source: Source,
    among: Positions,
    config: IndexConfig,
    encode: Encode,
) -> tuple[Positions, Float32]:
    """Compare a new sample with what the index holds; return its positions and its vectors ``[N, 2 * D]``."""
    audit.seed = secrets.randbits(63)
    positions = source.sample(config.reencode_sample, audit.seed, among=among)
    audit.reencoded = len(positions)
    made = encode(source.snapshot_ref, source.encoder_ref, source.embeddings.precision, positions)
    expected = halves(product_vectors(made.image, made.text))  # [N, 2, D]
    ids = source.embeddings.select(positions).ids
    rounding = _ROUNDING[source.embeddings.precision]
    wrong: list[str] = []
    shards: Counter[str] = Counter()
    refs = source.embeddings.shard_refs(positions)
    for batch in batches(range(len(ids)), _QUERIES_PER_CALL):
        stored = collection.retrieve([ids[i] for i in batch], with_vectors=True)
        records = {record.id: record for record in stored}
        for i in batch:
            record = records.get(ids[i])
            found = None if record is None or record.vector is None else halves(record.vector)
            if found is None or found.shape != expected[i].shape:
                wrong.append(f"{ids[i]} (no such vector)")
            elif (apart := np.linalg.norm(found - expected[i], axis=1)).max() > rounding:
                wrong.append(f"{ids[i]} (image {apart[0]:.3f}, text {apart[1]:.3f})")
            else:
                continue
            shards[refs[i]] += 1
    found_in = ", ".join(f"{count} in {ref}" for ref, count in shards.most_common(_SHOWN))
    problem = (
        f"{len(wrong)} of {len(ids)} are not what {source.encoder_ref} makes of images and texts (distance): "
        f"{_examples(wrong)}; {found_in}"
    )
    audit.note(REENCODED, problem if wrong else None)
    return positions, product_vectors(made.image, made.text)


def _check_contents(audit: Audit, collection: Collection, source: Source) -> None:
    """Compare the multisets of (id, vectors' key, columns' hash) by an order-free checksum."""
    columns = ("embedding_key", "row_hash")
    found, expected = _checksum(map(Row.of, collection.records(columns))), _checksum(source.rows())
    if found == expected:
        audit.note("contents", None)
        return
    have = {row.id: row for row in map(Row.of, collection.records(columns))}
    absent, different = [], []
    for row in source.rows():
        stored = have.pop(row.id, None)
        if stored is None:
            absent.append(row.id)
        elif stored != row:
            different.append(row.id)
    audit.note(
        "contents",
        f"{found[0]} products, expected {expected[0]}: {len(absent)} absent ({_examples(absent)}), "
        f"{len(have)} too many ({_examples(list(have))}), {len(different)} outdated ({_examples(different)})",
    )


def _checksum(rows: Iterable[Row]) -> tuple[int, int]:
    count = total = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        total += hash(row)
    return count, total


def _check_points(audit: Audit, collection: Collection, points: list[Point]) -> None:
    records = {r.id: r for r in collection.retrieve([p.id for p in points], with_vectors=True)}
    vectors, norms, payloads = [], [], []
    for point in points:
        record = records.get(point.id)
        if record is None or record.vector is None or record.vector.shape != point.vector.shape:
            vectors.append(point.id)
            continue
        if not np.allclose(record.vector, point.vector, atol=1e-6):
            vectors.append(point.id)
        if not abs(float(np.linalg.norm(record.vector)) - 1) < 1e-3:
            norms.append(point.id)
        if record.payload != point.payload:
            payloads.append(point.id)
    audit.note("vectors", f"not those embedded: {_examples(vectors)}" if vectors else None)
    audit.note("norms", f"not of unit length: {_examples(norms)}" if norms else None)
    audit.note("payloads", f"not those of the catalog: {_examples(payloads)}" if payloads else None)


def _check_neighbours(
    audit: Audit,
    collection: Collection,
    source: Source,
    points: list[Point],
    golden: Float32 | None,
    config: IndexConfig,
) -> None:
    """Ask for the neighbours of ``points`` by ``golden``, their vectors encoded anew ``[Q, 2 * D]``, or by
    those they have.
    """
    k = min(config.recall_k, len(source))
    rounding = _SCORE_TOLERANCE
    if golden is not None:
        points = [point._replace(vector=vector) for point, vector in zip(points, golden, strict=True)]
        rounding += _ROUNDING[source.embeddings.precision]
    pairs = [halves(p.vector) for p in points]
    queries = np.stack([query_vector(v[0], v[1], w) for w in WEIGHTS for v in pairs])  # [W * Q, 2 * D]
    floors = exact_kth_scores(queries, source, k)
    wrong_scores, lost = [], []
    found = np.zeros(len(queries))
    for i, (query, hits) in enumerate(zip(queries, _search(collection, queries, k), strict=True)):
        point = points[i % len(points)]
        true = np.array([float(query @ h.vector) for h in hits if h.vector is not None])
        if len(true) and np.abs(true - [h.score for h in hits]).max() > _SCORE_TOLERANCE:
            wrong_scores.append(point.id)
        if not _finds_itself(point, query, hits, rounding):
            lost.append(f"{point.id} at weight {WEIGHTS[i // len(points)]}")
        found[i] = np.count_nonzero(true >= floors[i] - _TIE) / k
    by_weight = found.reshape(len(WEIGHTS), len(points)).mean(axis=1)
    audit.recall = {f"{w:g}": round(float(r), 4) for w, r in zip(WEIGHTS, by_weight, strict=True)}
    low = [f"{r:.3f} at weight {w}" for w, r in audit.recall.items() if r < config.min_recall]
    audit.note("scores", f"not the dot product: {_examples(wrong_scores)}" if wrong_scores else None)
    audit.note("golden queries", f"do not find themselves first: {_examples(lost)}" if lost else None)
    audit.note("recall", f"below {config.min_recall}: {', '.join(low)}" if low else None)


def exact_kth_scores(queries: Float32, source: Source, k: int) -> Float32:
    """Return the k-th best exact score of each query, ``[len(queries)]``; memory is one batch of B."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for batch in source.embeddings.batches():
        stored = np.concatenate([batch.vectors.image, batch.vectors.text], axis=1)  # [B, 2 * D]
        scores = queries @ stored.T * np.float32(np.sqrt(0.5))
        both = np.concatenate([best, scores], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    kth: Float32 = best.min(axis=1)
    return kth


def _search(collection: Collection, queries: Float32, k: int) -> Iterator[list[Hit]]:
    for batch in batches(queries, _QUERIES_PER_CALL):
        yield from collection.query_batch(
            [Query(vector=q, limit=k, payload=False, with_vectors=True) for q in batch]
        )


def _finds_itself(point: Point, query: Float32, hits: list[Hit], rounding: float) -> bool:
    """A product's own vector must come first, or share the first place with its duplicates."""
    own = float(query @ point.vector)
    if not hits or hits[0].score < own - rounding:
        return False
    return any(h.id == point.id for h in hits) or hits[-1].score >= own - rounding


def _examples(ids: list[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
