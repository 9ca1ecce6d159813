"""What those who run the service ask: is it there, is it ready, what is live, how is it doing.

Does not know: searches.
"""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from recsys import index
from recsys.errors import ArtifactError
from recsys.index.base import CollectionInfo
from recsys.serving import serialization
from recsys.serving.dependencies import Service, service
from recsys.serving.problems import UNAVAILABLE, Problem
from recsys.serving.responses import StatusAnswer
from recsys.serving.routes import problems, router

VERSION = version("recsys")

routes = router("operation", "read")
probes = APIRouter(tags=["operation"])


@routes.get("/v1/status", response_model=StatusAnswer, summary="What is live, and how fresh")
async def status(request: Request) -> Response:
    """Say what is live, how old it is, and which collections can be asked."""
    parts = service(request)
    return serialization.reply(await parts.threads.run(lambda: _status(parts)))


@probes.get("/healthz", response_class=PlainTextResponse, summary="The process is there")
async def healthz() -> PlainTextResponse:
    """Answer ``ok`` as long as the process runs."""
    return PlainTextResponse("ok\n")


@probes.get(
    "/readyz", response_class=PlainTextResponse, responses=problems(503), summary="Questions can be answered"
)
async def readyz(request: Request) -> PlainTextResponse:
    """Answer ``ready`` once questions by product id are answered."""
    if not service(request).live.ready():
        raise Problem(
            UNAVAILABLE,
            "Nothing is published yet.",
            fix="Run the nightly DAG, or the verbs up to `recsys publish`.",
            headers={"Retry-After": "10"},
        )
    return PlainTextResponse("ready\n")


@routes.get("/metrics", response_class=PlainTextResponse, summary="Figures for Prometheus")
async def metrics(request: Request) -> Response:
    """Return requests, times, what is live and how fresh it is, in Prometheus' text format."""
    text = service(request).metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _status(parts: Service) -> dict[str, Any]:
    found = index.status(parts.config, parts.workspace)
    found.pop("previous", None)
    answer = {
        "ready": parts.live.ready(),
        "encoder_loaded": False,
        "version": VERSION,
        **found,
        "collections": [_collection(c) for c in parts.live.kept()],
        "indexed": [],
    }
    try:
        view = parts.live.view()
    except ArtifactError:
        return answer
    return answer | {
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
