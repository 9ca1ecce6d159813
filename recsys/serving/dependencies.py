"""What routes depend on: the parts of the service, and threads with room."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Annotated, TypeVar

from anyio.to_thread import current_default_thread_limiter, run_sync
from fastapi import Depends
from starlette.requests import Request

from recsys.config import Config
from recsys.feedback.rules import StoredRule
from recsys.feedback.store import FeedbackStore
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.serving.auth import Authenticator
from recsys.serving.problems import UNAVAILABLE, Problem
from recsys.serving.prometheus import Metrics
from recsys.serving.thumbnails import Thumbnails
from recsys.workspace import Workspace
from recsys.workspace.store import content_id

T = TypeVar("T")

MAX_WAITING_PER_THREAD = 64
"""Requests that may wait for each thread; more are refused, since they would be answered too late."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Services:
    """The parts of one running service."""

    config: Config
    workspace: Workspace
    live: LiveIndex
    finder: Finder
    store: FeedbackStore
    thumbnails: Thumbnails
    authenticator: Authenticator
    metrics: Metrics
    in_event_loop: bool
    """Whether requests by product id are answered in the event loop: engine and rules are on this machine and
    need a millisecond, less than a thread's turn costs under load (measured: benchmarks/search_http.py)."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the version and the configuration, on which answers depend."""
        return content_id({"version": version("recsys"), "config": self.config.model_dump_json()})

    def active_rules(self) -> tuple[StoredRule, ...]:
        """Return the rules that act now."""
        return self.store.active_rules(datetime.now(UTC))

    def notes(self) -> list[str]:
        """Return what answers have to do without at present; those who ask read them with the answer."""
        return [self.store.rules_problem] if self.store.rules_problem else []


async def get_services(request: Request) -> Services:
    """Return the parts of the service that a request is for."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


async def require_free_thread(services: ServicesDep) -> None:
    """Raise :class:`Problem` (503) where too many requests wait for a thread already."""
    waiting = current_default_thread_limiter().statistics().tasks_waiting
    if waiting >= services.config.search.threads * MAX_WAITING_PER_THREAD:
        raise Problem(
            UNAVAILABLE,
            f"{waiting} requests are waiting.",
            fix="Ask again in a second; raise search.threads, or run more copies of the service.",
            headers={"Retry-After": "1"},
        )


IN_THREAD = Depends(require_free_thread)
"""For routes that FastAPI runs in a thread."""


async def run_in_thread(services: Services, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread; raises :class:`Problem` (503) where too much waits already."""
    await require_free_thread(services)
    return await run_sync(work)
