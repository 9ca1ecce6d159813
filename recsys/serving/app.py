"""The whole service as one ASGI application.

Does not know: sockets, processes.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from recsys.config import Config
from recsys.feedback.store import FeedbackStore
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.serving import openapi, problems
from recsys.serving.auth import Keys, session_secret
from recsys.serving.dependencies import Service, Threads
from recsys.serving.images import LiveImages
from recsys.serving.middleware import Gate
from recsys.serving.page import shell
from recsys.serving.prometheus import Metrics
from recsys.serving.routes import health, judgements, products, rules, search, session
from recsys.workspace import Workspace

_WORTH_PACKING = 2000
"""Bytes: below that, a client gains nothing by gzip."""
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ROUTERS = (
    search.routes, products.routes, rules.routes, rules.trail, judgements.routes,
    session.routes, session.pages, health.routes, health.probes,
)  # fmt: skip


def create_app(
    config: Config,
    workspace: Workspace,
    *,
    live: LiveIndex,
    store: FeedbackStore,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Return the application over parts that are started and closed by whoever made them.

    ``lifespan`` may do both; :func:`recsys.serving.run.open_app` makes one.
    """
    settings = config.search
    metrics = Metrics(live)
    keys = Keys(settings, session_secret(workspace))
    app = FastAPI(
        title="Similar products",
        version=health.VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(Gate, config=settings, keys=keys, metrics=metrics),
            Middleware(GZipMiddleware, minimum_size=_WORTH_PACKING, compresslevel=4),
        ],
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = Service(
        config=config,
        workspace=workspace,
        live=live,
        finder=Finder(config, live),
        store=store,
        images=LiveImages(workspace, live, cache_bytes=settings.thumbnail_cache_mb * 1_000_000),
        keys=keys,
        metrics=metrics,
        threads=Threads(settings.threads, metrics),
        quick=config.index.url is None and _is_here(settings.database),
    )
    problems.install(app)
    openapi.install(app)
    for router in _ROUTERS:
        app.include_router(router)
    shell.add_page(app)
    return app


def _is_here(database: str | None) -> bool:
    """Tell whether rules are read from this machine's disk: then looking at them takes no network."""
    return database is None or database.startswith("sqlite")
