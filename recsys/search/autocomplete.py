"""Products by id and by words, as one types: SQLite's full-text index over a snapshot.

One cache file per snapshot, built in about two seconds per hundred thousand products and shared by processes.
"""

import contextlib
import re
import sqlite3
import threading
import uuid
from pathlib import Path
from typing import NamedTuple

from recsys.workspace.snapshot import Snapshot

_SCHEMA = """
create table product(key integer primary key, id text not null, casefolded text not null, title text,
                     brand text, image text);
create virtual table words using fts5(id, title, brand, content='', tokenize='unicode61 remove_diacritics 2',
                                      prefix='1 2 3');
"""
_BY_ID = """
select id, title, brand, image from product
where casefolded >= ? and casefolded < ? order by casefolded limit ?
"""
_BY_WORDS = """
select product.id, product.title, product.brand, product.image
from (
  select rowid as key, bm25(words, 4.0, 2.0, 1.0) as distance from words where words match ? limit 1000
) as found
join product on product.key = found.key order by found.distance, product.id limit ?
"""
"""Of what matches, the first thousand are ranked: one letter matches everything, and typing must not wait."""
_KEPT = 3
"""Cache files kept in the folder: the live snapshot's, the one before, and one for a slow reader."""


class Suggestion(NamedTuple):
    """One product, as shown while typing."""

    id: str
    title: str | None
    brand: str | None
    image: str | None
    """sha256 (hex) of its first image's source."""


class Autocomplete:
    """The products of one snapshot. Safe to share between threads."""

    def __init__(self, path: Path, snapshot: Snapshot) -> None:
        """Open the index at ``path``; where there is none, build it from ``snapshot``."""
        if not path.exists():
            _build(path, snapshot)
        path.touch()
        for old in sorted(path.parent.glob("*.sqlite"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
        self._path = path
        self._local = threading.local()

    def find(self, typed: str, limit: int = 10) -> list[Suggestion]:
        """Return products whose id begins with what was typed, then those that have all of its words.

        The last word may be unfinished. Case and accents do not matter.
        """
        casefolded = typed.strip().casefold()
        if not casefolded:
            return []
        rows = self._db.execute(_BY_ID, (casefolded, casefolded + "\U0010ffff", limit)).fetchall()
        terms = re.findall(r"\w+", casefolded)
        if terms and len(rows) < limit:
            query = " ".join(f'"{t}"' for t in terms) + "*"
            rows += self._db.execute(_BY_WORDS, (query, limit)).fetchall()
        return [Suggestion(*row) for row in dict.fromkeys(rows)][:limit]

    def some(self, limit: int = 10) -> list[Suggestion]:
        """Return some products with images, spread over the catalog: always the same."""
        (count,) = self._db.execute("select count(*) from product").fetchone()
        step = max(1, count // max(1, 2 * limit))
        rows = self._db.execute(
            "select id, title, brand, image from product where key % ? = 0 and image is not null limit ?",
            (step, limit),
        )
        return [Suggestion(*row) for row in rows]

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if not hasattr(self._local, "db"):
            self._local.db = sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True)
        db: sqlite3.Connection = self._local.db
        return db


def _build(path: Path, snapshot: Snapshot) -> None:
    """Write the file beside its place and move it there: readers see all of it or nothing."""
    partial = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.partial")
    products = (
        (id, id.casefold(), title, brand, images[0].hex() if images else None)
        for batch in snapshot.batches(["id", "title", "brand", "images"])
        for id, title, brand, images in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    with contextlib.closing(sqlite3.connect(partial)) as db:
        db.execute("pragma journal_mode = off")
        db.execute("pragma synchronous = off")
        db.executescript(_SCHEMA)
        db.executemany(
            "insert into product(id, casefolded, title, brand, image) values (?, ?, ?, ?, ?)", products
        )
        db.execute("insert into words(rowid, id, title, brand) select key, id, title, brand from product")
        db.execute("create index by_id on product(casefolded)")
        db.commit()
    partial.replace(path)
