"""File operations of a process, seen by the kernel, and a fault at the n-th of them.

    ending = run(work, root)                            # every operation under root, in order
    ending = run(work, root, Fault(at=17, kind=KILL))   # the same, ended by a fault

``work`` runs in a fork of this process. Its system calls that change files stop in the kernel until this
process has seen them (seccomp's user notification), so that what SQLite, Arrow and the engine write by calls
of their own is counted like what Python writes, and what threads and subprocesses do like the rest. A store
to mapped memory is no call and not seen; its ``msync`` is. This process must not have used an engine or
BLAS: their threads do not survive a fork.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import select
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KILL, ENOSPC, EIO, SHORT_WRITE, LOST_RENAME = KINDS = (
    "kill", "ENOSPC", "EIO", "short write", "lost rename"
)  # fmt: skip
"""``kill`` tears a write in half. A short write says so and writes half. A lost rename is done and reported,
and undone when the process is killed: at the sync of its folder, or some operations later."""

_LOST_AFTER = 20
"""Operations after a lost rename until the kill, where its folder is not synced before."""

_DESCRIPTOR, _PATH, _AT, _ADDRESS = range(4)  # how an argument names a file
_CALLS: dict[int, tuple[str, int, int]] = {  # x86-64: number → name, what it names, from which argument
    1: ("write", _DESCRIPTOR, 0), 18: ("pwrite64", _DESCRIPTOR, 0), 20: ("writev", _DESCRIPTOR, 0),
    296: ("pwritev", _DESCRIPTOR, 0), 40: ("sendfile", _DESCRIPTOR, 0),
    326: ("copy_file_range", _DESCRIPTOR, 2), 74: ("fsync", _DESCRIPTOR, 0),
    75: ("fdatasync", _DESCRIPTOR, 0), 77: ("ftruncate", _DESCRIPTOR, 0),
    285: ("fallocate", _DESCRIPTOR, 0), 26: ("msync", _ADDRESS, 0), 76: ("truncate", _PATH, 0),
    2: ("open", _PATH, 0), 257: ("open", _AT, 0), 82: ("rename", _PATH, 0), 264: ("rename", _AT, 0),
    316: ("rename", _AT, 0), 83: ("mkdir", _PATH, 0), 258: ("mkdir", _AT, 0), 84: ("rmdir", _PATH, 0),
    86: ("link", _PATH, 1), 265: ("link", _AT, 2), 87: ("unlink", _PATH, 0), 263: ("unlink", _AT, 0),
}  # fmt: skip
_OPEN_FLAGS = {2: 1, 257: 2}
"""Number of an ``open`` → its argument that holds the flags."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_HALVED = {"write", "pwrite64", "writev", "pwritev"}
_TAKES_SPACE = _HALVED | {
    "open", "sendfile", "copy_file_range", "ftruncate", "fallocate", "fsync", "fdatasync", "msync", "rename",
    "mkdir", "link",
}  # fmt: skip
_AT_FDCWD = -100 & 0xFFFFFFFF
_SECCOMP, _PIDFD_GETFD, _PR_SET_NO_NEW_PRIVS = 317, 438, 38
_NEW_LISTENER, _CONTINUE = 8, 1
_RECEIVE, _SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104
_WAKE_AT_ONCE = 1
"""Caller and watcher take turns on one core: five times as fast."""
_NOTICE, _ANSWER = struct.Struct("QII iIQ6Q"), struct.Struct("QqiI")
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Fault:
    """A fault of a ``kind`` at the first operation from the ``at``-th on (from 0) that it can befall."""

    at: int
    kind: str


@dataclass(frozen=True)
class Operation:
    """One operation on a file or folder under the root."""

    name: str
    path: str
    """Relative to the root; of an ``msync`` it is not looked up."""
    size: int = 0
    """Bytes of a write."""

    def can(self, kind: str) -> bool:
        """Tell whether a fault of this kind can befall it."""
        if kind == ENOSPC:
            return self.name in _TAKES_SPACE
        if kind == SHORT_WRITE:
            return self.name in _HALVED and self.size > 1
        return kind != LOST_RENAME or self.name == "rename"

    def __str__(self) -> str:
        return f"{self.name} {self.path}"


@dataclass
class Ending:
    """How ``work`` ended: ``returned`` a JSON value, ``raised``, ``killed`` by the fault or ``died``."""

    operations: list[Operation] = field(default_factory=list)
    fault: Operation | None = None
    """What the fault befell; ``None`` if it befell nothing."""
    how: str = "died"
    value: Any = None
    """What was returned, or the text of what was raised."""


