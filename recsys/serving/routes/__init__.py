"""The routes, one file per group, and what they share: roles and the problems they may answer with."""

from typing import Any

from fastapi import APIRouter, Security

from recsys.serving.auth import Role, authorize
from recsys.serving.problems import MEDIA_TYPE

_DESCRIPTIONS = {
    400: "A wrong value: each is named, with what was expected.",
    401: "No key, or an unknown one.",
    403: "The key's role does not allow this, or the request may come from another site.",
    404: "There is no such thing.",
    409: "It is in a state that does not allow this.",
    413: "The request is larger than it may be.",
    415: "The content is of a kind that is not understood.",
    429: "The key asks more often than it may; try again after Retry-After.",
    503: "Nothing is published yet, or the encoder is still being loaded; try again after Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented problems of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": _DESCRIPTIONS[status], "content": content} for status in statuses}


def make_router(tag: str, role: Role) -> APIRouter:
    """Return a router whose routes need ``role``."""
    return APIRouter(
        tags=[tag],
        dependencies=[Security(authorize, scopes=[role])],
        responses=problems(400, 401, 403, 429, 503),
    )
