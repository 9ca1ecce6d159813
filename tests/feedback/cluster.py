"""A private PostgreSQL cluster for tests: Debian's binaries, a socket in a folder of its own, no port."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl, or None."""
    return next((p for p in PLACES if (p / "initdb").exists() and (p / "pg_ctl").exists()), None)


class Cluster:
    """A running server; every call of ``database`` makes an empty one in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def database(self) -> str:
        """The SQLAlchemy URL of an empty place: a schema of its own, made in a tenth of a database's time."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(
            f"host={self._folder} user=postgres dbname=postgres", autocommit=True
        ) as connection:
            connection.execute(f'CREATE SCHEMA "{name}"')
        options = f"-c search_path={name} -c lock_timeout=15000".replace(" ", "%20").replace("=", "%3D")
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}&options={options}"


@contextlib.contextmanager
def cluster(programs: Path) -> Iterator[Cluster]:
    """Make a cluster, run it, stop it. The server refuses to be root's: then it is user postgres's.

    Its folder is not under pytest's, which only root may enter, and its socket's path must be short.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    switch = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if switch:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"

    def call(*command: str) -> None:
        done = subprocess.run(
            [*switch, *command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )
        log = folder / "log"
        assert done.returncode == 0, done.stdout + done.stderr + (log.read_text() if log.exists() else "")

    ctl = (str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"))
    try:
        call(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        call(*ctl, "-o", f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off", "start")
        yield Cluster(folder)
    finally:
        with contextlib.suppress(AssertionError):
            call(*ctl, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
