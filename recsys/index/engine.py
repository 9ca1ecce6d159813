"""The vector index, whichever engine it runs on: collections, their writers, and the alias.

An index holds *collections*; one of them is *live*: the one the alias names. A reader opens a
:class:`Collection` and keeps seeing that one, complete, whatever is published meanwhile. A :class:`Writer`
builds a new collection or changes an existing one. :func:`open_index` chooses the engine; what both engines
share is here, what differs in :mod:`recsys.index.edge` and :mod:`recsys.index.server`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from recsys.config import Config
from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, DamagedError, GuardError
from recsys.index.base import (
    BUILDING,
    READY,
    CollectionInfo,
    Hit,
    Metadata,
    Payload,
    Point,
    Query,
    StoredPoint,
)  # fmt: skip
from recsys.index.filters import Filter
from recsys.index.points import point_id
from recsys.index.translate import Translator, to_hit, to_stored_point
from recsys.workspace import Workspace

_PAGE = 1000
_WRITER_TIMEOUT_S = 600.0

T = TypeVar("T")

logger = logging.getLogger(__name__)


def open_index(config: Config, workspace: Workspace) -> "VectorIndex":
    """Open the index: on the Qdrant server at ``index.url``, or on Qdrant Edge. Close it after use.

    Raises :class:`~recsys.errors.TransientError` if the server does not answer.
    """
    if config.index.url:
        from recsys.index.server import ServerIndex, connect

        changes = workspace.local / "index" / "changes"
        return ServerIndex(connect(config.index), config.index, changes=changes)
    from recsys.index.edge import EdgeIndex

    lock = workspace.lock("index-edge", timeout_s=_WRITER_TIMEOUT_S)
    return EdgeIndex(workspace.local / "index", config.index, lock=lock)


class VectorIndex(ABC):
    """Collections and the alias. Safe to share between threads."""

    def __init__(self, config: IndexConfig) -> None:
        self.config = config
        self.alias = config.alias
        """The name that readers use."""
        self.fence: Callable[[], None] = lambda: None
        """Raises where another may write by now; called before requests that would undo what he wrote."""

    def collections(self) -> list[CollectionInfo]:
        """Return this alias's collections, the live one first, then the last published first.

        One whose record is damaged is left out, with a warning, unless it is the live one.
        """
        live = self.live_name()
        found = []
        for name in self._names():
            if name.startswith(f"{self.alias}__"):
                try:
                    found.append(self._info(name, live=name == live))
                except DamagedError as error:
                    if name == live:
                        raise
                    logger.warning("left out: %s", error)
        return sorted(
            (c for c in found if c is not None),
            key=lambda c: (c.live, c.metadata.sequence, c.metadata.published_at, c.metadata.created_at),
            reverse=True,
        )

    def live(self) -> CollectionInfo | None:
        """Return the collection the alias names, or ``None`` before the first publication."""
        name = self.live_name()
        return self._info(name, live=True) if name else None

    @abstractmethod
    def live_name(self) -> str | None:
        """Return the name the alias points at, also if that collection is gone, or ``None``."""

    @abstractmethod
    def open(self, name: str | None = None) -> "Collection":
        """Open a collection for reading; without a name, the live one.

        What was opened before is used again until something newer is published. Raises
        :class:`~recsys.errors.ArtifactError` if there is none.
        """

    @abstractmethod
    def build(self, name: str, metadata: Metadata, *, num_points: int = 0) -> "Writer":
        """Begin a new collection, or resume its unfinished build if ``metadata`` is of the same set.

        ``num_points`` are expected, for which Qdrant Edge must have room.
        """

    def can_change(self, num_changed: int, num_products: int) -> bool:
        """Tell whether that many of a collection's products may change in it, or a new one is to be built."""
        return True

    @abstractmethod
    def change(self, name: str, *, pending: str) -> "Writer":
        """Open an existing collection for changes; ``pending`` is recorded until they are committed."""

    @abstractmethod
    def recover(self) -> None:
        """Put back what a change that was killed wrote where readers see it. One writer at a time."""

    @abstractmethod
    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace a collection's metadata, in one step."""

    def switch(self, name: str, *, expected: str | None) -> None:
        """Point the alias at ``name``, in one step, if it names ``expected`` (``None``: nothing) or ``name``.

        Raises :class:`~recsys.errors.GuardError`, with nothing overwritten, if it names something else.
        """
        self._ready(name)
        self._set_alias(name, expected)

    def drop(self, name: str) -> None:
        """Delete a collection that is not live; an absent one is no error."""
        if name == self.live_name():
            raise ArtifactError(f"{name!r} is live.", fix="Switch the alias to another collection first.")
        self._delete(name)

    @abstractmethod
    def close(self) -> None:
        """Release every resource."""

    def _named_or_live(self, name: str | None) -> str:
        found = name or self.live_name()
        if found is None:
            raise ArtifactError(
                f"Nothing was published under the alias {self.alias!r} yet.",
                fix="Run `recsys publish`, or the nightly DAG.",
            )
        return found

    def _ready(self, name: str) -> Metadata:
        """Return the metadata of a complete collection; raises :class:`ArtifactError`."""
        metadata = self._metadata(name)
        if metadata is None or metadata.state != READY:
            raise not_published(name)
        return metadata

    def _resumable(self, name: str, metadata: Metadata) -> Metadata | None:
        """Return the metadata of the unfinished build to resume; raises if there is a finished one."""
        existing = self._metadata(name)
        if existing is None:
            return None
        if existing.state == READY:
            raise ArtifactError(f"{name!r} is already built.", fix="Open it for changes instead.")
        same = (BUILDING, metadata.embedding_set, metadata.dim, metadata.schema_version)
        found = (existing.state, existing.embedding_set, existing.dim, existing.schema_version)
        return existing if found == same else None

    @abstractmethod
    def _names(self) -> list[str]: ...

    @abstractmethod
    def _metadata(self, name: str) -> Metadata | None: ...

    @abstractmethod
    def _info(self, name: str, *, live: bool) -> CollectionInfo | None: ...

    @abstractmethod
    def _set_alias(self, name: str, expected: str | None) -> None: ...

    @abstractmethod
    def _delete(self, name: str) -> None: ...


