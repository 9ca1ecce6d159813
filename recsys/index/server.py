"""A Qdrant server as the index, over qdrant-client.

Every call can be repeated without harm, also when only its answer was lost: upserts, deletes and settings are
idempotent, a collection or an alias is looked at again. So a call is retried while the failure may pass, and
explained when it does not.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, ConfigError, InputError, LeaseLostError, RecsysError, TransientError
from recsys.index.base import BUILDING, READY, CollectionInfo, Metadata, Payload, Point
from recsys.index.before_images import BeforeImages
from recsys.index.engine import Collection, VectorIndex, Writer, alias_moved, batches
from recsys.index.filters import Filter
from recsys.index.points import indexed_columns
from recsys.index.translate import Translator, to_stored_point

logger = logging.getLogger(__name__)

OLDEST_SERVER = (1, 16)
"""The first version that keeps collection metadata."""
_BYTES_PER_DIMENSION = {True: 4, False: 12}
"""By gRPC or not: JSON writes a float in about 12 characters."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_FIRST_POLL_S = 0.02
_LONGEST_POLL_S = 1.0
_SETTLED_POLLS = 2
"""Green answers in a row that count as indexed: one may fall between two steps of the optimizer."""

R = TypeVar("R")


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


class ServerIndex(VectorIndex):
    """Collections of a Qdrant server."""

    def __init__(self, client: QdrantClient, config: IndexConfig, *, changes: Path) -> None:
        """Use the server of ``client``; before-images of changes are kept in the folder ``changes``."""
        super().__init__(config)
        self._client = client
        self._changes = changes

    def open(self, name: str | None = None) -> "ServerCollection":
        """Open a collection; its metadata is read from the server."""
        name = self._named_or_live(name)
        return ServerCollection(self._client, name, self._ready(name), self.config)

    def build(self, name: str, metadata: Metadata, *, num_points: int = 0) -> "ServerWriter":
        """Begin a new collection, or resume its unfinished build."""
        existing = self._resumable(name, metadata)
        if existing is None:
            existing = replace(metadata, state=BUILDING)
            if self._metadata(name) is not None:  # a build of another set, or a failed one
                self._delete(name)
            self._create(name, existing)
        writer = ServerWriter(self._client, name, existing, self.config)
        writer.create_payload_indexes()
        return writer

    def _create(self, name: str, metadata: Metadata) -> None:
        settings = collection_settings(self.config, metadata.dim)
        self.fence()
        try:
            self._call(self._client.create_collection, name, metadata=metadata.to_json(), **settings)
        except ExistsError:
            if self._metadata(name) != metadata:
                raise
            # the first answer was lost: what exists is what was asked for

    def can_change(self, num_changed: int, num_products: int) -> bool:
        """Tell whether a change is written into the collection: up to one request, or a share of it."""
        return num_changed <= max(self.config.batch_size, self.config.change_in_place * num_products)

    def change(self, name: str, *, pending: str) -> "ServerWriter":
        """Open a collection for changes, which readers see as they are made.

        What they were before is kept, and put back if the block is left by an exception.
        """
        metadata = self._ready(name)
        images = BeforeImages.begin(self._changes / name, metadata, pending=pending)
        writer = ServerWriter(self._client, name, metadata, self.config, images, self.fence)
        writer.describe(replace(metadata, pending=pending))  # first: the lease was checked just now
        writer.create_payload_indexes()
        return writer

    def recover(self) -> None:
        """Put back what a change that was killed had written; its before-images are on this machine."""
        for folder in sorted(self._changes.glob(f"{self.alias}__*")):
            images, metadata = BeforeImages(folder), self._metadata(folder.name)
            if metadata is not None and images.before(metadata) is not None:
                logger.warning("%s: putting back what an unfinished change wrote", folder.name)
                writer = ServerWriter(self._client, folder.name, metadata, self.config, images, self.fence)
                writer.put_back()
            images.drop()

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace a collection's metadata."""
        self._call(self._client.update_collection, name, metadata=metadata.to_json())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        return call(function, *arguments, retries=self.config.retries, **named)

    def _names(self) -> list[str]:
        return [c.name for c in self._call(self._client.get_collections).collections]

    def live_name(self) -> str | None:
        """Return the name the alias points at, or ``None``."""
        return self._call(self._read_alias)

    def _read_alias(self) -> str | None:
        aliases = self._client.get_aliases().aliases
        return next((a.collection_name for a in aliases if a.alias_name == self.alias), None)

    def _metadata(self, name: str) -> Metadata | None:
        try:
            values = self._call(self._client.get_collection, name).config.metadata
        except MissingError:
            return None
        return Metadata.from_json(values) if values and "encoder" in values else None

    def _info(self, name: str, *, live: bool) -> CollectionInfo | None:
        metadata = self._metadata(name)
        if metadata is None:
            return None
        try:
            count = self._call(self._client.count, name, exact=True).count
        except MissingError:  # deleted just now
            return None
        return CollectionInfo(name=name, metadata=metadata, num_points=count, live=live)

    def _set_alias(self, name: str, expected: str | None) -> None:
        """Move the alias if it names ``expected``, and see that it stays.

        Qdrant cannot compare and swap. The alias is read, and the lease renewed, right before each attempt,
        and the alias once after: what moves it between that and the request, milliseconds, is overwritten.
        """
        self._call(self._move_alias, name, expected)
        found = self.live_name()
        if found != name:
            raise alias_moved(self.alias, found, name)

    def _move_alias(self, name: str, expected: str | None) -> None:
        found = self._read_alias()
        if found == name:  # moved before a kill, or by a request whose answer was lost
            return
        if found != expected:
            raise alias_moved(self.alias, found, expected)
        self.fence()
        create = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=name, alias_name=self.alias)
        )
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.alias))
        self._client.update_collection_aliases([delete, create] if found else [create])

    def _delete(self, name: str) -> None:
        self._call(self._client.delete_collection, name)


