"""Brings a database's schema up to date, by Alembic, from inside the installed package.

Does not know: what the tables are for.
"""

import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as Settings
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from recsys.errors import ConfigError

logger = logging.getLogger(__name__)

_LOCK = 0x7265637379730001
"""Of PostgreSQL's advisory locks, the one that migrations take."""


def settings(connection: sa.Connection | None = None) -> Settings:
    """Return Alembic's settings: our migrations, run over ``connection``."""
    config = Settings()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: sa.Engine, to: str = "head") -> None:
    """Run the migrations that are missing, in one transaction, one process at a time.

    Raises :class:`ConfigError` where a newer version of this package has been at the database.
    """
    script = ScriptDirectory.from_config(settings())
    target = script.get_current_head() if to == "head" else to
    with engine.connect() as connection:
        if _current(connection) == target:
            return
    with engine.connect() as plain:
        connection = plain.execution_options(recsys_writes=True)
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            current = _current(connection)  # another process may have been first
            try:
                if current is not None:
                    script.get_revision(current)
            except (CommandError, ResolutionError):
                raise ConfigError(
                    f"The database of rules and judgements is at revision {current!r}, unknown here.",
                    fix="A newer version has been at it: use that one, or another search.database.",
                ) from None
            command.upgrade(settings(connection), to)
            logger.info("database of rules and judgements: migrated from %s to %s", current, target)


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
