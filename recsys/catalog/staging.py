"""The feed on its way to a snapshot, kept in a SQLite file so that memory does not grow with it.

The file lives in the workspace's scratch: a run that was killed goes on from it.

Does not know: how rows are read, images fetched or snapshots written.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from recsys.catalog.image_state import open_database
from recsys.catalog.rows import ProductRow, Rejection

_ROW_TABLES = """
DROP TABLE IF EXISTS products;
DROP TABLE IF EXISTS links;
DROP TABLE IF EXISTS uses;
DROP TABLE IF EXISTS rejections;
CREATE TABLE products(id TEXT PRIMARY KEY, row INTEGER, data TEXT) WITHOUT ROWID;
CREATE TABLE links(number INTEGER PRIMARY KEY, link TEXT UNIQUE);
CREATE TABLE uses(
    id TEXT, position INTEGER, link_number INTEGER, column_name TEXT, PRIMARY KEY(id, position)
) WITHOUT ROWID;
CREATE TABLE rejections(
    row INTEGER, id TEXT, column_name TEXT, value TEXT, reason TEXT, message TEXT, scope TEXT
);
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS outcomes(
    link TEXT PRIMARY KEY, sha256 BLOB, reason TEXT, message TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_COMMIT_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one link: a stored image, or the reason why not."""

    sha256: bytes | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One image of one product, and what became of it."""

    column: str
    link: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SpooledProduct:
    """A product with the outcomes of its images."""

    row: int
    id: str
    values: dict[str, Any]
    attributes: dict[str, str]
    uses: list[Use]


class Spool:
    """Rows, links, outcomes and rejections of one run."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._connection.executescript(_TABLES)
        self._connection.execute("BEGIN")

    def close(self) -> None:
        """Drop what was not committed and close."""
        self._connection.rollback()
        self._connection.close()

    def commit(self) -> None:
        """Keep what was written since the last commit."""
        self._connection.commit()
        self._connection.execute("BEGIN")

    def note(self, name: str) -> Any:
        """Return a note left by this or an earlier attempt, or ``None``."""
        row = self._connection.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def leave_note(self, name: str, value: Any) -> None:
        """Leave a note for a later attempt."""
        self._connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, json.dumps(value)))

    # -- rows --------------------------------------------------------------------------------------

    def clear_rows(self) -> None:
        """Forget all rows; outcomes of links are kept."""
        self._connection.commit()
        self._connection.executescript(_ROW_TABLES)
        self._connection.execute("BEGIN")

    def add_rows(self, rows: Iterable[tuple[ProductRow | None, list[Rejection]]]) -> int:
        """Write rows as they come; of several with one id the first stays. Returns their number."""
        count = 0
        for count, (product, rejections) in enumerate(rows, start=1):
            if product is not None:
                rejections = [*rejections, *self._add_product(product)]
            self.reject(rejections)
            if count % _COMMIT_ROWS == 0:
                self.commit()
        return count

    def _add_product(self, product: ProductRow) -> list[Rejection]:
        execute = self._connection.execute
        data = json.dumps([product.values, product.attributes], ensure_ascii=False)
        added = execute(
            "INSERT OR IGNORE INTO products VALUES (?, ?, ?)", (product.id, product.row, data)
        ).rowcount
        if not added:
            first = execute("SELECT row FROM products WHERE id = ?", (product.id,)).fetchone()[0]
            message = f"Row {product.row}: id {product.id} is already taken by row {first}, which stays."
            return [Rejection(product.row, product.id, "id", product.id, "duplicate_id", message, "product")]
        for position, image in enumerate(product.images):
            execute("INSERT OR IGNORE INTO links(link) VALUES (?)", (image.link,))
            number = execute("SELECT number FROM links WHERE link = ?", (image.link,)).fetchone()[0]
            execute("INSERT INTO uses VALUES (?, ?, ?, ?)", (product.id, position, number, image.column))
        return []

    def reject(self, rejections: Iterable[Rejection]) -> None:
        """Write rejections."""
        rows = ((r.row, r.id, r.column, r.value, r.reason, r.message, r.scope) for r in rejections)
        self._connection.executemany("INSERT INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    # -- images ----------------------------------------------------------------------------------

    def num_open_links(self) -> int:
        """Return how many links have no outcome yet."""
        query = "SELECT count(*) FROM links LEFT JOIN outcomes USING (link) WHERE outcomes.link IS NULL"
        return int(self._connection.execute(query).fetchone()[0])

    def open_links(self) -> Iterator[str]:
        """Yield the links without an outcome, in feed order; outcomes may be written meanwhile."""
        number = 0
        while True:
            rows = self._connection.execute(
                "SELECT number, link FROM links LEFT JOIN outcomes USING (link) "
                "WHERE number > ? AND outcomes.link IS NULL ORDER BY number LIMIT 500",
                (number,),
            ).fetchall()
            if not rows:
                return
            number = rows[-1][0]
            yield from (link for _, link in rows)

    def set_outcome(self, link: str, outcome: Outcome) -> None:
        """Write what became of a link."""
        values = (link, outcome.sha256, outcome.reason, outcome.message)
        self._connection.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?)", values)

    def reopen(self, reason: str) -> None:
        """Forget outcomes of this reason, so that another attempt looks again."""
        self._connection.execute("DELETE FROM outcomes WHERE reason = ?", (reason,))

    def forget_outcomes(self) -> None:
        """Forget what became of every link: it was found out too long ago."""
        self._connection.execute("DELETE FROM outcomes")
        self._connection.execute("DELETE FROM notes")

    def stored_images(self) -> Iterator[bytes]:
        """Yield the sha256 of every image that some product uses, each once, ascending."""
        query = (
            "SELECT DISTINCT sha256 FROM outcomes JOIN links USING (link) "
            "WHERE sha256 IS NOT NULL ORDER BY sha256"
        )
        return (row[0] for row in self._connection.execute(query))

    # -- results -----------------------------------------------------------------------------------

    def products(self) -> Iterator[SpooledProduct]:
        """Yield products ascending by id (as UTF-8 bytes), each with its images in feed order."""
        uses = self._connection.execute(
            "SELECT id, column_name, link, sha256, reason, message FROM uses "
            "JOIN links ON links.number = link_number LEFT JOIN outcomes USING (link) ORDER BY id, position"
        )
        groups = groupby(uses, key=itemgetter(0))
        group = next(groups, None)
        for id, row, data in self._connection.execute("SELECT id, row, data FROM products ORDER BY id"):
            values, attributes = json.loads(data)
            found: list[Use] = []
            if group is not None and group[0] == id:
                found = [Use(column, link, Outcome(*outcome)) for _, column, link, *outcome in group[1]]
                group = next(groups, None)
            yield SpooledProduct(row, id, values, attributes, found)

    def rejections(self) -> Iterator[tuple[Any, ...]]:
        """Yield rejections in feed order as tuples in the order of ``product.REJECTED``."""
        query = (
            "SELECT id, row, column_name, value, reason, message, scope FROM rejections ORDER BY row, rowid"
        )
        return iter(self._connection.execute(query))

    def forget_image_rejections(self) -> None:
        """Drop rejections that writing a snapshot added, so that it can be written again."""
        self._connection.execute("DELETE FROM rejections WHERE scope = 'image' OR reason = 'no_usable_image'")

    def reasons(self) -> dict[str, dict[str, int]]:
        """Return scope → reason → number of rejections."""
        query = (
            "SELECT scope, reason, count(*) FROM rejections "
            "GROUP BY scope, reason ORDER BY scope, count(*) DESC"
        )
        counted: dict[str, dict[str, int]] = {}
        for scope, reason, count in self._connection.execute(query):
            counted.setdefault(scope, {})[reason] = count
        return counted