def collection_settings(config: IndexConfig, dim: int) -> dict[str, Any]:
    """Return the settings of a new collection; its graph is not built before :meth:`ServerWriter.index`."""
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


class ServerCollection(Collection):
    """A collection by its own name."""

    translator = Translator(
        models=models,
        point=models.PointStruct.model_construct,  # without validation, which costs more than sending it
        range=models.Range,
        has_id=lambda ids: models.HasIdCondition(has_id=list(ids)),
        nearest=list,
        directions=(models.Direction.ASC, models.Direction.DESC),
    )

    def __init__(self, client: QdrantClient, name: str, metadata: Metadata, config: IndexConfig) -> None:
        super().__init__(name, metadata, config)
        self._client = client

    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""
        return self._call(self._client.count, count_filter=self.translator.filter(filter), exact=True).count

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        conditions = self.translator.filter(filter)
        facet = self._call(self._client.facet, key=column, facet_filter=conditions, limit=limit, exact=True)
        return [(str(hit.value), hit.count) for hit in facet.hits]

    def _call(self, function: Callable[..., R], **named: Any) -> R:
        return call(function, self.name, retries=self._config.retries, **named)

    def _scroll(
        self,
        *,
        limit: int,
        offset: Any = None,
        filter: Any = None,
        payload: bool | list[str] = False,
        vectors: bool = False,
        order_by: Any = None,
    ) -> tuple[list[Any], Any]:
        return self._call(
            self._client.scroll,
            limit=limit,
            offset=offset,
            scroll_filter=filter,
            with_payload=payload,
            with_vectors=vectors,
            order_by=order_by,
        )

    def _retrieve(self, points: list[str], *, payload: bool, vectors: bool) -> list[Any]:
        return self._call(self._client.retrieve, ids=points, with_payload=payload, with_vectors=vectors)

    def _query(self, requests: list[Any]) -> list[list[Any]]:
        return [r.points for r in self._call(self._client.query_batch_points, requests=requests)]


