"""Every test of the store runs on SQLite and on PostgreSQL, each time in a database of its own."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from recsys.feedback.database import Database
from recsys.feedback.store import FeedbackStore

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), default=None)
"""The newest of Debian's PostgreSQL versions here."""


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    """Run a server on a socket, no port, and return the socket's folder.

    The server refuses to run as root: then it is user postgres's. The folder is not under pytest's, which
    only root may enter, and its path must be short.
    """
    if POSTGRESQL is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    switch = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if switch:
        shutil.chown(folder, "postgres", "postgres")

    def call(program: str, *arguments: str) -> None:
        command = [*switch, str(POSTGRESQL / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=True)

    call("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield folder
    with contextlib.suppress(subprocess.CalledProcessError):
        call("pg_ctl", "-w", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database; on PostgreSQL a schema, ten times as quick to make."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/search.db"
    folder, name = request.getfixturevalue("postgresql"), f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    options = f"-c search_path={name} -c lock_timeout=15000".replace(" ", "%20").replace("=", "%3D")
    return f"postgresql+psycopg://postgres@/postgres?host={folder}&options={options}"


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 1, tzinfo=UTC)

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The store's clock."""
    made = Clock()
    monkeypatch.setattr("recsys.feedback.store.now", lambda: made.now)
    return made


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], FeedbackStore]]:
    """Opens the same database again and again, as several processes would."""
    stores: list[FeedbackStore] = []

    def another() -> FeedbackStore:
        stores.append(FeedbackStore(Database(url)))
        return stores[-1]

    yield another
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], FeedbackStore], clock: Clock) -> FeedbackStore:
    """A store whose clock the test moves."""
    return opened()
