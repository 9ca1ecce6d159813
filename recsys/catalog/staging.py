"""The staging database: the rows of a feed on their way to a snapshot, and the outcome of every image link.

A SQLite file in the workspace's scratch folder, so that memory does not grow with the feed and a run that
was killed goes on from it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
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
CREATE TABLE links(number INTEGER PRIMARY KEY, link TEXT UNIQUE, wanted INTEGER DEFAULT 0);
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
CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_COMMIT_ROWS = 5000


@dataclass(frozen=True, slots=True)
class StagedImage:
    """One image link of one product, and what became of it: a stored image, or the reason why not."""

    column: str
    link: str
    sha256: bytes | None
    reason: str | None
    message: str | None


class Staging:
    """Rows, links, outcomes and rejections of one run."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._connection.executescript(_TABLES)

    def commit(self) -> None:
        """Keep what was written since the last commit."""
        self._connection.commit()

    def close(self) -> None:
        """Drop what was not committed and close."""
        self._connection.rollback()
        self._connection.close()

    def meta(self, name: str) -> Any:
        """Return what this or an earlier attempt set under ``name``, or ``None``."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a JSON value for this and later attempts."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    # -- rows --------------------------------------------------------------------------------------

    def clear_rows(self) -> None:
        """Forget all rows; outcomes of links are kept."""
        self._connection.executescript(_ROW_TABLES)

    def add_rows(self, rows: Iterable[tuple[ProductRow | None, list[Rejection]]], *, max_images: int) -> int:
        """Write rows as they come; of several with one id the first stays. Returns their number.

        Links beyond a product's first ``max_images`` are not among those to check.
        """
        count = 0
        for count, (product, rejections) in enumerate(rows, start=1):
            if product is not None and (duplicate := self._add_product(product, max_images)):
                rejections = [*rejections, duplicate]
            self.reject(rejections)
            if count % _COMMIT_ROWS == 0:
                self.commit()
        return count

    def _add_product(self, product: ProductRow, max_images: int) -> Rejection | None:
        execute = self._connection.execute
        row = (product.id, product.row, json.dumps([product.values, product.attributes], ensure_ascii=False))
        if not execute("INSERT OR IGNORE INTO products VALUES (?, ?, ?)", row).rowcount:
            first = execute("SELECT row FROM products WHERE id = ?", (product.id,)).fetchone()[0]
            message = f"Row {product.row}: id {product.id} is already taken by row {first}, which stays."
            return Rejection(product.row, product.id, "id", product.id, "duplicate_id", message, "product")
        for position, (column, link) in enumerate(product.images):
            execute("INSERT OR IGNORE INTO links(link) VALUES (?)", (link,))
            if position < max_images:
                execute("UPDATE links SET wanted = 1 WHERE link = ?", (link,))
            number = execute("SELECT number FROM links WHERE link = ?", (link,)).fetchone()[0]
            execute("INSERT INTO uses VALUES (?, ?, ?, ?)", (product.id, position, number, column))
        return None

    def reject(self, rejections: Iterable[Rejection]) -> None:
        """Write rejections."""
        insert = "INSERT INTO rejections VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._connection.executemany(insert, map(astuple, rejections))

    # -- images ----------------------------------------------------------------------------------

    def num_links_without_outcome(self) -> int:
        """Return how many links have no outcome yet."""
        query = "SELECT count(*) FROM links LEFT JOIN outcomes USING (link) "
        query += "WHERE wanted AND outcomes.link IS NULL"
        return int(self._connection.execute(query).fetchone()[0])

    def links_without_outcome(self) -> Iterator[str]:
        """Yield them in feed order; outcomes may be written meanwhile."""
        query = (
            "SELECT number, link FROM links LEFT JOIN outcomes USING (link) "
            "WHERE number > ? AND wanted AND outcomes.link IS NULL ORDER BY number LIMIT 500"
        )
        number = 0
        while rows := self._connection.execute(query, (number,)).fetchall():
            number = rows[-1][0]
            yield from (link for _, link in rows)

    def set_outcome(
        self, link: str, sha256: bytes | None, reason: str | None = None, message: str | None = None
    ) -> None:
        """Write what became of a link: a stored image, or the reason why not."""
        values = (link, sha256, reason, message)
        self._connection.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?)", values)

    def forget_outcomes(self, *, reason: str | None = None) -> None:
        """Forget the outcomes of ``reason``, or all of them, so that those links are checked again."""
        self._connection.execute("DELETE FROM outcomes WHERE ?1 IS NULL OR reason = ?1", (reason,))

    def forget_rejected(self) -> None:
        """Forget every outcome that is a reason: after a guard stopped a run, the next one looks again."""
        self._connection.execute("DELETE FROM outcomes WHERE reason IS NOT NULL")

    def stored_images(self) -> Iterator[bytes]:
        """Yield the sha256 of every image that some product uses, each once, ascending."""
        query = (
            "SELECT DISTINCT sha256 FROM outcomes JOIN links USING (link) "
            "WHERE sha256 IS NOT NULL ORDER BY sha256"
        )
        return (row[0] for row in self._connection.execute(query))

    # -- results -----------------------------------------------------------------------------------

    def products(self) -> Iterator[tuple[ProductRow, list[StagedImage]]]:
        """Yield products ascending by id (as UTF-8 bytes), each with its images in feed order."""
        query = (
            "SELECT products.id, row, data, column_name, link, sha256, reason, message "
            "FROM products LEFT JOIN uses USING (id) LEFT JOIN links ON links.number = link_number "
            "LEFT JOIN outcomes USING (link) ORDER BY products.id, position"
        )
        for (id, row, data), group in groupby(self._connection.execute(query), key=itemgetter(0, 1, 2)):
            images = [StagedImage(*columns) for _, _, _, *columns in group if columns[1] is not None]
            values, attributes = json.loads(data)
            yield ProductRow(row, id, values, attributes), images

    def rejections(self) -> Iterator[tuple[Any, ...]]:
        """Yield rejections in feed order as tuples in the order of ``product.REJECTED``."""
        query = (
            "SELECT id, row, column_name, value, reason, message, scope FROM rejections ORDER BY row, rowid"
        )
        return iter(self._connection.execute(query))

    def forget_image_rejections(self) -> None:
        """Drop the rejections that writing a snapshot added, so that it can be written again."""
        self._connection.execute("DELETE FROM rejections WHERE scope = 'image' OR reason = 'no_usable_image'")

    def reasons(self) -> dict[str, dict[str, int]]:
        """Return scope → reason → number of rejections, the most frequent reason first."""
        query = (
            "SELECT scope, reason, count(*) FROM rejections "
            "GROUP BY scope, reason ORDER BY scope, count(*) DESC"
        )
        counts: dict[str, dict[str, int]] = {}
        for scope, reason, count in self._connection.execute(query):
            counts.setdefault(scope, {})[reason] = count
        return counts
