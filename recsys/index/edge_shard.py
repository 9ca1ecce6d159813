"""One shard of Qdrant Edge as a collection: opened for reading, or for writing.

Does not know: aliases, or which generation readers see; that is :mod:`recsys.index.edge`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import qdrant_edge as edge

from recsys.config.index import IndexConfig
from recsys.errors import InputError
from recsys.index import edge_models as models
from recsys.index.base import Hit, Metadata, Payload, Point, Query, Record
from recsys.index.filters import Filter
from recsys.index.points import indexed_columns, point_id

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
        return int(_call(self._shard.count, edge.CountRequest(exact=True, filter=models.to_filter(filter))))

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[Record]:
        """Stream every product, with some payload columns."""
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset, _PAGE, with_payload=models.selection(list(columns)), with_vector=with_vectors
            )
            page, offset = _call(self._shard.scroll, request)
            yield from map(models.to_record, page)
            if offset is None:
                return

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[Record]:
        """Return the products with these ids, in that order; absent ones are left out."""
        points = [point_id(i) for i in ids]
        found = {str(r.id): r for r in self._shard.retrieve(points, payload, with_vectors)}
        wanted = zip(ids, points, strict=True)
        return [models.to_record(found[point], id) for id, point in wanted if point in found]

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""
        points = _call(self._shard.query, models.to_request(query, self._config))
        return [models.to_hit(p) for p in points]

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answer several queries in one call."""
        request = edge.QueryBatchRequest([models.to_request(q, self._config) for q in queries])
        return [[models.to_hit(p) for p in points] for points in _call(self._shard.query_batch, request)]

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        request = edge.FacetRequest(column, limit, True, models.to_filter(filter))
        return [(str(hit.value), hit.count) for hit in _call(self._shard.facet, request).hits]

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any."""
        ends = [
            _call(self._shard.scroll, edge.ScrollRequest(
                None, 1, models.to_filter(filter), False, False, edge.OrderBy(column, direction)
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
        super().__init__(load(str(folder), models.shard_config(config, metadata.dim)), name, metadata, config)
        self._publish = publish
        self._release = release
        self._batches = 0
        self._create_indexes()

    def _create_indexes(self) -> None:
        existing = set(self._shard.info().payload_schema)
        for column, kind in indexed_columns(self._config.attributes).items():
            if column not in existing:
                operation = edge.UpdateOperation.create_field_index(column, models.INDEX_KINDS[kind])
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
            upsert = edge.UpdateOperation.upsert_points([models.to_point(p) for p in batch])
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
