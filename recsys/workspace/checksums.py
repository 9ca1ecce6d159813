"""SHA-256 of files and of records: how damage on a disk, in a store or on the way is seen.

A *sealed* record is a JSON object that holds the SHA-256 of the rest of itself under :data:`SEAL`.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

SEAL = "sha256"
_BLOCK = 1 << 20


class RecordError(ValueError):
    """A record's text is not what was written; the message completes "its manifest ..."."""


def seal(record: Mapping[str, Any]) -> str:
    """Return ``record``, JSON values under string keys, as sealed JSON text."""
    plain = json.loads(json.dumps(dict(record)))  # keys as a reader finds them: they decide the order
    return json.dumps({**plain, SEAL: _digest(plain)}, indent=1, ensure_ascii=False, sort_keys=True)


def unseal(data: bytes) -> dict[str, Any]:
    """Return the record of :func:`seal`'s text.

    Raises :class:`RecordError` for what is no JSON object, has no seal, and was changed since.
    """
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise RecordError("is no JSON object")
    if SEAL not in record:
        raise RecordError(f"has no {SEAL} of itself")
    if record.pop(SEAL) != _digest(record):
        raise RecordError("was changed after it was written")
    return record


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex characters."""
    with path.open("rb") as file:
        return sha256_of(file)


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 of what is left to read of ``file``; memory is one block."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def damage_in(folder: Path, sizes: Mapping[str, int], sha256s: Mapping[str, str]) -> str | None:
    """Return what is wrong with the files under ``folder``, or ``None``.

    ``sizes`` are in bytes; ``sha256s`` has every one of them.
    """
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if found := mismatch(name, path.stat().st_size, sha256(path), size, sha256s[name]):
            return found
    return None


def mismatch(name: str, num_bytes: int, digest: str, size: int, expected: str) -> str | None:
    """Return how a file differs from the ``size`` and ``expected`` SHA-256 of its manifest, or ``None``."""
    if num_bytes != size:
        return f"{name} has {num_bytes} bytes, its manifest says {size}"
    if digest != expected:
        return f"{name} has another SHA-256 than its manifest says"
    return None


def state_of(folder: Path, sha256s: Mapping[str, str]) -> str:
    """Return text that differs once a file under ``folder`` was written to, or should be another one.

    Raises :class:`OSError` for a file that is not there.
    """
    states = ((folder / name).stat() for name in sha256s)
    lines = (
        f"{digest} {state.st_size} {state.st_mtime_ns} {name}"
        for (name, digest), state in zip(sha256s.items(), states, strict=True)
    )
    return "\n".join(["checked", *lines])


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