def is_supported() -> bool:
    """Tell whether this system has what the injector needs: Linux 5.6 on x86-64 that allows seccomp."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    sizes = ctypes.create_string_buffer(6)
    return bool(_libc.syscall(_SECCOMP, 3, 0, sizes) == 0) and hasattr(os, "pidfd_open")


def run(
    work: Callable[[], Any],
    root: Path,
    fault: Fault | None = None,
    *,
    watched: bool = True,
    timeout_s: float = 120,
) -> Ending:
    """Run ``work`` in a fork; see the module. Raises ``TimeoutError``, with the fork killed, if it hangs.

    What is not ``watched`` has no operations and no fault, and takes less time.
    """
    result = root.with_name(f"{root.name}.result")
    result.unlink(missing_ok=True)
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _work(work, theirs, result, watched)
    theirs.close()
    with ours:
        _, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    watch = _Watch(pid, listeners, root, fault)
    try:
        ending = watch.until_the_end(time.monotonic() + timeout_s)
    finally:
        watch.close()
    if ending.how != "killed" and result.exists():
        ending.how, ending.value = json.loads(result.read_text(encoding="utf-8"))
    return ending


def _work(work: Callable[[], Any], line: socket.socket, result: Path, watched: bool) -> None:
    try:
        os.setsid()
        listeners = [_install_filter()] if watched else []
        socket.send_fds(line, [b"l"], listeners)
        for handle in listeners:
            os.close(handle)
        line.close()
        try:
            said = ("returned", work())
        except BaseException:  # noqa: BLE001 (the parent says what became of it)
            said = ("raised", traceback.format_exc())
        result.write_text(json.dumps(said, default=repr), encoding="utf-8")
    finally:
        os._exit(0)


def _install_filter() -> int:
    """Let the calls of :data:`_CALLS` wait for the listener that is returned, of this process and its own."""
    load, equals, masked, answer = 0x20, 0x15, 0x45, 0x06
    plain = [number for number in _CALLS if number not in _OPEN_FLAGS]
    length = 1 + 3 * len(_OPEN_FLAGS) + len(plain) + 2
    allow, notify = length - 2, length - 1
    code: list[tuple[int, int, int, int]] = [(load, 0, 0, 0)]
    for number, flags in _OPEN_FLAGS.items():
        code.append((equals, 0, 2, number))
        code.append((load, 0, 0, 16 + 8 * flags))
        code.append((masked, notify - len(code) - 1, allow - len(code) - 1, _WRITES))
    for number in plain:
        code.append((equals, notify - len(code) - 1, 0, number))
    code += [(answer, 0, 0, _ALLOW), (answer, 0, 0, _NOTIFY)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(program)))
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = int(_libc.syscall(_SECCOMP, 1, _NEW_LISTENER, header))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    with suppress(OSError):  # before Linux 6.6
        fcntl.ioctl(listener, _SET_FLAGS, _WAKE_AT_ONCE)
    return listener


@dataclass
class _Rename:
    """A rename that will be lost."""

    source: Path
    target: Path
    stash: Path
    """What the target was before, if it was."""
    left: int = _LOST_AFTER

    def undo(self) -> None:
        """Make it as if it had not been done, as far as later operations left that."""
        with suppress(OSError):
            if self.source.parent.is_dir() and not self.source.exists():
                self.target.rename(self.source)
            else:
                shutil.rmtree(self.target) if self.target.is_dir() else self.target.unlink()
        if self.stash.exists():
            self.stash.rename(self.target)

    def is_touched_by(self, operation: Operation, paths: list[Path]) -> bool:
        self.left -= 1
        synced = operation.name == "fsync" and paths[0] == self.target.parent
        return synced or self.left < 0 or (operation.name in ("rename", "unlink") and self.target in paths)


class _Watch:
    """Sees the calls of one process and those it starts."""

    def __init__(self, pid: int, listeners: list[int], root: Path, fault: Fault | None) -> None:
        self._pid, self._listeners, self._root, self._fault = pid, listeners, root.resolve(), fault
        self._renamed: _Rename | None = None
        self._ending = Ending()

    def until_the_end(self, deadline: float) -> Ending:
        end = os.pidfd_open(self._pid)
        poll = select.poll()
        for listener in self._listeners:
            poll.register(listener, select.POLLIN)
        poll.register(end, select.POLLIN)
        try:
            while True:
                if time.monotonic() > deadline:
                    last = [str(o) for o in self._ending.operations[-3:]]
                    raise TimeoutError(f"it hangs after {self._ending.fault}; its last operations: {last}")
                ready = dict(poll.poll(1000))
                if any(ready.get(listener, 0) & select.POLLIN for listener in self._listeners):
                    if not self._see(*self._listeners):
                        self._kill()
                        break
                elif end in ready:
                    break
        finally:
            os.close(end)
        if self._renamed is not None:
            self._kill()
        return self._ending

    def close(self) -> None:
        """Kill what is left."""
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for listener in self._listeners:
            os.close(listener)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        self._ending.how = "killed"
        if self._renamed is not None:
            self._renamed.undo()
            self._renamed = None

    def _see(self, listener: int) -> bool:
        """Answer one call; ``False`` where the process is to be killed instead."""
        buffer = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, buffer)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # the caller is gone
                return True
            raise
        id, thread, _, number, _, _, *arguments = _NOTICE.unpack(buffer)
        value, failure, flags = 0, 0, _CONTINUE
        found = self._operation(thread, number, arguments)
        if found is not None:
            operation, paths = found
            self._ending.operations.append(operation)
            if self._renamed is not None:
                if self._renamed.is_touched_by(operation, paths):
                    return False
            elif self._is_due(operation):
                self._ending.fault = operation
                kind = self._fault.kind if self._fault else ""
                if kind in (KILL, SHORT_WRITE):
                    if operation.can(SHORT_WRITE):
                        value, flags = self._write_half(thread, operation.name, arguments), 0
                    if kind == KILL:
                        return False
                elif kind == LOST_RENAME:
                    self._renamed = self._lose(*paths)
                else:
                    failure, flags = -getattr(errno, kind), 0
        with suppress(OSError):  # the caller was killed
            fcntl.ioctl(listener, _SEND, _ANSWER.pack(id, value, failure, flags))
        return True

    def _is_due(self, operation: Operation) -> bool:
        fault, number = self._fault, len(self._ending.operations) - 1
        if fault is None or self._ending.fault is not None or number < fault.at:
            return False
        return operation.can(fault.kind)

    def _operation(
        self, thread: int, number: int, arguments: list[int]
    ) -> tuple[Operation, list[Path]] | None:
        """Return a call as an operation, with the paths that it names; ``None`` outside the root."""
        name, names, at = _CALLS[number]
        if names == _DESCRIPTOR:
            paths = [self._link(thread, f"fd/{arguments[at]}")]
        elif names == _ADDRESS:
            paths = [self._root / "mapped memory"]
        else:
            step = 2 if names == _AT else 1
            count = 2 if name == "rename" else 1
            paths = [
                self._named(thread, arguments[i] if names == _AT else _AT_FDCWD, arguments[i + step - 1])
                for i in range(at, at + step * count, step)
            ]
        if not paths[-1].is_relative_to(self._root):
            return None
        size = 0
        if name in _HALVED:
            size = arguments[2] if "v" not in name else self._vector(thread, arguments)[1]
        if name == "unlink" and names == _AT and arguments[2]:
            name = "rmdir"
        return Operation(name, str(paths[-1].relative_to(self._root)), size), paths

    def _link(self, thread: int, name: str) -> Path:
        with suppress(OSError):
            return Path(os.readlink(f"/proc/{thread}/{name}"))  # noqa: PTH115 (a pipe's is no path)
        return Path()

    def _named(self, thread: int, folder: int, address: int) -> Path:
        text = self._read(thread, address, 4096).partition(b"\0")[0].decode()
        at = "cwd" if folder & 0xFFFFFFFF == _AT_FDCWD else f"fd/{folder}"
        return Path(os.path.normpath(text if text.startswith("/") else self._link(thread, at) / text))

    def _read(self, thread: int, address: int, size: int) -> bytes:
        memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, size, address)
        finally:
            os.close(memory)

    def _vector(self, thread: int, arguments: list[int]) -> tuple[int, int]:
        """Return address and length of the first buffer of a ``writev``."""
        address, size = struct.unpack("QQ", self._read(thread, arguments[1], 16))
        return address, size

    def _write_half(self, thread: int, name: str, arguments: list[int]) -> int:
        """Write half of what the caller wants written, where it would; return how many bytes."""
        vector = "v" in name
        address, size = self._vector(thread, arguments) if vector else (arguments[1], arguments[2])
        data = self._read(thread, address, size // 2)
        status = Path(f"/proc/{thread}/status").read_text()
        process = os.pidfd_open(int(status.partition("Tgid:")[2].split()[0]))
        handle = int(_libc.syscall(_PIDFD_GETFD, process, arguments[0], 0))
        try:
            return os.pwrite(handle, data, arguments[3]) if name[0] == "p" else os.write(handle, data)
        finally:
            os.close(handle)
            os.close(process)

    def _lose(self, source: Path, target: Path) -> _Rename:
        stash = self._root.with_name(f"{self._root.name}.stash")
        stash.unlink(missing_ok=True)
        if target.is_file():
            os.link(target, stash)
        return _Rename(source, target, stash)
