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

    ``total`` is the number of items, when it is known; ``unit`` names them. On a terminal a bar appears
    once the work has taken half a second; elsewhere a line is logged every 15 s.
    """
    if sys.stderr.isatty():
        yield from _bar(items, label, total)
        return
    started = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _LOG_EVERY_S:
            last = now
            of = f" of {total}" if total else ""
            logger.info("%s: %d%s %s, %.1f per second", label, count, of, unit, count / (now - started))


def _bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=label)
