"""Targets of which each has a fault, for a test of the fuzzer."""

import os
from collections.abc import Callable


def targets() -> dict[str, tuple[bytes, Callable[[bytes], None]]]:
    """Return one that raises and one that ends its process, at anything but what is good."""
    return {"raises": (b"good", _raise), "ends": (b"good", _end)}


def _raise(data: bytes) -> None:
    if data != b"good":
        raise KeyError("planted")


def _end(data: bytes) -> None:
    if data not in (b"good", b""):
        os.abort()
