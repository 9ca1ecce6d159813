"""The files of Qdrant Edge's collections: records replaced atomically, and generations of shards.

    <root>/aliases/<alias>.json          {"collection": name}
    <root>/collections/<name>.json       {"generation": "g000002", "num_points": n, "metadata": {...}}
    <root>/collections/<name>/g000002/   the shard that readers of the collection copy and open
    <root>/readers/<random>/             a reader's copy, for as long as opening it takes

A generation that a record names is never written again. A change is made on a copy, which becomes the
next generation when the record names it; the one before stays for readers that are just opening it. The
engine writes to what it opens, a reader's too: so that is a copy, whose files are unlinked once it is open.
"""

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import ArtifactError, DamagedError, TransientError
from recsys.index.base import Metadata
from recsys.workspace.checksums import RecordError, seal, unseal
from recsys.workspace.store import write_atomic

_SHARED = {"matrix.dat", "quantized.data", "links_compressed.bin", "links.bin", "graph.bin"}
"""Files of an optimised segment that the engine never writes again: vectors, their int8 copy, the graph.
They are most of the bytes, and generations share them as hard links."""
_OPTIMISED = "id_tracker.mappings"
"""A segment folder that has this file takes no new points."""
_CHUNK = 64 << 20
_HEADROOM = 64 << 20
"""Bytes that stay free besides those that are asked for: the engine writes to mapped files, which on a full
disk is no error but a signal that ends the process."""
_LONGEST_OPEN_S = 3600.0
"""A reader's copy older than this is of a reader that was killed."""

FileState = tuple[int, int]
"""When a file was last written to, in nanoseconds, and its size."""


class NoSpaceError(TransientError):
    """The disk has too little room; nothing was begun."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The record of one collection."""

    generation: str
    """Folder that readers open; empty until the first build is finished."""
    num_points: int
    metadata: Metadata