def alias_moved(alias: str, found: str | None, expected: str | None) -> GuardError:
    """Return the error for an alias that something else moved."""
    return GuardError(
        f"The alias {alias!r} names {found}, not {expected}: something else moved it meanwhile.",
        fix="Find out what else publishes under this alias; publish again to go on from what is live now.",
    )


def not_published(name: str) -> ArtifactError:
    """Return the error for a collection that does not exist or is not complete."""
    return ArtifactError(
        f"There is no published collection {name!r}.",
        fix="recsys status lists the collections there are; publish again to finish a build.",
    )


class Collection(ABC):
    """A collection opened for reading. Safe to share between threads."""

    translator: Translator
    """Of the engine."""

    def __init__(self, name: str, metadata: Metadata, config: IndexConfig) -> None:
        self.name = name
        """The collection's own name, never the alias."""
        self.metadata = metadata
        self._config = config

    @abstractmethod
    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""

    def records(self, columns: Sequence[str] = (), *, with_vectors: bool = False) -> Iterator[StoredPoint]:
        """Stream every product in the engine's order, with some payload columns; memory is one page."""
        offset = None
        while True:
            page, offset = self._scroll(
                limit=_PAGE, offset=offset, payload=["id", *columns], vectors=with_vectors
            )
            yield from map(to_stored_point, page)
            if offset is None:
                return

    def retrieve(
        self, ids: Sequence[str], *, payload: bool = True, with_vectors: bool = False
    ) -> list[StoredPoint]:
        """Return the products with these ids, in that order; absent ones are left out.

        Without ``payload`` it is not read and is empty; reading it is most of the time.
        """
        points = [point_id(i) for i in ids]
        found = {str(r.id): r for r in self._retrieve(points, payload=payload, vectors=with_vectors)}
        wanted = zip(ids, points, strict=True)
        return [to_stored_point(found[point], id) for id, point in wanted if point in found]

    def query(self, query: Query) -> list[Hit]:
        """Return the nearest products, best first."""
        return self.query_batch([query])[0]

    def query_batch(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Return the nearest products of several queries, in one call to the engine."""
        return [[to_hit(p) for p in points] for points in self._query([self.request(q) for q in queries])]

    def request(self, query: Query) -> Any:
        """Return a query as the engine's own request, with the search parameters of the configuration."""
        config = self._config
        oversampling = config.oversampling if config.quantize else None
        return self.translator.query(query, ef=config.ef, oversampling=oversampling)

    @abstractmethod
    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first. It must be indexed."""

    def bounds(self, column: str, filter: Filter = ()) -> tuple[float, float] | None:
        """Return a number column's least and greatest value, ``None`` without any. It must be indexed."""
        models, passing = self.translator.models, self.translator.filter(filter)
        orders = (models.OrderBy(key=column, direction=d) for d in self.translator.directions)
        ends = [self._scroll(limit=1, filter=passing, order_by=order)[0] for order in orders]
        low, high = (found[0].order_value if found else None for found in ends)
        return None if low is None or high is None else (float(low), float(high))

    @abstractmethod
    def _scroll(
        self,
        *,
        limit: int,
        offset: Any = None,
        filter: Any = None,
        payload: bool | list[str] = False,
        vectors: bool = False,
        order_by: Any = None,
    ) -> tuple[list[Any], Any]: ...

    @abstractmethod
    def _retrieve(self, points: list[str], *, payload: bool, vectors: bool) -> list[Any]: ...

    @abstractmethod
    def _query(self, requests: list[Any]) -> list[list[Any]]: ...


class Writer(Collection):
    """A collection opened for writing, as a context manager; it reads its own writes.

    Leaving the block without :meth:`commit` leaves readers with what they had: an unfinished build can be
    resumed, an unfinished change is undone.
    """

    index_blocks_s = 0.0
    """Seconds for which :meth:`index` may let no other thread of the process run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def upsert(self, points: Iterable[Point]) -> int:
        """Insert or replace products, in bounded batches; return how many."""
        total = 0
        for batch in self._batches(points):
            self._upsert(self.translator.points(batch))
            total += len(batch)
        return total

    def set_payloads(self, payloads: Iterable[tuple[str, Payload]]) -> None:
        """Replace the payload of products, leaving vectors alone."""
        for batch in batches(payloads, self._config.batch_size):
            self._overwrite_payloads([(point_id(id), payload) for id, payload in batch])

    def delete(self, ids: Iterable[str]) -> None:
        """Delete products; absent ones are no error."""
        for batch in batches(ids, self._config.batch_size):
            self._delete([point_id(i) for i in batch])

    @abstractmethod
    def index(self) -> None:
        """Wait until everything is indexed as far as its size calls for."""

    @abstractmethod
    def commit(self, metadata: Metadata) -> None:
        """Make the collection, as it is now, durable and what readers see under its name; the last call."""

    def _batches(self, points: Iterable[Point]) -> Iterator[list[Point]]:
        return batches(points, self._config.batch_size)

    @abstractmethod
    def _upsert(self, points: list[Any]) -> None: ...

    @abstractmethod
    def _overwrite_payloads(self, payloads: list[tuple[str, Payload]]) -> None: ...

    @abstractmethod
    def _delete(self, points: list[str]) -> None: ...


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
