"""A Qdrant server as the index, over qdrant-client.

Translates our values into those of qdrant-client: collection settings, filters, points, queries.

Calls to a Qdrant server: retried when a retry can help, explained when it cannot.

Every call the index makes can be repeated without harm: upserts, deletes and settings are idempotent.

One collection of a Qdrant server, opened for reading or for writing.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client import models as api
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, ConfigError, InputError, RecsysError, TransientError
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
from recsys.index.filters import AnyOf, Filter, Ids, Not, Range
from recsys.index.points import indexed_columns, point_id

logger = logging.getLogger(__name__)


INDEX_KINDS = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "float": models.PayloadSchemaType.FLOAT,
}

_BYTES_PER_DIMENSION = {True: 4, False: 12}
"""By gRPC or not: JSON writes a float in about 12 characters."""


def collection_settings(config: IndexConfig, dim: int) -> dict[str, Any]:
    """Return the settings of a new collection; it is not indexed before :func:`indexing` says so."""
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    return {
        "vectors_config": models.VectorParams(
            size=2 * dim, distance=models.Distance.DOT, on_disk=config.vectors_on_disk
        ),
        "hnsw_config": models.HnswConfigDiff(
            m=config.hnsw_m,
            ef_construct=config.ef_construct,
            full_scan_threshold=config.indexing_threshold_kb,
            max_indexing_threads=config.max_indexing_threads,
        ),
        "quantization_config": models.ScalarQuantization(scalar=int8) if config.quantize else None,
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=0),
        "shard_number": config.shard_number,
        "replication_factor": config.replication_factor,
    }


def indexing(config: IndexConfig) -> models.OptimizersConfigDiff:
    """Return the setting that turns indexing on."""
    return models.OptimizersConfigDiff(indexing_threshold=config.indexing_threshold_kb)


def to_filter(filter: Filter) -> models.Filter | None:
    """Return Qdrant's filter, ``None`` for an empty one."""
    if not filter:
        return None
    must = [_condition(c) for c in filter if not isinstance(c, Not)]
    must_not = [_condition(c.condition) for c in filter if isinstance(c, Not)]
    return models.Filter(must=must or None, must_not=must_not or None)


def _condition(condition: AnyOf | Range | Ids) -> Any:
    if isinstance(condition, Ids):
        return models.HasIdCondition(has_id=[point_id(i) for i in condition.ids])
    if isinstance(condition, Range):
        bounds = models.Range(gte=condition.gte, gt=condition.gt, lte=condition.lte, lt=condition.lt)
        return models.FieldCondition(key=condition.column, range=bounds)
    return models.FieldCondition(key=condition.column, match=models.MatchAny(any=list(condition.values)))


def to_point(point: Point) -> models.PointStruct:
    """Return Qdrant's point; built without validation, which costs more than sending it."""
    return models.PointStruct.model_construct(
        id=point_id(point.id), vector=point.vector.tolist(), payload=point.payload
    )


def to_request(query: Query, config: IndexConfig) -> models.QueryRequest:
    """Return Qdrant's request of a query."""
    if query.exact:
        params = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    else:
        rescoring = models.QuantizationSearchParams(rescore=True, oversampling=config.oversampling)
        params = models.SearchParams(
            hnsw_ef=max(config.ef, query.limit + query.offset),
            quantization=rescoring if config.quantize else None,
        )
    return models.QueryRequest(
        query=query.vector.tolist(),
        limit=query.limit,
        offset=query.offset,
        filter=to_filter(query.filter),
        params=params,
        with_payload=selection(query.payload),
        with_vector=query.with_vectors,
    )


def selection(payload: bool | Sequence[str]) -> bool | list[str]:
    """Return which payload columns to fetch; the product id always comes along."""
    if payload is True:
        return True
    return ["id", *(payload or ())]


def to_hit(point: models.ScoredPoint) -> Hit:
    """Read a scored point."""
    payload: Payload = point.payload or {}
    return Hit(payload["id"], point.score, payload, _vector(point.vector))


def to_record(record: models.Record, id: str | None = None) -> StoredPoint:
    """Read a record; without ``id`` its payload names the product."""
    payload: Payload = record.payload or {}
    return StoredPoint(id or payload["id"], payload, _vector(record.vector))


def _vector(values: Any) -> Float32 | None:
    return None if values is None else np.asarray(values, dtype=np.float32)


def upserts(points: Iterable[Point], config: IndexConfig) -> Iterator[list[models.PointStruct]]:
    """Group points into requests that stay within ``batch_size`` and ``batch_bytes``."""
    batch: list[models.PointStruct] = []
    size = 0
    per_dimension = _BYTES_PER_DIMENSION[config.prefer_grpc]
    for point in points:
        cost = per_dimension * len(point.vector) + len(json.dumps(point.payload)) + 64
        if batch and (len(batch) >= config.batch_size or size + cost > config.batch_bytes):
            yield batch
            batch, size = [], 0
        batch.append(to_point(point))
        size += cost
    if batch:
        yield batch


