"""Qdrant Edge: the engine in this process, with a server's semantics in a folder.

Any number of processes read while one writes: readers open a generation that is never written again and
follow the records in :mod:`recsys.index.edge_files`; a writer works on the next generation (ADR 007).
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as edge
from filelock import BaseFileLock, Timeout

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, InputError, TransientError
from recsys.index.base import BUILDING, READY, CollectionInfo, Metadata, Payload
from recsys.index.edge_files import (
    EdgeFiles,
    Entry,
    FileState,
    NoSpaceError,
    check_links,
    copy_generation,
    next_generation,
    require_space,
    reserved_bytes,
)  # fmt: skip
from recsys.index.engine import Collection, VectorIndex, Writer, alias_moved, not_published
from recsys.index.filters import Filter
from recsys.index.points import indexed_columns
from recsys.index.translate import Translator
from recsys.workspace.store import sync_tree

logger = logging.getLogger(__name__)

_OPEN_ATTEMPTS = 5
_BYTES_PER_NUMBER = 4 + 4 + 1
"""Of a vector while a build indexes it: as it came, in its segment, and as int8."""
_BYTES_PER_PRODUCT = 4096
"""Besides its vector: payload, links and tables, twice while a build indexes it."""
_RESERVED = 96 << 20
_RESERVED_PER_COLUMN = 7 << 20
"""Of the smallest collection. The engine (0.9.0) reserves 67 MB, and 7 MB for each column with a payload
index, in files with holes. On tmpfs a build fills 29 MB; indexing and a reader then want all of it."""
_FLUSH_EVERY = 50
"""Batches between flushes of a build: what a kill costs at most."""

R = TypeVar("R")


class EdgeIndex(VectorIndex):
    """Collections in a folder of this machine."""

    def __init__(self, root: Path, config: IndexConfig, *, lock: BaseFileLock) -> None:
        """Open the index under ``root``; ``lock`` is held while a writer is open."""
        super().__init__(config)
        self.files = EdgeFiles(root)
        self.lock = lock
        self._opening = threading.Lock()
        self._opened: dict[str, tuple[str, EdgeCollection]] = {}
        """Collection → its open generation."""
        self._followed: EdgeCollection | None = None
        """What the alias named when it was last followed."""
        self._stays = False

    def open(self, name: str | None = None) -> "EdgeCollection":
        """Open a collection's current generation, or return it if it is open already.

        Where the disk has no room for that, the live collection is what it was when it was last opened.
        """
        if name is not None:
            return self._open(name)
        try:
            self._followed = self._open(self._named_or_live(None))
        except NoSpaceError as error:
            if self._followed is None:
                raise
            if not self._stays:  # once, not at every look
                logger.warning("readers stay with %s: %s", self._followed.metadata.snapshot, error)
            self._stays = True
        else:
            self._stays = False
        return self._followed

    def _open(self, name: str) -> "EdgeCollection":
        with self._opening:
            for _ in range(_OPEN_ATTEMPTS):
                entry = self.files.read_entry(name)
                if entry is None or entry.metadata.state != READY:
                    break
                generation, opened = self._opened.get(name, (None, None))
                if opened is None or generation != entry.generation:
                    shard = self._load(name, entry)
                    if shard is None:
                        continue
                elif opened.metadata == entry.metadata:
                    return opened
                else:
                    shard = opened.shard
                collection = EdgeCollection(shard, name, entry.metadata, self.config)
                live = self.live_name()
                self._opened = {k: v for k, v in self._opened.items() if k == live}
                self._opened[name] = (entry.generation, collection)
                return collection
        raise not_published(name)

    def _load(self, name: str, entry: Entry) -> Any:
        """Load a generation; ``None`` if it was replaced, and perhaps deleted, meanwhile."""
        folder = self.files.folder(name, entry.generation)
        shard = failure = None
        try:
            with self.files.reader_copy(name, entry.generation) as copy:
                shard = edge.EdgeShard.load(str(copy))
        except BaseException as error:
            # a generation may be deleted under the copy
            if not _is_from_engine(error) and not isinstance(error, FileNotFoundError):
                raise
            failure = error
        current = self.files.read_entry(name)
        if current is None or current.generation != entry.generation:
            return None
        if failure is not None:
            raise ArtifactError(
                f"{folder} cannot be opened: {failure}.",
                fix="Roll back with `recsys rollback`, or delete the collection and publish again.",
            ) from failure
        logger.info("opened %s %s: %d products", name, entry.generation, entry.num_points)
        return shard

    def build(self, name: str, metadata: Metadata, *, num_points: int = 0) -> "EdgeWriter":
        """Begin a new collection, or resume its unfinished build; raises :class:`NoSpaceError`."""
        with self._writing():
            self.files.root.mkdir(parents=True, exist_ok=True)
            reserved = _RESERVED + _RESERVED_PER_COLUMN * len(indexed_columns(self.config.attributes))
            require_space(self.files.root, reserved + bytes_to_build(num_points, metadata.dim))
            if self._resumable(name, metadata):
                try:
                    return EdgeWriter(self, name, self._entry(name), {})
                except Exception as error:  # noqa: BLE001 (the engine's only exception type)
                    logger.warning("%s cannot be resumed (%s): building it from the start", name, error)
            self.files.remove(name)
            self.files.sweep()
            entry = Entry(generation="", num_points=0, metadata=replace(metadata, state=BUILDING))
            self.files.write_entry(name, entry)
            return EdgeWriter(self, name, entry, {})

    def change(self, name: str, *, pending: str) -> "EdgeWriter":
        """Open a copy of a collection's current generation for changes."""
        with self._writing():
            self._ready(name)
            entry = self._entry(name)
            source, target = (
                self.files.folder(name, g) for g in (entry.generation, next_generation(entry.generation))
            )
            return EdgeWriter(self, name, entry, copy_generation(source, target))

    def recover(self) -> None:
        """Do nothing: a change is made on a copy."""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Take the writer's lock for the writer that the block returns; an exception releases it."""
        try:
            self.lock.acquire()
        except Timeout:
            raise TransientError(
                "Another process is writing to the index.", fix="Try again when it has finished."
            ) from None
        try:
            yield
        except BaseException:
            self.lock.release()
            raise

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace a collection's metadata."""
        self.files.write_entry(name, replace(self._entry(name), metadata=metadata))

    def close(self) -> None:
        """Release every shard."""
        self._opened.clear()
        self._followed = None

    def _entry(self, name: str) -> Entry:
        entry = self.files.read_entry(name)
        if entry is None:
            raise ArtifactError(f"There is no collection {name!r}.", fix="recsys status lists them.")
        return entry

    def _names(self) -> list[str]:
        return self.files.names()

    def live_name(self) -> str | None:
        """Return the name the alias points at, or ``None``."""
        return self.files.read_alias(self.alias)

    def _metadata(self, name: str) -> Metadata | None:
        entry = self.files.read_entry(name)
        return entry.metadata if entry else None

    def _info(self, name: str, *, live: bool) -> CollectionInfo | None:
        entry = self.files.read_entry(name)
        if entry is None:
            return None
        return CollectionInfo(name=name, metadata=entry.metadata, num_points=entry.num_points, live=live)

    def _set_alias(self, name: str, expected: str | None) -> None:
        with self._writing():
            found = self.live_name()
            if found not in (expected, name):
                raise alias_moved(self.alias, found, expected)
            self.files.write_alias(self.alias, name)
        self.lock.release()

    def _delete(self, name: str) -> None:
        self._opened.pop(name, None)
        self.files.remove(name)


