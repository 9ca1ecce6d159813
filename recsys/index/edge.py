"""Qdrant Edge: the engine in this process, with a server's semantics in a folder.

Any number of processes read while one writes: readers open a generation that is never written again
and follow the records, writers work on the next generation. See ``docs/adr/`` for why.

Translates our values into Qdrant Edge's: shard configuration, filters, points, requests.

One shard of Qdrant Edge as a collection: opened for reading, or for writing.
"""

import logging
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import qdrant_edge as edge
from filelock import BaseFileLock, Timeout

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, InputError, TransientError
from recsys.index.base import (
    BUILDING,
    READY,
    CollectionInfo,
    Float32,
    Hit,
    Metadata,
    Payload,
    Point,
    Query,
    StoredPoint,
)
from recsys.index.edge_files import (
    EdgeFiles,
    Entry,
    Links,
    Signature,
    copy_generation,
    next_generation,
    signature,
)  # fmt: skip
from recsys.index.filters import AnyOf, Filter, Ids, Not, Range
from recsys.index.points import indexed_columns, point_id

logger = logging.getLogger(__name__)


INDEX_KINDS = {
    "keyword": edge.PayloadSchemaType.Keyword,
    "float": edge.PayloadSchemaType.Float,
}


def shard_config(config: IndexConfig, dim: int) -> Any:
    """Return the configuration of a shard for vectors of ``2 * dim``.

    No write-ahead log: it locks the folder to one process, and a writer works on files that nobody
    reads, so what a kill loses is written again.
    """
    memory = edge.Memory.Cold if config.vectors_on_disk else edge.Memory.Cached
    quantization = edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, quantile=0.99, memory=edge.Memory.Pinned
    )
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(2 * dim, edge.Distance.Dot, memory=memory),
        hnsw_config=edge.HnswIndexConfig(
            config.hnsw_m,
            config.ef_construct,
            config.indexing_threshold_kb,
            max_indexing_threads=config.max_indexing_threads,
        ),
        quantization_config=quantization if config.quantize else None,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=config.indexing_threshold_kb),
        wal_enabled=False,
    )


def to_filter(filter: Filter) -> Any:
    """Return Edge's filter, ``None`` for an empty one."""
    if not filter:
        return None
    must = [_condition(c) for c in filter if not isinstance(c, Not)]
    must_not = [_condition(c.condition) for c in filter if isinstance(c, Not)]
    return edge.Filter(must=must or None, must_not=must_not or None)


def _condition(condition: AnyOf | Range | Ids) -> Any:
    if isinstance(condition, Ids):
        return edge.HasIdCondition({point_id(i) for i in condition.ids})
    if isinstance(condition, Range):
        bounds = edge.RangeFloat(
            gte=condition.gte, gt=condition.gt, lte=condition.lte, lt=condition.lt
        )  # fmt: skip
        return edge.FieldCondition(condition.column, range=bounds)
    return edge.FieldCondition(condition.column, match=edge.MatchAny(list(condition.values)))


def to_point(point: Point) -> Any:
    """Return Edge's point."""
    return edge.Point(point_id(point.id), point.vector.tolist(), point.payload)


def to_request(query: Query, config: IndexConfig) -> Any:
    """Return Edge's request of a query."""
    if query.exact:
        params = edge.SearchParams(exact=True, quantization=edge.QuantizationSearchParams(ignore=True))
    else:
        rescoring = edge.QuantizationSearchParams(rescore=True, oversampling=config.oversampling)
        params = edge.SearchParams(
            hnsw_ef=max(config.ef, query.limit + query.offset),
            quantization=rescoring if config.quantize else None,
        )
    return edge.QueryRequest(
        query.limit,
        offset=query.offset,
        query=edge.Query.Nearest(query.vector.tolist()),
        filter=to_filter(query.filter),
        params=params,
        with_payload=selection(query.payload),
        with_vector=query.with_vectors,
    )


def selection(payload: bool | object) -> Any:
    """Return which payload columns to fetch; the product id always comes along."""
    if payload is True:
        return True
    columns = list(payload) if isinstance(payload, list | tuple) else []
    return ["id", *columns]


def to_hit(point: Any) -> Hit:
    """Read Edge's scored point."""
    payload: Payload = point.payload
    return Hit(payload["id"], point.score, payload, _vector(point.vector))


