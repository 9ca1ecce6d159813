"""What earlier nights know of images: which are stored where, and what each link held.

Two tables in one SQLite file, a cache that may be deleted at any time: the index of stored images is
rebuilt from the image shards of the workspace, the links are asked again.

Does not know: how images are fetched or decoded.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from recsys.workspace import Workspace, content_id
from recsys.workspace import image_store as image_store
from recsys.workspace.normalise import Normalisation

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards(ref TEXT PRIMARY KEY, number INTEGER UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stored(sha256 BLOB PRIMARY KEY, shard INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links(
    link TEXT PRIMARY KEY, signature TEXT, etag TEXT, last_modified TEXT,
    sha256 BLOB, reason TEXT, message TEXT
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a link held when it was last looked at: an image, or what was wrong with it."""

    signature: str | None = None
    """Of a file: size and modification time."""
    etag: str | None = None
    last_modified: str | None = None
    sha256: bytes | None = None
    reason: str | None = None
    message: str | None = None


def open_database(path: Path) -> sqlite3.Connection:
    """Open a SQLite file whose loss costs time only; one that is damaged is begun anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")  # survives a kill; a power cut costs the cache
            connection.execute("PRAGMA temp_store=FILE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            connection.close()
            logger.warning("%s is damaged (%s) and is begun anew", path.name, error)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        else:
            return connection
    raise sqlite3.DatabaseError(f"{path} cannot be opened")


class ImageState:
    """The index of stored images of one normalisation, and the links seen. Thread-safe."""

    def __init__(self, workspace: Workspace, settings: Normalisation) -> None:
        """Open the cache and bring the index up to date with the workspace's image shards.

        Other bounds or another size judge every image anew, so they have a cache of their own.
        """
        name = f"images-{settings.id}-{content_id(asdict(settings))}.sqlite"
        self._connection = open_database(workspace.state(name))
        self._connection.executescript(_SCHEMA)
        self._lock = threading.Lock()
        self._normalisation = settings.id
        self._synchronise(workspace)
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Drop what was not committed and close the cache."""
        with self._lock:
            self._connection.rollback()
            self._connection.close()

    def commit(self) -> None:
        """Keep what was noted since the last commit."""
        with self._lock:
            self._connection.commit()
            self._connection.execute("BEGIN")

    def is_stored(self, sha256: bytes) -> bool:
        """Whether a shard holds, or the one being written will hold, this image."""
        with self._lock:
            row = self._connection.execute("SELECT 1 FROM stored WHERE sha256 = ?", (sha256,)).fetchone()
        return row is not None

    def link(self, link: str) -> LinkState | None:
        """Return what ``link`` held; ``None`` where it is new or its image is not stored any more."""
        with self._lock:
            row = self._connection.execute(
                "SELECT signature, etag, last_modified, sha256, reason, message FROM links WHERE link = ?",
                (link,),
            ).fetchone()
        state = LinkState(*row) if row else None
        return None if state and state.sha256 and not self.is_stored(state.sha256) else state

    def note_link(self, link: str, state: LinkState) -> None:
        """Note what a link holds."""
        values = (
            link,
            state.signature,
            state.etag,
            state.last_modified,
            state.sha256,
            state.reason,
            state.message,
        )
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def add(self, sha256: bytes, shard: int) -> None:
        """Note that an image is in the shard of this number."""
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO stored VALUES (?, ?)", (sha256, shard))

    def next_shard(self) -> int:
        """Return the number of the shard to be written."""
        with self._lock:
            row = self._connection.execute("SELECT coalesce(max(number), -1) + 1 FROM shards").fetchone()
        return int(row[0])

    def name_shard(self, number: int, ref: str) -> None:
        """Note the ref of a committed shard; two of the same content become one."""
        with self._lock:
            row = self._connection.execute("SELECT number FROM shards WHERE ref = ?", (ref,)).fetchone()
            if row:
                self._connection.execute("UPDATE stored SET shard = ? WHERE shard = ?", (row[0], number))
            else:
                self._connection.execute("INSERT INTO shards VALUES (?, ?)", (ref, number))

    def shard_numbers(self, sha256s: Iterator[bytes]) -> Iterator[int]:
        """Yield the shard number of each stored image."""
        for sha256 in sha256s:
            with self._lock:
                row = self._connection.execute(
                    "SELECT shard FROM stored WHERE sha256 = ?", (sha256,)
                ).fetchone()
            if row:
                yield int(row[0])

    def shard_refs(self, numbers: set[int]) -> list[str]:
        """Return the refs of these shards, sorted."""
        with self._lock:
            rows = self._connection.execute("SELECT ref, number FROM shards ORDER BY ref").fetchall()
        return [ref for ref, number in rows if number in numbers]

    def _synchronise(self, workspace: Workspace) -> None:
        """Forget shards that are gone from the workspace and read those we do not know."""
        present = {
            manifest.ref: manifest
            for manifest in workspace.list(image_store.KIND)
            if manifest.info.get("normalisation") == self._normalisation
        }
        with self._transaction():
            known = dict(self._connection.execute("SELECT ref, number FROM shards").fetchall())
            for ref in set(known) - set(present):
                self._connection.execute("DELETE FROM stored WHERE shard = ?", (known[ref],))
                self._connection.execute("DELETE FROM shards WHERE ref = ?", (ref,))
            number = max(known.values(), default=-1)
            for ref in sorted(set(present) - set(known)):
                number += 1
                self._connection.execute("INSERT INTO shards VALUES (?, ?)", (ref, number))
                hashes = _hashes(workspace.path(present[ref]) / image_store.FILE)
                rows = ((sha256, number) for sha256 in hashes)
                self._connection.executemany("INSERT OR IGNORE INTO stored VALUES (?, ?)", rows)
                logger.info("indexed the images of %s", ref)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()


def _hashes(path: Path) -> Iterator[bytes]:
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        for i in range(file.num_record_batches):
            yield from file.get_batch(i).column("sha256").to_pylist()
