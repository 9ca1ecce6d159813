"""Errors as RFC 9457 problem details: what was found, and what to do.

{"type": "/docs#not-found", "title": "There is no such thing", "status": 404,
 "detail": "There is no product 'x' in what is published.", "fix": "Check the id: …"}
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from recsys.errors import ArtifactError, InputError, NotFoundError, RecsysError, TransientError
from recsys.workspace.normalise import ImageError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_INPUT = 80
"""Characters of a wrong value that an error repeats."""
_MAX_ERRORS = 20


@dataclass(frozen=True)
class ProblemType:
    """One type of problem: the fragment of its ``type``, its status and its title."""

    name: str
    status: int
    title: str


INVALID = ProblemType("invalid", 400, "The request has a wrong value")
UNKNOWN_HOST = ProblemType("unknown-host", 400, "The service does not go by this name")
UNAUTHENTICATED = ProblemType("unauthenticated", 401, "A key is needed")
FORBIDDEN = ProblemType("forbidden", 403, "This is not allowed")
FORGED = ProblemType("forged", 403, "The request may come from another site")
NOT_FOUND = ProblemType("not-found", 404, "There is no such thing")
NO_METHOD = ProblemType("method-not-allowed", 405, "This cannot be done here")
TIMEOUT = ProblemType("request-timeout", 408, "The request did not come in time")
CONFLICT = ProblemType("conflict", 409, "It is not in a state that allows this")
TOO_LARGE = ProblemType("too-large", 413, "The request is too large")
UNSUPPORTED = ProblemType("unsupported-media-type", 415, "This kind of content is not understood")
TOO_MANY = ProblemType("too-many-requests", 429, "The key asks too often")
HEAD_TOO_LARGE = ProblemType("head-too-large", 431, "The request's address and headers are too large")
INTERNAL = ProblemType("internal", 500, "The service failed")
UNAVAILABLE = ProblemType("unavailable", 503, "The service cannot answer now")

TYPES = (
    INVALID, UNKNOWN_HOST, UNAUTHENTICATED, FORBIDDEN, FORGED, NOT_FOUND, NO_METHOD, TIMEOUT, CONFLICT,
    TOO_LARGE, UNSUPPORTED, TOO_MANY, HEAD_TOO_LARGE, INTERNAL, UNAVAILABLE,
)  # fmt: skip
_BY_ERROR = (
    (NotFoundError, NOT_FOUND), (InputError, INVALID), (TransientError, UNAVAILABLE),
    (ArtifactError, UNAVAILABLE), (RecsysError, INTERNAL),
)  # fmt: skip
_BY_IMAGE_REASON = {"image_oversized": TOO_LARGE, "image_unreadable": UNSUPPORTED}


class Problem(HTTPException):
    """An error that is answered as it stands."""

    def __init__(
        self,
        type: ProblemType,
        detail: str,
        *,
        fix: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(type.status, detail, headers)
        self.type, self.fix, self.more = type, fix, more

    def body(self) -> bytes:
        """Return the problem details as JSON."""
        body = {
            "type": f"/docs#{self.type.name}",
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "fix": self.fix,
            **self.more,
        }
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")

    def response(self) -> Response:
        """Return the HTTP response."""
        return Response(self.body(), self.type.status, self.headers, MEDIA_TYPE)


async def handle_recsys_error(request: Request, error: RecsysError) -> Response:
    """Answer one of the package's own errors, which says what to do."""
    type = next(type for kind, type in _BY_ERROR if isinstance(error, kind))
    if isinstance(error, ImageError):
        type = _BY_IMAGE_REASON.get(error.reason, INVALID)
    if type is INTERNAL:
        logger.error("%s %s: %s", request.method, request.url.path, error)
    wait_s = "2" if isinstance(error, TransientError) else "30"
    headers = {"Retry-After": wait_s} if type is UNAVAILABLE else None
    return Problem(type, error.message, fix=error.fix, headers=headers).response()


async def handle_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Answer values that do not fit their model: each is named, with what was found and expected."""
    if isinstance(error.body, bytes):  # FastAPI hands on what is not declared as JSON as it came
        return unsupported(request, "application/json").response()
    errors = []
    for wrong in error.errors()[:_MAX_ERRORS]:
        where, *place = wrong["loc"]
        if where == "body" and wrong["type"] == "json_invalid":  # then FastAPI gives the position in the text
            place = []
        found = repr(wrong["input"])
        found = found if len(found) <= _MAX_INPUT else f"{found[:_MAX_INPUT]}…"
        field = ".".join(map(str, place)) or "body"
        errors.append({"field": field, "found": found, "expected": wrong["msg"]})
    first, num_more = errors[0], len(error.errors()) - 1
    more = f" and {num_more} more" if num_more else ""
    return Problem(
        INVALID,
        f"{first['field']}{more}: {first['expected']}; found {first['found']}.",
        fix="Correct each field under `errors`; /docs describes them.",
        errors=errors,
    ).response()


async def handle_http_exception(request: Request, error: HTTPException) -> Response:
    """Answer a :class:`Problem` as it stands, and what the framework raises as a problem."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error.__cause__, ClientDisconnect):
        raise error.__cause__
    type = {404: NOT_FOUND, 405: NO_METHOD}.get(error.status_code, INVALID)
    fix = {404: "Look the path up at /docs.", 405: "Use a method that the header Allow names."}.get(
        error.status_code, "Correct the request; /docs describes it."
    )
    headers = {"Allow": ", ".join(_allowed_methods(request))} if type is NO_METHOD else None
    detail = f"{request.method} {request.url.path[:200]}: {error.detail}."
    return Problem(type, detail, fix=fix, headers=headers).response()


HANDLERS: dict[Any, Callable[..., Any]] = {
    RecsysError: handle_recsys_error,
    RequestValidationError: handle_validation_error,
    HTTPException: handle_http_exception,
}


def unsupported(request: Request, wanted: str) -> Problem:
    """Return the problem of a body that is not of a ``wanted`` type."""
    kind = request.headers.get("content-type", "")
    return Problem(
        UNSUPPORTED,
        f"The body is of the type {kind[:100]!r}." if kind else "The body's type is not given.",
        fix=f"Send {wanted}, and name the type in the header Content-Type.",
    )


def _allowed_methods(request: Request) -> list[str]:
    """Return every method that some route has for this path; Starlette names the first route's only."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)
