"""Backup of the feedback store, and the way back: one file, of either database, for either.

A gzip of JSON lines: a header (format, schema, number of rows per table), every row, and last the SHA-256 of
all lines before it. It is read whole and checked before a row is written.
"""

import glob
import gzip
import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import ScriptDirectory

from recsys.errors import DamagedError, InputError
from recsys.feedback import database
from recsys.feedback.database import Database, Utc
from recsys.workspace.store import fsync

FORMAT = 1
_TABLES = {table.name: table for table in (database.rules, database.judgements, database.audit)}


def back_up(source: Database, path: Path) -> dict[str, int]:
    """Write everything, as of one moment, to ``path``, in one step; return the rows per table.

    What a backup to ``path`` that was killed left beside it is removed.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}"):
            left.unlink(missing_ok=True)
        with source.reading() as connection, gzip.open(partial, "wb") as file:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            counts = {
                name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for name, table in _TABLES.items()
            }
            number = connection.execute(sa.select(database.revision.c.number)).scalar_one()
            digest = hashlib.sha256()
            header = {"format": FORMAT, "schema": _revisions()[0], "revision": number, "rows": counts}
            for value in (header, *_rows(connection)):
                line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
                digest.update(line)
                file.write(line)
            file.write(json.dumps({"sha256": digest.hexdigest()}).encode() + b"\n")
        fsync(partial)
        partial.replace(path)
        fsync(path.parent)
    except OSError as error:
        raise InputError(
            f"The backup {path} cannot be written: {os.strerror(error.errno or 0)}.",
            fix="Name a file in a folder that is there and has room.",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return counts


def restore(path: Path, target: Database) -> dict[str, int]:
    """Fill the empty database ``target`` from a backup, all of it or nothing; return the rows per table.

    Raises :class:`DamagedError` for a file that is not what was written, and :class:`InputError` for one of a
    newer version and for a database that holds anything.
    """
    header = next(_checked(path))
    if header["format"] != FORMAT or header["schema"] not in _revisions():
        raise InputError(
            f"{path} is of format {header['format']}, schema {header['schema']!r}; this version reads format "
            f"{FORMAT} up to schema {_revisions()[0]!r}.",
            fix="Restore it with the version that wrote it, or a newer one.",
        )
    with target.writing() as connection:
        for name, table in _TABLES.items():
            if connection.execute(sa.select(table).limit(1)).first() is not None:
                raise InputError(
                    f"The database of rules and judgements is not empty: it has {name}.",
                    fix="Move search.db and its -wal and -shm away, or name an empty search.database.",
                )
        lines = _checked(path)
        next(lines)
        for row in lines:
            table = _TABLES[row.pop("table")]
            connection.execute(sa.insert(table), {name: _read(table.c[name], row[name]) for name in row})
        moved_on = header["revision"] + 1  # a reader that saw the number before reads anew
        connection.execute(sa.update(database.revision).values(number=moved_on))
        for name in _TABLES if connection.dialect.name == "postgresql" else ():
            top = f"(SELECT max(id) FROM {name})"
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {top})")
    counts: dict[str, int] = header["rows"]
    return counts


def _rows(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    for name, table in _TABLES.items():
        for row in connection.execution_options(yield_per=1000).execute(
            sa.select(table).order_by(table.c.id)
        ):
            yield {"table": name} | {column: _written(value) for column, value in row._mapping.items()}


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _read(column: sa.Column[Any], value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(column.type, Utc) and value is not None else value


def _checked(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the header and every row of a backup whose checksum is right; raises :class:`DamagedError`."""
    try:
        digest, last = hashlib.sha256(), b""
        with gzip.open(path, "rb") as file:
            for line in file:
                digest.update(last)
                last = line
        if json.loads(last) != {"sha256": digest.hexdigest()}:
            raise ValueError("has another SHA-256 than it says")
    except FileNotFoundError:
        raise InputError(f"There is no backup at {path}.", fix="Name the file that was written.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DamagedError(
            f"The backup {path} is damaged or none: {error}.", fix="Take an earlier one."
        ) from None
    with gzip.open(path, "rb") as file:
        for line in file:
            value = json.loads(line)
            if "sha256" not in value:
                yield value


def _revisions() -> list[str]:
    """Return the revisions of the schema, the newest first."""
    return [s.revision for s in ScriptDirectory.from_config(database.settings()).walk_revisions()]
