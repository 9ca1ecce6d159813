"""The database behind the feedback store: SQLite in a file, or PostgreSQL; connections and transactions.

Every transaction that writes takes the row of ``revision`` first (SQLite: the whole database), so writers
take turns, also across processes, and a reader that sees a new number sees everything up to it.

Does not know: what is kept.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy import exc

from recsys.errors import ConfigError, TransientError
from recsys.search.feedback import migrate
from recsys.search.feedback.tables import revision

logger = logging.getLogger(__name__)

_BUSY_S = 15
"""How long a writer waits for its turn."""
_WRITES = "recsys_writes"


class Database:
    """An engine with the schema at its newest revision. Thread-safe; one per process."""

    def __init__(self, url: str) -> None:
        """Open the database at the SQLAlchemy ``url`` and bring its schema up to date.

        Raises :class:`ConfigError` for a URL that is none or a schema from a newer version, and
        :class:`TransientError` where the database does not answer.
        """
        self._url = parsed(url)
        self.engine = _engine(self._url)
        try:
            with self._translated(), self._opening():
                migrate.upgrade(self.engine)
        except BaseException:
            self.engine.dispose()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes, alone; leaving the block commits, an exception undoes it."""
        with self._translated(), self.engine.connect() as plain:
            connection = plain.execution_options(**{_WRITES: True})
            with connection.begin():
                connection.execute(sa.update(revision).values(number=revision.c.number + 1))
                yield connection

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Say in our words that the database does not answer."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            cause = str(error.orig if isinstance(error, exc.DBAPIError) else error).strip()
            raise TransientError(
                f"The database of rules and judgements ({self.name}) does not answer: {cause}.",
                fix="See that it runs and that search.database names it; then try again.",
            ) from error

    def _opening(self) -> contextlib.AbstractContextManager[Any]:
        """Return the lock under which a SQLite file is made; PostgreSQL has its own."""
        if self._url.get_backend_name() != "sqlite" or not self._url.database:
            return contextlib.nullcontext()
        path = Path(self._url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_name(f"{path.name}.lock"), timeout=120)


def parsed(url: str) -> sa.URL:
    """Return ``url`` with our driver in it; raises :class:`ConfigError`."""
    try:
        found = sa.make_url(url)
        backend = found.get_backend_name()
    except (exc.ArgumentError, ValueError):
        found, backend = None, "none"  # the URL itself may hold a password: it is not shown
    if found is None or backend not in ("sqlite", "postgresql", "postgres"):
        raise ConfigError(
            f"search.database names no SQLite or PostgreSQL database (its kind is {backend!r:.40}).",
            fix="Use postgresql+psycopg://user:password@host/name or sqlite:////a/file.db.",
        )
    return found if backend == "sqlite" else found.set(drivername="postgresql+psycopg")


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    ours = {"options": f"-c lock_timeout={_BUSY_S * 1000}", "connect_timeout": 10}
    arguments = {name: value for name, value in ours.items() if name not in url.query}
    return sa.create_engine(url, pool_pre_ping=True, pool_timeout=_BUSY_S, connect_args=arguments)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; see _begin_sqlite
    connection.execute("PRAGMA journal_mode=WAL")  # readers and the one writer do not wait for each other
    connection.execute("PRAGMA synchronous=FULL")  # what was answered survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the write lock at once where the transaction writes: one taken later can fail at once."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
