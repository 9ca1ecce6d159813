"""Decoding in processes of their own: an image that crashes a decoder, or keeps it busy, costs that image.

    pool = DecodePool(settings, num_workers=2, timeout_s=30)
    pool.normalise(source)      # as normalise.normalise, from any thread

A worker may take some memory beyond what it has when it starts, enough for every image within ``max_pixels``;
one that ends or misses the deadline is replaced. Workers are forks of a process that has imported the
decoders and does nothing else, one for all pools of this process (:class:`_Forker`): a new one costs
milliseconds, and inherits neither threads nor the caller's ``__main__``.

Over a worker's socket go frames: four bytes of length, then the source bytes, or what became of them.
"""

import json
import logging
import os
import queue
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from recsys.errors import TransientError
from recsys.workspace.normalise import ImageError, Normalisation, NormalisedImage, normalise

logger = logging.getLogger(__name__)

CRASHED, TIMED_OUT = "decode_crashed", "decode_timeout"
"""Reasons beside those of :func:`recsys.workspace.normalise.normalise`; another try may go well."""

_COMMAND = (sys.executable, "-m", "recsys.workspace.decoding")
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
    # Freed memory is kept: giving it back after every image costs 300 page faults, a fifth of the time.
    "MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TOP_PAD_": "67108864",
}  # fmt: skip
_START_S = 120.0
_BASE_BYTES, _BYTES_PER_PIXEL = 1 << 30, 24
"""Memory that decoding may take: stacks and heaps of threads, and copies of an image with four channels."""
_LENGTH, _HEADER = struct.Struct(">I"), struct.Struct(">32sQII")


class DecodePool:
    """Worker processes that normalise images. Thread-safe."""

    def __init__(self, settings: Normalisation, *, num_workers: int, timeout_s: float) -> None:
        self._settings, self._timeout_s = settings, timeout_s
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(num_workers):
            self._idle.put(None)  # started when it is needed
        self._workers: set[_Worker] = set()
        self._lock = threading.Lock()

    def normalise(self, source: bytes, *, wait_s: float | None = None) -> NormalisedImage:
        """Return the normalised image of a file's bytes, as :func:`recsys.workspace.normalise.normalise`.

        Raises :class:`ImageError`, also with the reasons ``decode_crashed`` and ``decode_timeout``, and
        :class:`TransientError` where no worker starts, or all are busy for ``wait_s``.
        """
        try:
            worker = self._idle.get(timeout=wait_s)
        except queue.Empty:
            raise TransientError(
                f"All image decoders are busy for {wait_s:.0f} s.", fix="Try again when less is asked for."
            ) from None
        try:
            if worker is None or worker.ended:
                worker = self._start()
            return worker.normalise(source)
        except OSError as error:
            assert worker is not None, "a worker that does not start is no OSError"
            worker.end()
            logger.warning("an image decoder is replaced: %r", error)
            if isinstance(error, TimeoutError):
                raise ImageError(
                    TIMED_OUT,
                    f"Decoding took longer than {self._timeout_s:g} s.",
                    fix="Export a simpler image, or raise catalog.images.decode_timeout_s.",
                ) from None
            raise ImageError(CRASHED, "The decoder ended while it read the image.") from None
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            for worker in self._workers:
                worker.end()

    def _start(self) -> "_Worker":
        worker = _Worker(self._settings, self._timeout_s)
        with self._lock:
            self._workers = {w for w in self._workers if not w.ended} | {worker}
        return worker


class _Worker:
    """One process, and the socket to it."""

    def __init__(self, settings: Normalisation, timeout_s: float) -> None:
        """Start it; raises :class:`TransientError`."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.pid = _forker(_COMMAND).fork(theirs, settings)
        self._handle = os.pidfd_open(self.pid)
        self._end = select.poll()
        self._end.register(self._handle, select.POLLIN)
        self._socket.settimeout(timeout_s)
        self._killed = False

    @property
    def ended(self) -> bool:
        """Whether it was killed, or has ended by itself."""
        return self._killed or bool(self._end.poll(0))

    def normalise(self, source: bytes) -> NormalisedImage:
        """Have one image normalised; raises :class:`ImageError`, and OSError where the worker has to end."""
        _send(self._socket, source)
        reply = _receive(self._socket)
        if reply[:1] == b"{":
            raise ImageError(**json.loads(reply))
        sha256, phash, width, height = _HEADER.unpack_from(reply, 1)
        jpeg = reply[1 + _HEADER.size :]
        return NormalisedImage(sha256=sha256, phash=phash, width=width, height=height, jpeg=jpeg)

    def end(self) -> None:
        """Kill it; what waits for its answer sees its socket closed."""
        self._killed = True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it never started
            os.close(self._handle)


class _Forker:
    """The process that workers are forks of. Thread-safe."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, connection: socket.socket, settings: Normalisation) -> int:
        """Start a worker that serves ``connection``; return its id. Raises :class:`TransientError`."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                socket.send_fds(self._socket, [json.dumps(asdict(settings)).encode()], [connection.fileno()])
                return int(_receive(self._socket))
            except OSError:
                assert self._process is not None
                self._process.kill()
                raise TransientError(
                    f"Image decoders cannot be started (exit status {self._process.wait()}).",
                    fix="Look at what was written to stderr; they need about 200 MB of memory.",
                ) from None

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(_START_S)
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )


@cache
def _forker(command: tuple[str, ...]) -> _Forker:
    return _Forker(command)


def _send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(frame)))
    connection.sendall(frame)


def _receive(connection: socket.socket) -> bytes:
    """Return the next frame; raises ConnectionError where the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    frame = bytearray(length)
    view = memoryview(frame)
    while view:
        received = connection.recv_into(view, len(view), socket.MSG_WAITALL)
        if not received:
            raise ConnectionError("the other side is gone")
        view = view[received:]
    return bytes(frame)


# -- in the processes ------------------------------------------------------------------------------


def fork_workers(requests: socket.socket) -> None:
    """Fork a worker for each request, until the caller is gone: what the forker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the caller ends these
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        settings, connections, _, _ = socket.recv_fds(requests, 10_000, 1)
        if not settings:
            return
        pid = os.fork()
        if pid == 0:
            requests.close()
            with suppress(ConnectionError):
                work(socket.socket(fileno=connections[0]), Normalisation(**json.loads(settings)))
            return
        os.close(connections[0])
        _send(requests, str(pid).encode())


def work(connection: socket.socket, settings: Normalisation) -> None:
    """Normalise what comes over ``connection`` until it is closed: what a worker does."""
    limit_memory(_BASE_BYTES + _BYTES_PER_PIXEL * settings.max_pixels)
    while True:
        source = _receive(connection)
        try:
            image = normalise(source, settings)
        except ImageError as error:
            problem = {"reason": error.reason, "message": error.message, "fix": error.fix}
            _send(connection, json.dumps(problem).encode())
        else:
            header = _HEADER.pack(image.sha256, image.phash, image.width, image.height)
            _send(connection, b"\0" + header + image.jpeg)


def limit_memory(num_bytes: int) -> None:
    """Let this process have ``num_bytes`` of address space more than it has, where there is /proc."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        limit = int(statm.read_text().split()[0]) * resource.getpagesize() + num_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    fork_workers(socket.socket(fileno=int(sys.argv[1])))
