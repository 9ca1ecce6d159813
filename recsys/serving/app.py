"""The whole service as one ASGI application."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from recsys.config import Config
from recsys.feedback.store import FeedbackStore
from recsys.search.finder import Finder
from recsys.search.live_index import LiveIndex
from recsys.serving import openapi
from recsys.serving.auth import Authenticator
from recsys.serving.dependencies import Services
from recsys.serving.middleware import RequestMiddleware
from recsys.serving.page import shell
from recsys.serving.problems import HANDLERS
from recsys.serving.prometheus import Metrics
from recsys.serving.routes import feedback, health, products, search, session
from recsys.serving.sessions import Sessions
from recsys.serving.thumbnails import Thumbnails
from recsys.workspace import Workspace

_MIN_GZIP_BYTES = 2000
"""Below that, a client gains nothing."""

_ROUTERS = (
    search.router, products.router, feedback.rules, feedback.judgements, feedback.audit_trail, session.router,
    session.pages, health.router, health.probes, openapi.pages, shell.pages,
)  # fmt: skip


def create_app(
    config: Config,
    workspace: Workspace,
    *,
    live: LiveIndex,
    store: FeedbackStore,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """Return the application over parts that are started and closed by whoever made them.

    ``lifespan`` may do both; :func:`recsys.serving.run.open_app` makes one.
    """
    settings = config.search
    metrics = Metrics(live, workspace)
    sessions = Sessions(workspace.state("sessions"), max_age_s=settings.session_hours * 3600)
    app = FastAPI(
        title="Similar products",
        version=health.VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestMiddleware, config=settings, metrics=metrics),
            Middleware(GZipMiddleware, minimum_size=_MIN_GZIP_BYTES, compresslevel=4),
        ],
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = Services(
        config=config,
        workspace=workspace,
        live=live,
        finder=Finder(config, live),
        store=store,
        thumbnails=Thumbnails(workspace, live, cache_bytes=settings.thumbnail_cache_mb * 1_000_000),
        authenticator=Authenticator(settings, sessions),
        metrics=metrics,
        in_event_loop=config.index.url is None and (settings.database or "sqlite").startswith("sqlite"),
    )
    for router in _ROUTERS:
        app.include_router(router)
    app.openapi = cache(lambda: openapi.openapi_schema(app, config))  # type: ignore[method-assign]
    return app
