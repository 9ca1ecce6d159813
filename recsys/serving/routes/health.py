"""What those who run the service ask: is it there, is it ready, what is live, how is it doing."""

from importlib.metadata import version
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from prometheus_client import generate_latest
from starlette.responses import PlainTextResponse, Response

from recsys import index
from recsys.errors import ArtifactError
from recsys.index.base import CollectionInfo
from recsys.serving.dependencies import IN_THREAD, ServicesDep
from recsys.serving.problems import UNAVAILABLE, Problem
from recsys.serving.responses import StatusResponse
from recsys.serving.routes import make_router, problems

VERSION = version("recsys")

router = make_router("health", "read")
probes = APIRouter(tags=["health"])


@router.get(
    "/v1/status",
    response_model=StatusResponse,
    dependencies=[IN_THREAD],
    summary="What is live, and how fresh",
)
def status(services: ServicesDep) -> dict[str, Any]:
    """Say what is live, how old it is, and which collections can be searched."""
    live = services.live
    services.active_rules()  # reads them, or notes why it cannot
    found = index.status(services.config, services.workspace)
    found.pop("previous", None)
    found |= {"ready": live.ready(), "version": VERSION, "collections": [_collection(c) for c in live.kept()]}
    found["notes"] = services.notes()
    try:
        view = live.view()
    except ArtifactError:
        return {**found, "encoder_loaded": False, "indexed": []}
    return {
        **found,
        "encoder_loaded": view.encoder_loaded,
        "indexed": view.collection.metadata.indexed,
    }


def _collection(info: CollectionInfo) -> dict[str, Any]:
    return {
        "collection": info.name,
        "encoder": info.metadata.encoder,
        "snapshot": info.metadata.snapshot,
        "num_products": info.num_points,
        "live": info.live,
        "published_at": info.metadata.published_at or None,
        "updated_at": info.metadata.updated_at or None,
    }


@router.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus")
async def metrics(services: ServicesDep) -> Response:
    """Return requests, times, what is live and how fresh it is, in Prometheus' text format."""
    threads = to_thread.current_default_thread_limiter().statistics()
    services.metrics.in_threads.set(threads.borrowed_tokens + threads.tasks_waiting)
    # in a thread, for it reads the workspace, and in one of its own: it is answered when all others are busy
    text = await to_thread.run_sync(generate_latest, services.metrics.registry, limiter=CapacityLimiter(1))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@probes.get("/healthz", response_class=PlainTextResponse, summary="The process is there")
async def healthz() -> PlainTextResponse:
    """Answer ``ok`` as long as the process runs."""
    return PlainTextResponse("ok\n")


@probes.get("/readyz", response_class=PlainTextResponse, responses=problems(503), summary="Ready for queries")
async def readyz(services: ServicesDep) -> PlainTextResponse:
    """Answer ``ready`` once queries by product id are answered."""
    if not services.live.ready():
        raise Problem(
            UNAVAILABLE,
            "Nothing is published yet.",
            fix="Run the nightly DAG, or the verbs up to `recsys publish`.",
            headers={"Retry-After": "10"},
        )
    return PlainTextResponse("ready\n")