R = TypeVar("R")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_PASSING_GRPC = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}  # fmt: skip
_PASSING_HTTP = {408, 429, 500, 502, 503, 504}
_DENIED_GRPC = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
FAILURES = (grpc.RpcError, UnexpectedResponse, ResponseHandlingException, ResourceExhaustedResponse)


def call(function: Callable[..., R], *arguments: Any, retries: int, **named: Any) -> R:
    """Call a method of the client, again up to ``retries`` times while the failure may pass.

    Raises :class:`TransientError` when it does not pass, :class:`ConfigError` where access is denied,
    :class:`ArtifactError` where the collection is missing, :class:`InputError` for a refused request.
    """
    pause = _FIRST_PAUSE_S
    for attempt in range(retries + 1):
        try:
            return function(*arguments, **named)
        except FAILURES as error:
            failure = explain(error)
            if not failure.retryable or attempt == retries:
                raise failure from error
            wait = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else pause
            logger.warning(
                "%s failed (%s): again in %.1f s",
                getattr(function, "__name__", "call"),
                failure.message,
                wait,
            )
            time.sleep(min(wait, _LONGEST_PAUSE_S))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def explain(error: Exception) -> RecsysError:
    """Return the error of our tree that says what a failure of the client means."""
    status, text = _status(error)
    if status in _PASSING_GRPC or status in _PASSING_HTTP or status == "transport":
        return TransientError(
            f"The Qdrant server did not answer: {text}.",
            fix="Check that it runs and that index.url reaches it; then try again.",
        )
    if status in _DENIED_GRPC or status in (401, 403):
        return ConfigError(
            f"The Qdrant server refused access: {text}.",
            fix="Set QDRANT_API_KEY to a key that may write to this server's collections.",
        )
    if status in (grpc.StatusCode.NOT_FOUND, 404):
        return ArtifactError(
            f"The Qdrant server has no such thing: {text}.",
            fix="recsys status lists the collections there are; publish again if the live one was deleted.",
        )
    return InputError(
        f"The Qdrant server refused a request: {text}.",
        fix="Check it against docs/index-contract.md; a filter on a custom attribute needs index.attributes.",
    )


def _status(error: Exception) -> tuple[Any, str]:
    if isinstance(error, grpc.RpcError):
        code = error.code() if isinstance(error, grpc.Call) else None
        details = error.details() if isinstance(error, grpc.Call) else str(error)
        return code, f"{code.name if code else 'gRPC'}: {details}"
    if isinstance(error, UnexpectedResponse):
        return error.status_code, f"{error.status_code}: {error.content.decode(errors='replace')[:300]}"
    if isinstance(error, ResponseHandlingException):
        source = error.source
        return ("transport" if isinstance(source, httpx.TransportError) else "response"), repr(source)
    return 429, str(error)


_PAGE = 1000
_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 1.0
_SETTLED_POLLS = 2
"""Green answers in a row that count as indexed: one may fall between two steps of the optimizer."""

T = TypeVar("T")


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
        count = self._call(self._client.count, count_filter=to_filter(filter), exact=True)
        return count.count

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Stream every product, with some payload columns."""
        offset = None
        while True:
            page, offset = self._call(
                self._client.scroll,
                limit=_PAGE,
                offset=offset,
                with_payload=selection(columns),
                with_vectors=with_vectors,
            )
            yield from map(to_record, page)
            if offset is None:
                return

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[StoredPoint]:
        """Return the products with these ids, in that order; absent ones are left out."""
        points = [point_id(i) for i in ids]
        records = self._call(
            self._client.retrieve, ids=points, with_payload=payload, with_vectors=with_vectors
        )
        found = {str(r.id): r for r in records}
        wanted = zip(ids, points, strict=True)
        return [to_record(found[point], id) for id, point in wanted if point in found]

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""
        return self.query_batch([query])[0]

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answer several queries in one call."""
        requests = [to_request(q, self._config) for q in queries]
        answers = self._call(self._client.query_batch_points, requests=requests)
        return [[to_hit(p) for p in answer.points] for answer in answers]

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        answer = self._call(
            self._client.facet, key=column, facet_filter=to_filter(filter), limit=limit, exact=True
        )
        return [(str(hit.value), hit.count) for hit in answer.hits]

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any."""
        ends = [
            self._call(
                self._client.scroll,
                scroll_filter=to_filter(filter),
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
                    field_schema=INDEX_KINDS[kind],
                    wait=True,
                )

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace products, in requests bounded by count and bytes."""
        total = 0
        for batch in upserts(points, self._config):
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
        self._call(self._client.update_collection, optimizers_config=indexing(self._config))
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


OLDEST_SERVER = (1, 16)
"""The first version that keeps collection metadata."""


def connect(config: IndexConfig) -> QdrantClient:
    """Connect to ``config.url`` and check the server's version."""
    client = QdrantClient(
        url=config.url,
        api_key=config.api_key,
        prefer_grpc=config.prefer_grpc,
        grpc_port=config.grpc_port,
        timeout=config.timeout_s,
        check_compatibility=False,  # checked here, with an error instead of a warning from a thread
    )
    version = call(client.info, retries=config.retries).version
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST_SERVER:
        raise ConfigError(
            f"The Qdrant server at {config.url} is version {version}.",
            fix="Use version {}.{} or later: older ones keep no collection metadata.".format(*OLDEST_SERVER),
        )
    return client


