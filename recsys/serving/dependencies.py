"""What every route works with, and where it works: in the event loop, or in threads.

Does not know: routes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from starlette.requests import Request

from recsys.config import Config
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.serving.auth import Identity, Keys
from recsys.serving.images import LiveImages
from recsys.serving.problems import UNAVAILABLE, Problem
from recsys.serving.prometheus import Metrics
from recsys.workspace import Workspace

T = TypeVar("T")

_WAITING_PER_THREAD = 64
"""Pieces of work that may wait for each thread; more are refused, since they would be answered too late."""


class Threads:
    """Where work goes that would keep the event loop from other requests."""

    def __init__(self, count: int, metrics: Metrics) -> None:
        self._pool = ThreadPoolExecutor(count, "request")
        self._most = count * _WAITING_PER_THREAD
        self._given = 0
        self._metrics = metrics

    async def run(self, work: Callable[[], T]) -> T:
        """Do ``work`` in a thread; raises :class:`Problem` (503) where too much waits already."""
        if self._given >= self._most:
            raise Problem(
                UNAVAILABLE,
                f"{self._given} requests are waiting.",
                fix="Ask again in a second; raise search.threads, or run more copies of the service.",
                headers={"Retry-After": "1"},
            )
        self._given += 1
        self._metrics.waiting.set(self._given)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._given -= 1
            self._metrics.waiting.set(self._given)

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Service:
    """The parts of one service."""

    config: Config
    workspace: Workspace
    live: LiveIndex
    finder: Finder
    store: FeedbackStore
    images: LiveImages
    keys: Keys
    metrics: Metrics
    threads: Threads
    quick: bool
    """Questions by id are answered in the event loop: the engine is in this process and needs a
    millisecond, which is less than a thread's turn costs under load (measured: benchmarks/search_http.py).
    """

    def rules(self) -> tuple[Rule, ...]:
        """Return the rules in force now."""
        return self.store.active_rules(datetime.now(UTC))


def service(request: Request) -> Service:
    """Return the service that a request is for."""
    parts: Service = request.app.state.service
    return parts


def identity(request: Request) -> Identity:
    """Return who asks; the gate saw to it that somebody does."""
    who: Identity = request.scope["identity"]
    return who
