"""Progress of long work: a bar on a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_LOG_EVERY_S = 15.0


def track(items: Iterable[T], *, label: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield ``items`` and show how far along they are.

    ``total`` is the number of items, if it is known; ``unit`` names them. Without a terminal a line is
    logged every 15 s.
    """
    if sys.stderr.isatty():
        import rich.console
        import rich.progress

        console = rich.console.Console(stderr=True)
        yield from rich.progress.track(items, label, total=total, console=console, transient=True)
        return
    started = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _LOG_EVERY_S:
            last = now
            of = f" of {total}" if total else ""
            logger.info("%s: %d%s %s, %.1f per second", label, count, of, unit, count / (now - started))