class ServerIndex:
    """Collections of a Qdrant server. See :class:`recsys.index.base.VectorIndex`."""

    def __init__(self, client: QdrantClient, config: IndexConfig) -> None:
        self._client = client
        self.config = config
        self.alias = config.alias
        self._opening = threading.Lock()
        self._opened: dict[str | None, tuple[float, ServerCollection]] = {}

    def _call(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        return call(function, *arguments, retries=self.config.retries, **named)

    def collections(self) -> list[CollectionInfo]:
        """Return this alias's collections, the live one first, then the last published first."""
        live = self._live_name()
        names = [c.name for c in self._call(self._client.get_collections).collections]
        found = [self._info(n, live=n == live) for n in names if n.startswith(f"{self.alias}__")]
        return sorted(
            (c for c in found if c is not None),
            key=lambda c: (c.live, c.metadata.published_at, c.metadata.created_at),
            reverse=True,
        )

    def live(self) -> CollectionInfo | None:
        """Return the collection the alias names, or ``None``."""
        name = self._live_name()
        return self._info(name, live=True) if name else None

    def _live_name(self) -> str | None:
        aliases = self._call(self._client.get_aliases).aliases
        return next((a.collection_name for a in aliases if a.alias_name == self.alias), None)

    def _metadata(self, name: str) -> Metadata | None:
        if not self._call(self._client.collection_exists, name):
            return None
        values = self._call(self._client.get_collection, name).config.metadata
        return Metadata.from_json(values) if values and "encoder" in values else None

    def _info(self, name: str, *, live: bool) -> CollectionInfo | None:
        metadata = self._metadata(name)
        if metadata is None:
            return None
        count = self._call(self._client.count, name, exact=True).count
        return CollectionInfo(name=name, metadata=metadata, num_points=count, live=live)

    def open(self, name: str | None = None) -> ServerCollection:
        """Open a collection; what is known of it is asked for again after ``poll_interval_s`` seconds."""
        known = self._opened.get(name)
        if known is not None and time.monotonic() - known[0] < self.config.poll_interval_s:
            return known[1]
        with self._opening:
            asked_at = time.monotonic()
            actual = name or self._live_name()
            if actual is None:
                raise ArtifactError(
                    f"Nothing was published under the alias {self.alias!r} yet.",
                    fix="Run `recsys publish`, or the nightly DAG.",
                )
            metadata = self._metadata(actual)
            if metadata is None or metadata.state != READY:
                raise ArtifactError(
                    f"There is no published collection {actual!r}.",
                    fix="recsys status lists the collections there are.",
                )
            collection = ServerCollection(self._client, actual, metadata, self.config)
            self._opened[name] = (asked_at, collection)
            return collection

    def build(self, name: str, metadata: Metadata) -> ServerWriter:
        """Begin a new collection, or resume its unfinished build."""
        existing = self._metadata(name)
        if existing is not None and existing.state == READY:
            raise ArtifactError(f"{name!r} is already built.", fix="Open it for changes instead.")
        if existing is None or not existing.resumes(metadata):
            existing = metadata.but(state=BUILDING)
            self._call(self._client.delete_collection, name)
            settings = collection_settings(self.config, metadata.dim)
            self._call(self._client.create_collection, name, metadata=existing.to_json(), **settings)
        writer = ServerWriter(self._client, name, existing, self.config)
        writer.prepare()
        return writer

    def change(self, name: str, *, pending: str) -> ServerWriter:
        """Open a collection for changes, which readers see as they are made."""
        metadata = self._metadata(name)
        if metadata is None or metadata.state != READY:
            raise ArtifactError(f"There is no collection {name!r} to change.", fix="Build it first.")
        writer = ServerWriter(self._client, name, metadata, self.config)
        writer.prepare()
        writer.describe(metadata.but(pending=pending))
        return writer

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace what a collection says of itself."""
        self._call(self._client.update_collection, name, metadata=metadata.to_json())
        self._opened.clear()

    def switch(self, name: str) -> None:
        """Point the alias at ``name``, in one request."""
        metadata = self._metadata(name)
        if metadata is None or metadata.state != READY:
            raise ArtifactError(f"There is no published collection {name!r}.", fix="Finish its build first.")
        create = api.CreateAliasOperation(
            create_alias=api.CreateAlias(collection_name=name, alias_name=self.alias)
        )
        delete = api.DeleteAliasOperation(delete_alias=api.DeleteAlias(alias_name=self.alias))
        operations = [delete, create] if self._live_name() else [create]
        self._call(self._client.update_collection_aliases, change_aliases_operations=operations)
        self._opened.clear()

    def drop(self, name: str) -> None:
        """Delete a collection that is not live."""
        if name == self._live_name():
            raise ArtifactError(f"{name!r} is live.", fix="Switch the alias to another collection first.")
        self._opened.pop(name, None)
        self._call(self._client.delete_collection, name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
