"""Serve: the search service in this process, until it is told to stop."""

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread
import uvicorn
from fastapi import FastAPI

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.feedback.store import FeedbackStore
from recsys.search.live_index import LiveIndex
from recsys.serving.app import create_app
from recsys.serving.middleware import ANY_ADDRESS, is_loopback
from recsys.serving.protocol import BoundedProtocol
from recsys.workspace import Workspace

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_GRACE_S = 30
"""How long requests that were begun may take once the service is told to stop."""
_IDLE_S = 65
"""How long an idle connection is kept: longer than the usual minute of proxies, who should close first."""


def open_app(config: Config, workspace: Workspace) -> FastAPI:
    """Return the service as an ASGI application that opens its parts when it starts and closes them.

    Raises :class:`ConfigError` where the feedback store has nowhere to be.
    """
    store = FeedbackStore.open(config, workspace, must_answer=False)
    live = LiveIndex(config, workspace)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = config.search.threads
        await anyio.to_thread.run_sync(live.start)
        if not live.ready():
            logger.warning("nothing is published yet: run the nightly DAG (make demo) and reload the page")
        freezing = asyncio.create_task(_freeze_when_loaded(live))
        try:
            yield
        finally:
            freezing.cancel()
            gc.unfreeze()
            await anyio.to_thread.run_sync(live.close)
            store.close()

    return create_app(config, workspace, live=live, store=store, lifespan=lifespan)


def serve(
    config: Config,
    workspace: Workspace,
    host: str | None = None,
    port: int | None = None,
    *,
    say: Callable[[str], None] = print,
) -> None:
    """Listen on ``host`` and ``port``, by default those of the configuration, until SIGINT or SIGTERM.

    ``say`` is told in one line where the page is. Requests that were begun are answered before this returns.
    Raises :class:`ConfigError` for an address that cannot be used, or needs keys that are not there.
    """
    changes = {k: v for k, v in (("host", host), ("port", port)) if v is not None}
    config = config.model_copy(update={"search": config.search.model_copy(update=changes)})
    require_keys(config)
    with listen(config.search.host, config.search.port) as listener:
        app = open_app(config, workspace)
        server = uvicorn.Server(settings(app))
        shown = "127.0.0.1" if config.search.host in ANY_ADDRESS else config.search.host
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{listener.getsockname()[1]}"
        say(f"The page is at {url}/ and the API at {url}/docs. Stop with Ctrl-C.")
        server.run(sockets=[listener])


def settings(app: FastAPI) -> uvicorn.Config:
    """Return how the application is served: one process, our own log lines, no banner."""
    search = app.state.services.config.search
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        http=BoundedProtocol,
        limit_concurrency=search.max_connections,
        forwarded_allow_ips=[str(network) for network in search.trusted_proxies],
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )


async def _freeze_when_loaded(live: LiveIndex) -> None:
    """Once everything is loaded, take it out of the garbage collector's sight.

    A full collection over all that torch brings along would stop every request for a quarter of a second.
    """
    while not (live.ready() and live.view().encoder_loaded):
        await asyncio.sleep(1)
    gc.collect()
    gc.freeze()


def require_keys(config: Config) -> None:
    """Raise :class:`ConfigError` where the whole network could do everything without a key."""
    host = config.search.host
    if not config.search.keys and not is_loopback(host):
        raise ConfigError(
            f"The service would listen on {host or 'every address'} and need no key.",
            fix="Make a key with `recsys key --name shop --role read` and put what it prints into the "
            "configuration, or listen on 127.0.0.1.",
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; raises :class:`ConfigError` where that fails."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server((host, port), family=found[0][0], backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"Nothing can listen on {host}:{port}: {error.strerror or error}.",
            fix="Choose another port with --port (0 takes a free one), or stop what listens there.",
        ) from None