class EdgeCollection(Collection):
    """One generation of a collection, opened."""

    translator = Translator(
        models=edge,
        point=edge.Point,
        range=edge.RangeFloat,
        has_id=lambda ids: edge.HasIdCondition(set(ids)),
        nearest=edge.Query.Nearest,
        directions=(edge.Direction.Asc, edge.Direction.Desc),
    )

    def __init__(self, shard: Any, name: str, metadata: Metadata, config: IndexConfig) -> None:
        super().__init__(name, metadata, config)
        self.shard = shard

    def count(self, filter: Filter = ()) -> int:
        """Return the exact number of products that pass ``filter``."""
        request = edge.CountRequest(exact=True, filter=self.translator.filter(filter))
        return int(_call(self.shard.count, request))

    def facet(self, column: str, *, limit: int = 20, filter: Filter = ()) -> list[tuple[str, int]]:
        """Return a column's values and their exact counts, most frequent first."""
        request = edge.FacetRequest(column, limit, True, self.translator.filter(filter))
        return [(str(hit.value), hit.count) for hit in _call(self.shard.facet, request).hits]

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
        request = edge.ScrollRequest(
            offset, limit, filter, with_payload=payload, with_vector=vectors, order_by=order_by
        )
        page: tuple[list[Any], Any] = _call(self.shard.scroll, request)
        return page

    def _retrieve(self, points: list[str], *, payload: bool, vectors: bool) -> list[Any]:
        return list(_call(self.shard.retrieve, points, payload, vectors))

    def _query(self, requests: list[Any]) -> list[list[Any]]:
        return _call(self.shard.query_batch, edge.QueryBatchRequest(requests))