@dataclass
class EdgeFiles:
    """The folder that holds every collection and alias."""

    root: Path

    def entry_path(self, name: str) -> Path:
        """Return the path of a collection's record."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ArtifactError(
                f"{name!r} is no collection name.", fix="recsys status lists the collections there are."
            )
        return self.root / "collections" / f"{name}.json"

    def folder(self, name: str, generation: str) -> Path:
        """Return the folder of one generation."""
        return self.root / "collections" / name / generation

    def read_alias(self, alias: str) -> str | None:
        """Return the collection an alias names, or ``None``; raises :class:`DamagedError`."""
        record = _read(self.root / "aliases" / f"{alias}.json")
        return str(record["collection"]) if record else None

    def write_alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step."""
        write_atomic(self.root / "aliases" / f"{alias}.json", seal({"collection": name}))

    def read_entry(self, name: str) -> Entry | None:
        """Return a collection's record, or ``None``; raises :class:`DamagedError`."""
        record = _read(self.entry_path(name))
        if record is None:
            return None
        return Entry(**{**record, "metadata": Metadata.from_json(record["metadata"])})

    def write_entry(self, name: str, entry: Entry) -> None:
        """Replace a collection's record, in one step."""
        record = {**vars(entry), "metadata": entry.metadata.to_json()}
        write_atomic(self.entry_path(name), seal(record))

    def names(self) -> list[str]:
        """Return the names of all collections, in order."""
        return sorted(p.stem for p in (self.root / "collections").glob("*.json"))

    def remove(self, name: str) -> None:
        """Delete a collection, its record first, so that a kill in between leaves nothing half-there."""
        self.entry_path(name).unlink(missing_ok=True)
        shutil.rmtree(self.root / "collections" / name, ignore_errors=True)

    @contextlib.contextmanager
    def reader_copy(self, name: str, generation: str) -> Iterator[Path]:
        """Copy a generation for a reader to open within the block; its files are unlinked afterwards.

        Raises :class:`NoSpaceError`, and ``FileNotFoundError`` if the generation is being deleted.
        """
        folder = self.root / "readers" / uuid.uuid4().hex
        try:
            copy_generation(self.folder(name, generation), folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Delete what a kill left: folders without a record, and copies of readers."""
        for folder in (self.root / "readers").glob("*/"):
            if time.time() - folder.stat().st_mtime > _LONGEST_OPEN_S:
                shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.root / "collections").glob("*/"):
            if not folder.with_name(f"{folder.name}.json").exists():
                shutil.rmtree(folder, ignore_errors=True)

    def keep(self, name: str, *generations: str) -> None:
        """Delete every other generation of a collection. A reader that has one open keeps its files."""
        for folder in (self.root / "collections" / name).glob("g*"):
            if folder.name not in generations:
                shutil.rmtree(folder, ignore_errors=True)


def next_generation(generation: str) -> str:
    """Return the name that follows: ``g000001`` after none."""
    return f"g{int(generation[1:] or 0) + 1 if generation else 1:06d}"


def check_links(links: dict[str, FileState], folder: Path) -> None:
    """Raise :class:`ArtifactError` if a file of ``links`` was written since; it must never happen."""
    for name, expected in links.items():
        path = folder / name
        if path.exists() and _state(path) != expected:
            raise ArtifactError(
                f"{path} is shared with the generation in service and was written to.",
                fix="Keep to the pinned version of qdrant-edge-py: this one breaks an assumption.",
            )


def require_space(folder: Path, num_bytes: int) -> None:
    """Raise :class:`NoSpaceError` if the disk of ``folder`` has no room for ``num_bytes`` more."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes + _HEADROOM:
        raise _no_space(folder, f"{free >> 20} MB are free, {(num_bytes + _HEADROOM) >> 20} MB are needed")


def reserved_bytes(folder: Path) -> int:
    """Return how many bytes the files under ``folder`` take once their holes are filled.

    The engine reserves whole pages of mapped files; on tmpfs opening them is enough to fill them.
    """
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _no_space(folder: Path, found: str) -> NoSpaceError:
    return NoSpaceError(
        f"The disk of {folder} is full: {found}.",
        fix="Free some: earlier collections go with a lower index.keep_previous; then try again.",
    )


def copy_generation(source: Path, target: Path) -> dict[str, FileState]:
    """Copy a generation: shared files as hard links, the others with their holes; return the links.

    Those are the files that the copy shares with its source, with their states when it was made.
    The time follows the payloads' and the id table's size, a fifth of the whole, not the vectors'. Nothing
    is on stable storage before :func:`~recsys.workspace.store.sync_tree`. Raises :class:`NoSpaceError`.
    """
    shutil.rmtree(target, ignore_errors=True)
    links: dict[str, FileState] = {}
    copied = [path for path in source.rglob("*") if path.is_file() and not _is_shared(path, source)]
    require_space(source, sum(path.stat().st_size for path in copied))
    try:
        for folder, _, names in os.walk(source):
            here = Path(folder)
            there = target / here.relative_to(source)
            there.mkdir(parents=True)
            for name in names:
                if _is_shared(here / name, source) and _link(here / name, there / name):
                    links[str((there / name).relative_to(target))] = _state(here / name)
                else:
                    copy_sparse(here / name, there / name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(target, str(error)) from error
        raise
    return links


def _is_shared(path: Path, root: Path) -> bool:
    return path.name in _SHARED and _in_optimised_segment(path.parent, root)


def _in_optimised_segment(folder: Path, root: Path) -> bool:
    return any((p / _OPTIMISED).exists() for p in (folder, *folder.parents) if p.is_relative_to(root))


def _link(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links: the copy is whole, and slower
        return False
    return True


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file without filling its holes; shares blocks where the file system can (XFS, Btrfs)."""
    with source.open("rb", buffering=0) as reader, target.open("xb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        at = 0
        while at < size:
            try:
                start = os.lseek(reader.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            at = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            _copy_range(reader.fileno(), writer.fileno(), start, at)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not on every system, not between every two files
        while start < end:
            start += os.copy_file_range(source, target, end - start, start, start)
    while start < end:
        data = os.pread(source, min(_CHUNK, end - start), start)
        start += os.pwrite(target, data, start)


def _state(path: Path) -> FileState:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return unseal(path.read_bytes())
    except FileNotFoundError:
        return None
    except RecordError as error:
        raise DamagedError(
            f"{path} is damaged: it {error}.",
            fix="Delete that file, then run `recsys publish`: it completes the collection, or builds it "
            "again, and points the alias at it.",
        ) from None