class ServerWriter(ServerCollection, Writer):
    """A collection that is being written.

    A build is invisible until the alias is switched; a change of a live collection shows as it is made,
    point by point, and ``metadata.pending`` says that it is under way. An exception puts back what it wrote.
    """

    def __init__(
        self,
        client: QdrantClient,
        name: str,
        metadata: Metadata,
        config: IndexConfig,
        images: BeforeImages | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """Write to a collection; what a change overwrites is kept in ``images``, a build has none."""
        super().__init__(client, name, metadata, config)
        self._images, self._fence = images, fence
        self._deleted: set[str] = set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LeaseLostError):
            return  # who took over may have written since; recover() sees whether he has
        if self._images is not None and isinstance(error, Exception):
            try:
                self.put_back()
            except RecsysError as failure:
                logger.error("%s: the next publication puts back what it was: %s", self.name, failure)

    def put_back(self) -> None:
        """Make the collection what it was before the change that was begun."""
        images, self._images = self._images, None  # what is written now is not kept again
        before = images.before(self.metadata) if images is not None else None
        if images is None or before is None:
            return
        for saved in images.newest_first():
            self._fence()
            there = [stored for _, stored in saved if stored is not None]
            if absent := [point for point, stored in saved if stored is None]:
                self._delete(absent)
            self.set_payloads((s.id, s.payload) for s in there if s.vector is None)
            self.upsert(Point(s.id, s.vector, s.payload) for s in there if s.vector is not None)
        self.index()
        self._fence()
        self.describe(before)
        images.drop()

    def create_payload_indexes(self) -> None:
        """Create the payload indexes that are missing; before the points, so that the graph knows them."""
        existing = self._call(self._client.get_collection).payload_schema
        for column, kind in indexed_columns(self._config.attributes).items():
            if column not in existing:
                schema = models.PayloadSchemaType(kind)
                self._call(
                    self._client.create_payload_index, field_name=column, field_schema=schema, wait=True
                )

    def index(self) -> None:
        """Turn indexing on, wait until the server is done with it, and delete again what came back.

        Qdrant can lose a deletion that falls into an optimization (seen with 1.18.2).
        """
        indexing = models.OptimizersConfigDiff(indexing_threshold=self._config.indexing_threshold_kb)
        self._call(self._client.update_collection, optimizers_config=indexing)
        self._settle()
        for _ in range(self._config.retries):
            parts = batches(sorted(self._deleted), self._config.batch_size)
            there = [r.id for part in parts for r in self._retrieve(part, payload=False, vectors=False)]
            if not there:
                break
            logger.warning("%s: %d deleted products came back: deleting them again", self.name, len(there))
            self._delete(there)
            self._settle()

    def _settle(self) -> None:
        deadline = time.monotonic() + self._config.indexing_timeout_s
        settled = 0
        pause = _FIRST_POLL_S
        while settled < _SETTLED_POLLS:
            info = self._call(self._client.get_collection)
            if info.optimizer_status != models.OptimizersStatusOneOf.OK:
                raise TransientError(
                    f"The server cannot index {self.name}: {info.optimizer_status}.",
                    fix="Look at the server's log; when the cause is gone, publish again: the build resumes.",
                )
            green = info.status == models.CollectionStatus.GREEN
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
        """Replace the collection's metadata."""
        self._call(self._client.update_collection, metadata=metadata.to_json())
        self.metadata = metadata

    def commit(self, metadata: Metadata) -> None:
        """Record that the collection is complete."""
        columns = tuple(indexed_columns(self._config.attributes))
        self.describe(replace(metadata, state=READY, pending="", indexed=columns))
        if self._images is not None:
            self._images.drop()
            self._images = None

    def _batches(self, points: Iterable[Point]) -> Iterator[list[Point]]:
        return bounded_batches(points, self._config)

    def _keep(self, points: list[str], *, vectors: bool) -> None:
        if self._images is not None:
            found = self._retrieve(points, payload=True, vectors=vectors)
            stored = {str(record.id): to_stored_point(record) for record in found}
            self._images.save(points, [stored.get(point) for point in points])

    def _upsert(self, points: list[Any]) -> None:
        ids = [point.id for point in points]
        self._keep(ids, vectors=True)
        self._deleted.difference_update(ids)
        self._call(self._client.upsert, points=points, wait=True)

    def _overwrite_payloads(self, payloads: list[tuple[str, Payload]]) -> None:
        self._keep([point for point, _ in payloads], vectors=False)
        operations = [
            models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(payload=payload, points=[point])
            )
            for point, payload in payloads
        ]
        self._call(self._client.batch_update_points, update_operations=operations, wait=True)

    def _delete(self, points: list[str]) -> None:
        self._keep(points, vectors=True)
        self._deleted.update(points)
        selector = models.PointIdsList(points=list(points))
        self._call(self._client.delete, points_selector=selector, wait=True)