class EdgeWriter(EdgeCollection, Writer):
    """The next generation of a collection, which nobody reads yet."""

    def __init__(self, index: EdgeIndex, name: str, entry: Entry, links: dict[str, FileState]) -> None:
        """Open the generation after ``entry``'s, creating it if need be; ``links`` is what it shares."""
        self._index, self._entry, self._links = index, entry, links
        self._generation = next_generation(entry.generation)
        self._folder = index.files.folder(name, self._generation)
        self._folder.mkdir(parents=True, exist_ok=True)
        begun = (self._folder / "segments").exists()
        load = edge.EdgeShard.load if begun else edge.EdgeShard.create
        shard = load(str(self._folder), shard_config(index.config, entry.metadata.dim))
        super().__init__(shard, name, entry.metadata, index.config)
        self.index_blocks_s = index.config.indexing_timeout_s
        self._updates = 0
        existing = set(self.shard.info().payload_schema)
        for column, kind in indexed_columns(self._config.attributes).items():
            if column not in existing:
                self._update(edge.UpdateOperation.create_field_index(column, INDEX_KINDS[kind]))

    def __exit__(self, *exception: object) -> None:
        self._close()
        self._index.lock.release()

    def _close(self) -> None:
        """Let the engine write what it has not yet; the writer is of no use afterwards."""
        if self.shard is not None:
            self.shard.close()
            self.shard = None

    def index(self) -> None:
        """Build what graphs the sizes call for; raises :class:`NoSpaceError`."""
        int8_bytes = self.count() * 2 * self.metadata.dim
        require_space(self._folder, reserved_bytes(self._folder) + int8_bytes)
        self.shard.optimize()

    def commit(self, metadata: Metadata) -> None:
        """Make this generation what readers of the collection open; nothing can be written afterwards.

        The engine writes as it closes, so that comes first: readers may copy what the record names at once.
        It says nothing of a write that fails as it closes, so it is flushed before, which does.
        """
        num_points = self.count()
        self.shard.flush()
        self._close()
        sync_tree(self._folder, self._index.files.root.parent)
        check_links(self._links, self._folder)
        columns = tuple(indexed_columns(self._config.attributes))
        self.metadata = replace(metadata, state=READY, pending="", indexed=columns)
        entry = Entry(generation=self._generation, num_points=num_points, metadata=self.metadata)
        self._index.files.write_entry(self.name, entry)
        self._index.files.keep(self.name, self._generation, self._entry.generation)

    def _upsert(self, points: list[Any]) -> None:
        require_space(self._folder, bytes_to_build(len(points), self.metadata.dim))
        self._update(edge.UpdateOperation.upsert_points(points))

    def _overwrite_payloads(self, payloads: list[tuple[str, Payload]]) -> None:
        for point, payload in payloads:
            _call(self.shard.update, edge.UpdateOperation.overwrite_payload([point], payload))

    def _delete(self, points: list[str]) -> None:
        self._update(edge.UpdateOperation.delete_points(list(points)))

    def _update(self, operation: Any) -> None:
        _call(self.shard.update, operation)
        self._updates += 1
        if self._updates % _FLUSH_EVERY == 0:
            self.shard.flush()


INDEX_KINDS = {"keyword": edge.PayloadSchemaType.Keyword, "float": edge.PayloadSchemaType.Float}


def bytes_to_build(num_points: int, dim: int) -> int:
    """Return about how much of a disk products with vectors of ``2 * dim`` take until they are indexed."""
    return num_points * (2 * dim * _BYTES_PER_NUMBER + _BYTES_PER_PRODUCT)


def shard_config(config: IndexConfig, dim: int) -> Any:
    """Return the configuration of a shard for vectors of ``2 * dim``.

    No write-ahead log: it locks the folder to one process, and a writer works on files that nobody reads,
    so what a kill loses is written again.
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


def _call(function: Callable[..., R], *arguments: Any) -> R:
    """Call the engine; raises :class:`InputError` for what it refuses, :class:`ArtifactError` if it fails."""
    try:
        return function(*arguments)
    except BaseException as error:
        if not _is_from_engine(error):
            raise
        if type(error) is Exception and not str(error).startswith("Service"):
            raise InputError(
                f"Qdrant Edge refused a request: {error}.",
                fix="Check the vector's dimensions and the columns in the filter against "
                "docs/index-contract.md.",
            ) from error
        raise ArtifactError(
            f"Qdrant Edge failed: {error}.",
            fix="What it has on disk may be damaged: roll back with `recsys rollback`, or publish again.",
        ) from error


def _is_from_engine(error: BaseException) -> bool:
    """Tell whether the engine raised this: plain ``Exception``, or a panic, whose class has no address."""
    return type(error) is Exception or type(error).__name__ == "PanicException"
