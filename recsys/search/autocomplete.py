"""Products by id and by words, as one types: SQLite's full-text index over a snapshot.

A cache file per snapshot, built in a second per hundred thousand products and shared by processes.

Does not know: similarity; the index.
"""

import contextlib
import re
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from recsys.workspace.snapshot import Snapshot

_SCHEMA = """
create table product(key integer primary key, id text not null, folded text not null, title text, brand text,
                     image text);
create virtual table words using fts5(id, title, brand, content='', tokenize='unicode61 remove_diacritics 2',
                                      prefix='1 2 3');
"""
_BY_ID = """
select id, title, brand, image from product where folded >= ? and folded < ? order by folded limit ?
"""
_BY_WORDS = """
select product.id, product.title, product.brand, product.image
from (
  select rowid as key, bm25(words, 4.0, 2.0, 1.0) as far from words where words match ? limit 1000
) as found
join product on product.key = found.key order by found.far, product.id limit ?
"""
"""Of what matches, the first thousand are ranked: one letter matches everything, and typing must not wait."""
_KEPT = 3
"""Cache files left in the folder: the live snapshot's, the one before, and one for whoever is slow."""


class Suggestion(NamedTuple):
    """One product, as shown while typing."""

    id: str
    title: str | None
    brand: str | None
    image: str | None
    """sha256 (hex) of its first image's source."""


class Autocomplete:
    """The products of one snapshot. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()

    @classmethod
    def open(cls, path: Path, snapshot: Snapshot) -> "Autocomplete":
        """Open the index at ``path``, built from ``snapshot`` if it is not there yet."""
        if not path.exists():
            _build(path, snapshot)
        path.touch()
        stale = sorted(path.parent.glob("*.sqlite"), key=lambda p: p.stat().st_mtime)[:-_KEPT]
        for old in stale:
            old.unlink(missing_ok=True)
        return cls(path)

    def find(self, typed: str, limit: int = 10) -> list[Suggestion]:
        """Return products whose id begins with what was typed, then those that have all of its words.

        The last word may be unfinished. Case and accents do not matter.
        """
        folded = typed.strip().casefold()
        if not folded:
            return []
        rows = self._db.execute(_BY_ID, (folded, folded + "\U0010ffff", limit)).fetchall()
        terms = re.findall(r"\w+", folded)
        if terms and len(rows) < limit:
            query = " ".join(f'"{t}"' for t in terms) + "*"
            rows += self._db.execute(_BY_WORDS, (query, limit)).fetchall()
        found = {row[0]: Suggestion(*row) for row in reversed(rows)}
        return list(reversed(found.values()))[:limit]

    def some(self, limit: int = 10) -> list[Suggestion]:
        """Return some products with images, spread over the catalog: always the same."""
        count = int(self._db.execute("select count(*) from product").fetchone()[0])
        step = max(1, count // max(1, 2 * limit))
        rows = self._db.execute(
            "select id, title, brand, image from product where key % ? = 0 and image is not null limit ?",
            (step, limit),
        )
        return [Suggestion(*row) for row in rows]

    @property
    def _db(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True)
            self._local.db = db
        return db


def _build(path: Path, snapshot: Snapshot) -> None:
    """Write the file beside its place and move it there: readers see all of it or nothing."""
    partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    with contextlib.closing(sqlite3.connect(partial)) as db:
        db.execute("pragma journal_mode = off")
        db.execute("pragma synchronous = off")
        db.executescript(_SCHEMA)
        for rows in _rows(snapshot):
            db.executemany("insert into product values (?, ?, ?, ?, ?, ?)", rows)
            words = [(key, id, title, brand) for key, id, _, title, brand, _ in rows]
            db.executemany("insert into words(rowid, id, title, brand) values (?, ?, ?, ?)", words)
        db.execute("create index by_id on product(folded)")
        db.commit()
    partial.replace(path)


def _rows(snapshot: Snapshot) -> Iterator[list[tuple[Any, ...]]]:
    key = 0
    for batch in snapshot.batches(["id", "title", "brand", "images"]):
        columns = (batch.column(name).to_pylist() for name in ("id", "title", "brand", "images"))
        rows = []
        for id, title, brand, images in zip(*columns, strict=True):
            key += 1
            rows.append((key, id, id.casefold(), title, brand, images[0].hex() if images else None))
        yield rows
