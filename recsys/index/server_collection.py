"""One collection of a Qdrant server, opened for reading or for writing.

Does not know: aliases.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from qdrant_client import QdrantClient
from qdrant_client import models as api

from recsys.config.index import IndexConfig
from recsys.errors import TransientError
from recsys.index import server_models as models
from recsys.index.base import READY, Hit, Metadata, Payload, Point, Query, Record
from recsys.index.filters import Filter
from recsys.index.points import indexed_columns, point_id
from recsys.index.server_calls import call

logger = logging.getLogger(__name__)

_PAGE = 1000
_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 1.0
_SETTLED_POLLS = 2
"""Green answers in a row that count as indexed: one may fall between two steps of the optimizer."""

T = TypeVar("T")
R = TypeVar("R")


class ServerCollection:
    """A collection by its own name. See :class:`recsys.index.base.Collection`."""

    def __init__(self, client: QdrantClient, name: str, metadata: Metadata, config: IndexConfig) -> None:
        self._client = client
        self._config = config
        self.name = name
        self.metadata = metadata

    def _call(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        return call(function, self.name, *arguments, retries=self._config.retries, **named)

    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""
        count = self._call(self._client.count, count_filter=models.to_filter(filter), exact=True)
        return count.count

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[Record]:
        """Stream every product, with some payload columns."""
        offset = None
        while True:
            page, offset = self._call(
                self._client.scroll,
                limit=_PAGE,
                offset=offset,
                with_payload=models.selection(columns),
                with_vectors=with_vectors,
            )
            yield from map(models.to_record, page)
            if offset is None:
                return

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[Record]:
        """Return the products with these ids, in that order; absent ones are left out."""
        points = [point_id(i) for i in ids]
        records = self._call(
            self._client.retrieve, ids=points, with_payload=payload, with_vectors=with_vectors
        )
        found = {str(r.id): r for r in records}
        wanted = zip(ids, points, strict=True)
        return [models.to_record(found[point], id) for id, point in wanted if point in found]

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""
        return self.query_batch([query])[0]

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answer several queries in one call."""
        requests = [models.to_request(q, self._config) for q in queries]
        answers = self._call(self._client.query_batch_points, requests=requests)
        return [[models.to_hit(p) for p in answer.points] for answer in answers]

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        answer = self._call(
            self._client.facet, key=column, facet_filter=models.to_filter(filter), limit=limit, exact=True
        )
        return [(str(hit.value), hit.count) for hit in answer.hits]

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any."""
        ends = [
            self._call(
                self._client.scroll,
                scroll_filter=models.to_filter(filter),
                limit=1,
                order_by=api.OrderBy(key=column, direction=direction),
                with_payload=False,
            )[0]
            for direction in (api.Direction.ASC, api.Direction.DESC)
        ]
        low, high = (found[0].order_value if found else None for found in ends)
        return None if low is None or high is None else (float(low), float(high))


class ServerWriter(ServerCollection):
    """A collection that is being written. See :class:`recsys.index.base.Writer`.

    A build is invisible until the alias is switched; a change of a live collection shows as it is made,
    point by point, and ``metadata.pending`` says that it is under way.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def prepare(self) -> None:
        """Create the payload indexes that are missing; before the points, so that the graph knows them."""
        existing = self._call(self._client.get_collection).payload_schema
        for column, kind in indexed_columns(self._config.attributes).items():
            if column not in existing:
                self._call(
                    self._client.create_payload_index,
                    field_name=column,
                    field_schema=models.INDEX_KINDS[kind],
                    wait=True,
                )

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace products, in requests bounded by count and bytes."""
        total = 0
        for batch in models.upserts(points, self._config):
            self._call(self._client.upsert, points=batch, wait=True)
            total += len(batch)
        return total

    def set_payloads(self, payloads: Iterable[tuple[str, Payload]]) -> int:
        """Replace the payload of products, leaving vectors alone."""
        total = 0
        for batch in _batches(payloads, self._config.batch_size):
            operations = [
                api.OverwritePayloadOperation(
                    overwrite_payload=api.SetPayload(payload=payload, points=[point_id(id)])
                )
                for id, payload in batch
            ]
            self._call(self._client.batch_update_points, update_operations=operations, wait=True)
            total += len(batch)
        return total

    def delete(self, ids: Iterable[str]) -> int:
        """Delete products; absent ones are no error."""
        total = 0
        for batch in _batches(ids, self._config.batch_size):
            selector = api.PointIdsList(points=[point_id(i) for i in batch])
            self._call(self._client.delete, points_selector=selector, wait=True)
            total += len(batch)
        return total

    def index(self) -> None:
        """Turn indexing on and wait until the server is done with it."""
        self._call(self._client.update_collection, optimizers_config=models.indexing(self._config))
        deadline = time.monotonic() + self._config.indexing_timeout_s
        settled = 0
        pause = _FIRST_POLL_S
        while settled < _SETTLED_POLLS:
            info = self._call(self._client.get_collection)
            if info.optimizer_status != api.OptimizersStatusOneOf.OK:
                raise TransientError(
                    f"The server cannot index {self.name}: {info.optimizer_status}.",
                    fix="Look at the server's log; when the cause is gone, publish again: the build resumes.",
                )
            green = info.status == api.CollectionStatus.GREEN
            settled = settled + 1 if green else 0
            if not green and time.monotonic() > deadline:
                raise TransientError(
                    f"{self.name} is still {info.status} after {self._config.indexing_timeout_s:.0f} s.",
                    fix="Publish again to keep waiting, or raise index.indexing_timeout_s.",
                )
            time.sleep(pause)
            pause = pause if green else min(2 * pause, _LONGEST_POLL_S)
        logger.info(
            "%s: %s of %s vectors in a graph", self.name, info.indexed_vectors_count, info.points_count
        )

    def describe(self, metadata: Metadata) -> None:
        """Replace what the collection says of itself."""
        self._call(self._client.update_collection, metadata=metadata.to_json())
        self.metadata = metadata

    def commit(self, metadata: Metadata) -> None:
        """Record that the collection is complete."""
        columns = tuple(indexed_columns(self._config.attributes))
        self.describe(metadata.but(state=READY, pending="", indexed=columns))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