def bounded_batches(points: Iterable[Point], config: IndexConfig) -> Iterator[list[Point]]:
    """Group points into requests that stay within ``batch_size`` and ``batch_bytes``."""
    batch: list[Point] = []
    size = 0
    per_dimension = _BYTES_PER_DIMENSION[config.prefer_grpc]
    for point in points:
        cost = per_dimension * len(point.vector) + len(json.dumps(point.payload)) + 64
        if batch and (len(batch) >= config.batch_size or size + cost > config.batch_bytes):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += cost
    if batch:
        yield batch


class ExistsError(ArtifactError):
    """A collection of that name exists already."""


class MissingError(ArtifactError):
    """There is no collection of that name."""


_TRANSIENT_GRPC = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED,
}  # fmt: skip
_TRANSIENT_HTTP = {408, 429, 500, 502, 503, 504}
_DENIED_GRPC = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
_TOO_LARGE = re.compile(r"larger than|too large|payload has exceeded limit", re.IGNORECASE)
_LIMIT = re.compile(r"\blimit (of \S+ )?reached|exceeding the configured limit|No space left", re.IGNORECASE)
_STRICT = ". Help: "
"""How a server's strict mode ends what it says is wrong, and begins what to do."""
FAILURES = (grpc.RpcError, UnexpectedResponse, ResponseHandlingException, ResourceExhaustedResponse)


def call(function: Callable[..., R], *arguments: Any, retries: int, **named: Any) -> R:
    """Call a method of the client, again up to ``retries`` times while the failure may pass.

    Raises :class:`TransientError` if it does not pass, :class:`ConfigError` if access is denied or a limit is
    reached, :class:`ArtifactError` if the collection is missing, :class:`InputError` for a refused request.
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
    if status == 413 or _TOO_LARGE.search(text):
        return ConfigError(
            f"The Qdrant server, or a proxy before it, takes no request this large: {text}.",
            fix="Lower index.batch_bytes, or raise the limit: service.max_request_size_mb, or the proxy's.",
        )
    if _LIMIT.search(text):
        return ConfigError(
            f"The Qdrant server has reached a limit: {text}.",
            fix="Raise that limit or give the server more room; fewer earlier collections stay with a lower "
            "index.keep_previous.",
        )
    if _STRICT in text:
        return InputError(
            f"The Qdrant server's strict mode refused a request: {text}.",
            fix="Do what it says, or relax the collection's strict mode; a filter on a custom attribute "
            "needs its name in index.attributes.",
        )
    if status in (grpc.StatusCode.ALREADY_EXISTS, 409):
        return ExistsError(
            f"The Qdrant server has it already: {text}.",
            fix="Delete that collection, or set index.alias to a name that nothing else uses.",
        )
    if status in _TRANSIENT_GRPC or status in _TRANSIENT_HTTP or status == "transport":
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
        return MissingError(
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
