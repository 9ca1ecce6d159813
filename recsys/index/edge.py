"""Qdrant Edge: the engine in this process, with a server's semantics in a folder.

Any number of processes read while one writes: readers open a generation that is never written again
and follow the records, writers work on the next generation. See ``docs/adr/`` for why.

Does not know: what is published when; that is :mod:`recsys.index.run`.
"""

import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import qdrant_edge as edge
from filelock import BaseFileLock, Timeout

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, TransientError
from recsys.index.base import BUILDING, READY, CollectionInfo, Metadata
from recsys.index.edge_files import (
    EdgeFiles,
    Entry,
    Links,
    Signature,
    copy_generation,
    next_generation,
    signature,
)  # fmt: skip
from recsys.index.edge_shard import EdgeCollection, EdgeWriter

logger = logging.getLogger(__name__)

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
