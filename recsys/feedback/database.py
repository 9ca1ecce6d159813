"""The database behind the feedback store: SQLite in a file, or PostgreSQL. Schema, migrations, transactions.

    rules       one row per rule, retired ones included
    judgements  one row per unordered pair and author, withdrawn ones included
    audit       one row per change of either; triggers refuse to change or delete one
    revision    one row, counted up by every change

Every transaction that writes updates the row of ``revision`` first (SQLite locks the whole database), so
writers take turns, also across processes: the audit trail is in order, and a reader that sees a new number
sees everything up to it. A change of the schema needs a migration beside it (a test compares the two);
Alembic runs it when the store is opened, also from an installed package.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as Settings
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from sqlalchemy import exc
from sqlalchemy.types import TypeDecorator

from recsys.errors import ConfigError, DamagedError, TransientError

logger = logging.getLogger(__name__)

_BUSY_S = 15
"""How long a writer waits for its turn."""
_WRITES = "recsys_writes"
"""Execution option of connections that write."""

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """A time with its zone, in UTC; SQLite keeps no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Turn an aware time into UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        """Give the time its zone."""
        if value is None:
            return None
        time: datetime = value
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


rules = sa.Table(
    "rules",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("target", sa.String(16), nullable=False),
    sa.Column("target_value", sa.Text, nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("scope_value", sa.Text, nullable=False),
    sa.Column("strength", sa.Double, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("starts_at", Utc),
    sa.Column("expires_at", Utc),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("retired_at", Utc),
    sa.Column("retired_by", sa.Text),
    sa.Index(None, "target", "target_value"),
    sa.Index(None, "scope", "scope_value"),
    sa.Index(None, "retired_at", "expires_at"),
)

judgements = sa.Table(
    "judgements",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("left_id", sa.Text, nullable=False),
    sa.Column("right_id", sa.Text, nullable=False),
    sa.Column("label", sa.String(16), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("context", sa.JSON),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("changed_at", Utc, nullable=False),
    sa.Column("withdrawn_at", Utc),
    sa.UniqueConstraint("left_id", "right_id", "author"),
    sa.CheckConstraint("left_id <> right_id", name="two_products"),
    sa.Index(None, "right_id"),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("rule_id", sa.Integer),
    sa.Column("judgement_id", sa.Integer),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    sa.Column("note", sa.Text, nullable=False),
    sa.Index(None, "rule_id"),
    sa.Index(None, "judgement_id"),
)

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)


_LOCK = 0x7265637379730001
"""PostgreSQL's advisory lock that migrations take."""


def settings(connection: sa.Connection | None = None) -> Settings:
    """Return Alembic's settings: our migrations, run over ``connection``."""
    config = Settings()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: sa.Engine, to: str = "head") -> None:
    """Run the migrations that are missing, in one transaction, one process at a time.

    Raises :class:`ConfigError` if a newer version of this package has migrated the database.
    """
    script = ScriptDirectory.from_config(settings())
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == (script.get_current_head() if to == "head" else to):
            return
    with engine.connect() as plain:
        connection = plain.execution_options(**{_WRITES: True})
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            try:
                command.upgrade(settings(connection), to)  # nothing, if another process was first
            except CommandError as error:
                raise ConfigError(
                    f"The database of rules and judgements is at revision {current!r}: {error}.",
                    fix="A newer version migrated it: use that one, or another search.database.",
                ) from None
            logger.info("database of rules and judgements: migrated from %s to %s", current, to)


class Database:
    """An engine with the schema at its newest revision. Thread-safe; one per process.

    Everything raises :class:`TransientError` if the database does not answer and :class:`DamagedError` if
    it cannot be read.
    """

    def __init__(self, url: str, *, must_answer: bool = True) -> None:
        """Open the database at the SQLAlchemy ``url`` and bring its schema up to date.

        Unless it ``must_answer``, one that cannot be opened now is opened when it is next asked. Raises
        :class:`ConfigError` for a wrong URL or a schema from a newer version.
        """
        self._url = parse_url(url)
        self.engine = create_engine(self._url)
        self._migrating, self._migrated = threading.Lock(), False
        try:
            with self._translated():
                self._migrate()
        except BaseException as error:
            if must_answer or not isinstance(error, TransientError | DamagedError):
                self.engine.dispose()
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a transaction that only reads."""
        with self._translated():
            self._migrate()
            with self.engine.connect() as connection, connection.begin():
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open the only transaction that writes; leaving the block commits, an exception rolls back."""
        with self._translated():
            self._migrate()
            with self.engine.connect() as plain:
                connection = plain.execution_options(**{_WRITES: True})
                with connection.begin():
                    connection.execute(sa.update(revision).values(number=revision.c.number + 1))
                    yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    def _migrate(self) -> None:
        """Bring the schema up to date, unless that was done."""
        if self._migrated:
            return
        with self._migrating:
            if not self._migrated:
                with self._opening():
                    upgrade(self.engine)
                self._migrated = True

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise our errors for those of a database that does not answer or cannot be read."""
        try:
            yield
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            cause = str(error.orig if isinstance(error, exc.DBAPIError) else error).strip()
            raise TransientError(
                f"The database of rules and judgements ({self._url!r}) does not answer: {cause}.",
                fix="See that it runs and that search.database names it; then try again.",
            ) from error
        except exc.DatabaseError as error:
            if type(error.orig) is not sqlite3.DatabaseError:  # SQLite's for a file that makes no sense
                raise
            raise DamagedError(
                f"The database of rules and judgements ({self._url!r}) is damaged: {error.orig}.",
                fix="Move the file away, with its -wal and -shm, then `recsys restore FILE` of the last "
                "backup. Without one every rule and judgement is lost.",
            ) from error

    def _opening(self) -> contextlib.AbstractContextManager[Any]:
        """Return the lock under which a SQLite file is created; PostgreSQL has its own."""
        if self._url.get_backend_name() != "sqlite" or not self._url.database:
            return contextlib.nullcontext()
        path = Path(self._url.database)
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_name(f"{path.name}.lock"), timeout=120)


def parse_url(url: str) -> sa.URL:
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


def create_engine(url: sa.URL) -> sa.Engine:
    """Return an engine; on SQLite a transaction that writes takes the write lock first."""
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
    connection.execute("PRAGMA synchronous=FULL")  # what was committed survives a power cut
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    """Take the write lock first if the transaction writes: SQLite refuses one that is taken later."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
