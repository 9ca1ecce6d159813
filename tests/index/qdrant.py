"""Real Qdrant servers for the tests.

``RECSYS_TEST_QDRANT_URL`` names one that runs; ``RECSYS_TEST_QDRANT_BINARY`` names the program, and the tests
start what they need: one node, a cluster of three, or one that is killed and restarted.
"""

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx

BINARY = os.environ.get("RECSYS_TEST_QDRANT_BINARY")
_READY_S = 60.0


class Node:
    """One node on ports of this machine that are free, which keeps its data in a folder."""

    def __init__(self, folder: Path, *, clustered: bool = False, first: "Node | None" = None) -> None:
        """Start it, as one of a cluster that begins with ``first``."""
        http, grpc, peer = _free_ports(3)
        self.url, self.grpc_port, self._folder = f"http://127.0.0.1:{http}", grpc, folder
        self._peer = f"http://127.0.0.1:{peer}"
        settings = {
            "SERVICE__HOST": "127.0.0.1", "SERVICE__HTTP_PORT": http, "SERVICE__GRPC_PORT": grpc,
            "STORAGE__STORAGE_PATH": folder / "storage", "STORAGE__SNAPSHOTS_PATH": folder / "snapshots",
            "CLUSTER__ENABLED": str(clustered).lower(), "CLUSTER__P2P__PORT": peer, "LOG_LEVEL": "WARN",
        }  # fmt: skip
        self._environment = {f"QDRANT__{name}": str(value) for name, value in settings.items()}
        self._command = [str(BINARY), "--disable-telemetry"]
        if clustered:
            self._command += ["--uri", self._peer] + (["--bootstrap", first._peer] if first else [])
        folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Start it, or start it again after it was killed, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").is_success:
                    return
            time.sleep(0.05)
        raise AssertionError((self._folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill it, as a machine that fails does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@functools.cache
def server() -> tuple[str, int] | None:
    """Return address and gRPC port of the server for this run of the tests, ``None`` if there is none."""
    if url := os.environ.get("RECSYS_TEST_QDRANT_URL"):
        return url, (httpx.URL(url).port or 6333) + 1
    if not BINARY:
        return None
    folder = Path(tempfile.mkdtemp())
    node = Node(folder / "node")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(node.kill)  # before that
    return node.url, node.grpc_port


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