def to_record(record: Any, id: str | None = None) -> StoredPoint:
    """Read Edge's record; without ``id`` its payload names the product."""
    payload: Payload = record.payload or {}
    return StoredPoint(id or payload["id"], payload, _vector(record.vector))


def _vector(values: list[float] | None) -> Float32 | None:
    if values is None:
        return None
    return np.frombuffer(_packer(len(values)).pack(*values), np.float32)  # three times as fast as asarray


@cache
def _packer(size: int) -> struct.Struct:
    return struct.Struct(f"{size}f")


_PAGE = 2000
_FLUSH_EVERY = 50
"""Batches between flushes of a build: what a kill costs at most."""

T = TypeVar("T")
R = TypeVar("R")


def _call(function: Callable[[T], R], argument: T) -> R:
    """Call the engine; it raises plain ``Exception`` for everything."""
    try:
        return function(argument)
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise InputError(
            f"Qdrant Edge refused a request: {error}.",
            fix="Check the vector's dimensions and the columns in the filter against docs/index-contract.md.",
        ) from error


class EdgeCollection:
    """One generation, opened. See :class:`recsys.index.base.Collection`."""

    def __init__(self, shard: Any, name: str, metadata: Metadata, config: IndexConfig) -> None:
        self._shard = shard
        self._config = config
        self.name = name
        self.metadata = metadata

    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""
        return int(_call(self._shard.count, edge.CountRequest(exact=True, filter=to_filter(filter))))

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Stream every product, with some payload columns."""
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset, _PAGE, with_payload=selection(list(columns)), with_vector=with_vectors
            )
            page, offset = _call(self._shard.scroll, request)
            yield from map(to_record, page)
            if offset is None:
                return

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[StoredPoint]:
        """Return the products with these ids, in that order; absent ones are left out."""
        points = [point_id(i) for i in ids]
        found = {str(r.id): r for r in self._shard.retrieve(points, payload, with_vectors)}
        wanted = zip(ids, points, strict=True)
        return [to_record(found[point], id) for id, point in wanted if point in found]

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""
        points = _call(self._shard.query, to_request(query, self._config))
        return [to_hit(p) for p in points]

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answer several queries in one call."""
        request = edge.QueryBatchRequest([to_request(q, self._config) for q in queries])
        return [[to_hit(p) for p in points] for points in _call(self._shard.query_batch, request)]

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        request = edge.FacetRequest(column, limit, True, to_filter(filter))
        return [(str(hit.value), hit.count) for hit in _call(self._shard.facet, request).hits]

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any."""
        ends = [
            _call(self._shard.scroll, edge.ScrollRequest(
                None, 1, to_filter(filter), False, False, edge.OrderBy(column, direction)
            ))[0]
            for direction in (edge.Direction.Asc, edge.Direction.Desc)
        ]  # fmt: skip
        if not (ends[0] and ends[1]):
            return None
        return float(ends[0][0].order_value), float(ends[1][0].order_value)


class EdgeWriter(EdgeCollection):
    """A shard in a folder that nobody reads yet. See :class:`recsys.index.base.Writer`.

    ``publish`` makes the folder what readers see; ``release`` lets the next writer in.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        metadata: Metadata,
        config: IndexConfig,
        *,
        publish: Callable[[Metadata, int], None],
        release: Callable[[], None],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        begun = (folder / "segments").exists()
        load = edge.EdgeShard.load if begun else edge.EdgeShard.create
        super().__init__(load(str(folder), shard_config(config, metadata.dim)), name, metadata, config)
        self._publish = publish
        self._release = release
        self._batches = 0
        self._create_indexes()

    def _create_indexes(self) -> None:
        existing = set(self._shard.info().payload_schema)
        for column, kind in indexed_columns(self._config.attributes).items():
            if column not in existing:
                operation = edge.UpdateOperation.create_field_index(column, INDEX_KINDS[kind])
                _call(self._shard.update, operation)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shard.close()
        self._release()

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace products, in batches."""
        total = 0
        for batch in _batches(points, self._config.batch_size):
            upsert = edge.UpdateOperation.upsert_points([to_point(p) for p in batch])
            self._update(upsert)
            total += len(batch)
        return total

    def set_payloads(self, payloads: Iterable[tuple[str, Payload]]) -> int:
        """Replace the payload of products, leaving vectors alone."""
        total = 0
        for id, payload in payloads:
            _call(self._shard.update, edge.UpdateOperation.overwrite_payload([point_id(id)], payload))
            total += 1
        return total

    def delete(self, ids: Iterable[str]) -> int:
        """Delete products; absent ones are no error."""
        total = 0
        for batch in _batches(ids, self._config.batch_size):
            self._update(edge.UpdateOperation.delete_points([point_id(i) for i in batch]))
            total += len(batch)
        return total

    def _update(self, operation: Any) -> None:
        _call(self._shard.update, operation)
        self._batches += 1
        if self._batches % _FLUSH_EVERY == 0:
            self._shard.flush()

    def index(self) -> None:
        """Build what graphs the sizes call for."""
        self._shard.optimize()

    def commit(self, metadata: Metadata) -> None:
        """Make this shard what readers of the collection see."""
        self._shard.flush()
        self.metadata = metadata.but(indexed=tuple(indexed_columns(self._config.attributes)))
        self._publish(self.metadata, self.count())


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


_OPEN_ATTEMPTS = 5


class _Opened(NamedTuple):
    """A collection that is open, and the record it was opened by."""

    path: Path
    signature: Signature
    generation: str
    collection: EdgeCollection


class EdgeIndex:
    """Collections in a folder of this machine. See :class:`recsys.index.base.VectorIndex`."""

    def __init__(self, root: Path, config: IndexConfig, *, lock: BaseFileLock) -> None:
        """Open the index under ``root``; ``lock`` is held while a writer is open."""
        self.config = config
        self.alias = config.alias
        self.files = EdgeFiles(root)
        self._lock = lock
        self._opening = threading.Lock()
        self._alias_path = self.files.alias_path(config.alias)
        self._alias_seen: tuple[Signature | None, str | None] = (None, None)
        self._opened: dict[str, _Opened] = {}

    def collections(self) -> list[CollectionInfo]:
        """Return this alias's collections, the live one first, then the last published first."""
        live = self.files.read_alias(self.alias)
        found = []
        for name in self.files.names(f"{self.alias}__"):
            entry = self.files.read_entry(name)
            if entry is not None:
                found.append(
                    CollectionInfo(
                        name=name, metadata=entry.metadata, num_points=entry.num_points, live=name == live
                    )
                )
        key = lambda c: (c.live, c.metadata.published_at, c.metadata.created_at)  # noqa: E731
        return sorted(found, key=key, reverse=True)

    def live(self) -> CollectionInfo | None:
        """Return the collection the alias names, or ``None``."""
        name = self._live_name()
        entry = self.files.read_entry(name) if name else None
        if name is None or entry is None:
            return None
        return CollectionInfo(name=name, metadata=entry.metadata, num_points=entry.num_points, live=True)

    def _live_name(self) -> str | None:
        now = signature(self._alias_path)
        seen, name = self._alias_seen
        if now != seen or now is None:
            name = self.files.read_alias(self.alias)
            self._alias_seen = (now, name)
        return name

    def open(self, name: str | None = None) -> EdgeCollection:
        """Open a collection's current generation; two ``stat`` calls when nothing was published."""
        if name is None:
            name = self._live_name()
            if name is None:
                raise ArtifactError(
                    f"Nothing was published under the alias {self.alias!r} yet.",
                    fix="Run `recsys publish`, or the nightly DAG.",
                )
        opened = self._opened.get(name)
        if opened is not None and opened.signature == signature(opened.path):
            return opened.collection
        with self._opening:
            return self._reopen(name)

    def _reopen(self, name: str) -> EdgeCollection:
        for _ in range(_OPEN_ATTEMPTS):
            path = self.files.entry_path(name)
            now = signature(path)
            opened = self._opened.get(name)
            if now is not None and opened is not None and opened.signature == now:
                return opened.collection
            entry = self.files.read_entry(name)
            if now is None or entry is None or not entry.generation:
                break
            if opened is not None and opened.generation == entry.generation:
                collection = EdgeCollection(opened.collection._shard, name, entry.metadata, self.config)
            else:
                loaded = self._load(name, entry)
                if loaded is None:
                    continue
                collection = loaded
            self._opened[name] = _Opened(path, now, entry.generation, collection)
            live = self._live_name()
            self._opened = {k: v for k, v in self._opened.items() if k in (name, live)}
            return collection
        raise ArtifactError(
            f"There is no published collection {name!r}.",
            fix="recsys status lists the collections there are.",
        )

    def _load(self, name: str, entry: Entry) -> EdgeCollection | None:
        """Load a generation; ``None`` where it was replaced and collected meanwhile."""
        folder = self.files.folder(name, entry.generation)
        try:
            shard = edge.EdgeShard.load(str(folder))
        except Exception as error:
            current = self.files.read_entry(name)
            if type(error) is not Exception or (current and current.generation == entry.generation):
                raise ArtifactError(
                    f"{folder} cannot be opened: {error}.",
                    fix="Roll back with `recsys rollback`, or delete the collection and publish again.",
                ) from error
            return None
        current = self.files.read_entry(name)
        if current is None or current.generation != entry.generation:
            return None
        logger.info("opened %s %s: %d products", name, entry.generation, entry.num_points)
        return EdgeCollection(shard, name, entry.metadata, self.config)

    def build(self, name: str, metadata: Metadata) -> EdgeWriter:
        """Begin a new collection, or resume its unfinished build."""
        self._acquire()
        try:
            entry = self.files.read_entry(name)
            if entry is not None and entry.metadata.state == READY:
                raise ArtifactError(f"{name!r} is already built.", fix="Open it for changes instead.")
            if entry is not None and entry.metadata.resumes(metadata):
                try:
                    return self._writer(name, entry, Links({}))
                except Exception as error:  # noqa: BLE001 (the engine's only exception type)
                    logger.warning("%s cannot be resumed (%s): building anew", name, error)
            self.files.remove(name)
            self.files.sweep()
            entry = Entry(generation="", num_points=0, metadata=metadata.but(state=BUILDING))
            self.files.write_entry(name, entry)
            return self._writer(name, entry, Links({}))
        except BaseException:
            self._lock.release()
            raise

    def change(self, name: str, *, pending: str) -> EdgeWriter:
        """Open a copy of a collection's current generation for changes."""
        self._acquire()
        try:
            entry = self.files.read_entry(name)
            if entry is None or not entry.generation:
                raise ArtifactError(f"There is no collection {name!r} to change.", fix="Build it first.")
            source, target = (
                self.files.folder(name, g) for g in (entry.generation, next_generation(entry.generation))
            )
            return self._writer(name, entry, copy_generation(source, target))
        except BaseException:
            self._lock.release()
            raise

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise TransientError(
                "Another process is writing to the index.", fix="Try again when it has finished."
            ) from None

    def _writer(self, name: str, entry: Entry, links: Links) -> EdgeWriter:
        generation = next_generation(entry.generation)
        folder = self.files.folder(name, generation)

        def publish(metadata: Metadata, num_points: int) -> None:
            links.check(folder)
            done = metadata.but(state=READY, pending="")
            self.files.write_entry(name, Entry(generation=generation, num_points=num_points, metadata=done))
            self.files.keep(name, generation, entry.generation)

        return EdgeWriter(
            folder, name, entry.metadata, self.config, publish=publish, release=self._lock.release
        )

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace what a collection says of itself."""
        entry = self.files.read_entry(name)
        if entry is None:
            raise ArtifactError(f"There is no collection {name!r}.", fix="recsys status lists them.")
        self.files.write_entry(name, replace(entry, metadata=metadata))

    def switch(self, name: str) -> None:
        """Point the alias at ``name``, in one step."""
        entry = self.files.read_entry(name)
        if entry is None or not entry.generation:
            raise ArtifactError(f"There is no published collection {name!r}.", fix="Finish its build first.")
        self.files.write_alias(self.alias, name)

    def drop(self, name: str) -> None:
        """Delete a collection that is not live."""
        if name == self.files.read_alias(self.alias):
            raise ArtifactError(f"{name!r} is live.", fix="Switch the alias to another collection first.")
        self._opened.pop(name, None)
        self.files.remove(name)

    def close(self) -> None:
        """Release every shard."""
        self._opened.clear()
