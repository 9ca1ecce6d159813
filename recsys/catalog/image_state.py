"""What earlier nights found out about images: which are stored in which shard, and what each link held.

Two tables in one SQLite file, a cache that may be deleted at any time: the index of stored images is
rebuilt from the image shards of the workspace, and the links are checked again.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from recsys.workspace import Workspace, content_id, image_store
from recsys.workspace.image_store import ImageStore
from recsys.workspace.normalise import Normalisation

logger = logging.getLogger(__name__)

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;  -- survives a kill; a power cut costs the cache
PRAGMA temp_store = FILE;
SELECT count(*) FROM sqlite_master;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards(ref TEXT PRIMARY KEY, number INTEGER UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stored(
    sha256 BLOB PRIMARY KEY, shard INTEGER NOT NULL  -- -1: the shard that is being written
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS being_written ON stored(shard) WHERE shard = -1;
CREATE TABLE IF NOT EXISTS links(
    link TEXT PRIMARY KEY, signature TEXT, etag TEXT, last_modified TEXT,
    sha256 BLOB, reason TEXT, message TEXT
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a link held when it was last checked: an image, or what was wrong with it."""

    signature: str | None = None
    """Of a file or an object: it changes when the content does."""
    etag: str | None = None
    last_modified: str | None = None
    sha256: bytes | None = None
    reason: str | None = None
    message: str | None = None


def open_database(path: Path) -> sqlite3.Connection:
    """Open a SQLite file that can be made again; a damaged one is replaced by an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        connection = sqlite3.connect(path, check_same_thread=False)
        try:
            connection.executescript(_PRAGMAS)
        except sqlite3.DatabaseError as error:
            connection.close()
            logger.warning("%s is damaged (%s) and is replaced", path.name, error)
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        else:
            return connection
    raise sqlite3.DatabaseError(f"{path} cannot be opened")


class ImageState:
    """The index of stored images of one normalisation, and the links seen. Thread-safe."""

    def __init__(self, workspace: Workspace, settings: Normalisation) -> None:
        """Open the cache and bring the index up to date with the workspace's image shards.

        Other bounds or another size have a cache of their own: under them every image is checked again.
        """
        name = f"images-{settings.id}-{content_id(asdict(settings))}.sqlite"
        self._connection = open_database(workspace.state(name))
        self._connection.executescript(_SCHEMA)
        self._lock = threading.Lock()
        self._synchronise(workspace, settings.id)

    def _synchronise(self, workspace: Workspace, normalisation_id: str) -> None:
        """Forget shards that are gone from the workspace and read those that are new."""
        present = {
            manifest.ref
            for manifest in workspace.list_intact(image_store.KIND, fetch=False)
            if manifest.info.get("normalisation") == normalisation_id
        }
        execute = self._connection.execute
        with self._connection:
            known = dict(execute("SELECT ref, number FROM shards").fetchall())
            num_forgotten = 0
            for ref in set(known) - present:
                num_forgotten += execute("DELETE FROM stored WHERE shard = ?", (known[ref],)).rowcount
                execute("DELETE FROM shards WHERE ref = ?", (ref,))
            # what a compaction copied is still in the shard that it came from, as long as that is there
            for ref in sorted(present if num_forgotten else present - set(known)):
                rows = ((sha256,) for sha256 in ImageStore.open(workspace, [ref]))
                self._connection.executemany("INSERT OR IGNORE INTO stored VALUES (?, -1)", rows)
                self.name_shard(ref)
                logger.info("indexed the images of %s", ref)

    def close(self) -> None:
        """Drop what was not committed and close the cache."""
        with self._lock:
            self._connection.rollback()
            self._connection.close()

    def commit(self) -> None:
        """Keep what was recorded since the last commit."""
        with self._lock:
            self._connection.commit()

    def _execute(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def is_stored(self, sha256: bytes) -> bool:
        """Whether a shard holds, or the one being written will hold, this image."""
        return bool(self._execute("SELECT 1 FROM stored WHERE sha256 = ?", sha256))

    def add(self, sha256: bytes) -> None:
        """Record that an image is in the shard that is being written, and in no other that it was in."""
        self._execute("INSERT OR REPLACE INTO stored VALUES (?, -1)", sha256)

    def name_shard(self, ref: str) -> None:
        """Record that the shard that was being written is committed; two of the same content become one."""
        self._execute("INSERT OR IGNORE INTO shards SELECT ?, coalesce(max(number), -1) + 1 FROM shards", ref)
        number = "(SELECT number FROM shards WHERE ref = ?)"
        self._execute(f"UPDATE stored SET shard = {number} WHERE shard = -1", ref)

    def link(self, link: str) -> LinkState | None:
        """Return what ``link`` held; ``None`` if it is new or its image is not stored any more."""
        columns = "signature, etag, last_modified, sha256, reason, message"
        rows = self._execute(f"SELECT {columns} FROM links WHERE link = ?", link)
        state = LinkState(*rows[0]) if rows else None
        return None if state and state.sha256 and not self.is_stored(state.sha256) else state

    def set_link(self, link: str, state: LinkState) -> None:
        """Record what a link holds."""
        self._execute("INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?, ?, ?)", link, *astuple(state))

    def shard_ref(self, sha256: bytes) -> str | None:
        """Return the ref of the shard that holds this image, if it is stored."""
        query = "SELECT ref FROM stored JOIN shards ON number = shard WHERE sha256 = ?"
        return next((str(ref) for (ref,) in self._execute(query, sha256)), None)

    def shard_refs(self, sha256s: Iterator[bytes]) -> list[str]:
        """Return the refs of the shards that hold these images, each once, sorted."""
        return sorted(set(filter(None, map(self.shard_ref, sha256s))))
