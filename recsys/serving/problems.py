"""Errors as RFC 9457 problem details: what was found, and what to do.

    {"type": "/docs#not-found", "title": "There is no such thing", "status": 404,
     "detail": "There is no product 'x' in what is published.", "fix": "Check the id: …"}

Does not know: routes.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from recsys.errors import ArtifactError, InputError, NotFoundError, RecsysError, TransientError
from recsys.workspace.normalise import ImageError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_SHOWN = 80


@dataclass(frozen=True)
class Kind:
    """One type of problem: the fragment of its ``type``, its status and its title."""

    name: str
    status: int
    title: str


INVALID = Kind("invalid", 400, "The request has a wrong value")
UNKNOWN_HOST = Kind("unknown-host", 400, "The service does not go by this name")
UNAUTHENTICATED = Kind("unauthenticated", 401, "A key is needed")
FORBIDDEN = Kind("forbidden", 403, "This is not allowed")
FORGED = Kind("forged", 403, "The request may come from another site")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
NO_METHOD = Kind("method-not-allowed", 405, "This cannot be done here")
CONFLICT = Kind("conflict", 409, "It is not in a state that allows this")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
UNSUPPORTED = Kind("unsupported-media-type", 415, "This kind of content is not understood")
HEAD_TOO_LARGE = Kind("head-too-large", 431, "The request's address and headers are too large")
BROKEN = Kind("internal", 500, "The service failed")
UNAVAILABLE = Kind("unavailable", 503, "The service cannot answer now")

KINDS = (
    INVALID, UNKNOWN_HOST, UNAUTHENTICATED, FORBIDDEN, FORGED, NOT_FOUND, NO_METHOD, CONFLICT, TOO_LARGE,
    UNSUPPORTED, HEAD_TOO_LARGE, BROKEN, UNAVAILABLE,
)  # fmt: skip

_IMAGES = {"image_oversized": TOO_LARGE, "image_unreadable": UNSUPPORTED}
_BY_STATUS = {400: INVALID, 404: NOT_FOUND, 405: NO_METHOD, 413: TOO_LARGE, 415: UNSUPPORTED}
_FIXES = {
    404: "Look the path up at /docs.",
    405: "Use a method that the header Allow names.",
}


class Problem(Exception):  # noqa: N818 (RFC 9457 calls it so)
    """An error that is answered as it stands."""

    def __init__(
        self, kind: Kind, detail: str, *, fix: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.fix = kind, detail, fix
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """Return the answer."""
        body = {
            "type": f"/docs#{self.kind.name}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "fix": self.fix,
            **self.more,
        }
        content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        return Response(content, self.kind.status, self.headers, MEDIA_TYPE)


def of_error(error: RecsysError) -> Problem:
    """Return what one of our errors is answered with."""
    headers: dict[str, str] = {}
    if isinstance(error, NotFoundError):
        kind = NOT_FOUND
    elif isinstance(error, ImageError):
        kind = _IMAGES.get(error.reason, INVALID)
    elif isinstance(error, InputError):
        kind = INVALID
    elif isinstance(error, TransientError):
        kind, headers = UNAVAILABLE, {"Retry-After": "2"}
    elif isinstance(error, ArtifactError):
        kind, headers = UNAVAILABLE, {"Retry-After": "30"}
    else:
        kind = BROKEN
    return Problem(kind, error.message, fix=error.fix, headers=headers)


def of_values(errors: Sequence[Any]) -> Problem:
    """Return the problem of values that do not fit the schema; each is named, with what was found."""
    wrong = []
    for error in errors:
        place = [str(p) for p in error.get("loc", ())]
        if place and place[0] in ("body", "query", "path", "header") and len(place) > 1:
            place = place[1:]
        found = _short(error.get("input"))
        wrong.append({"field": ".".join(place) or "body", "found": found, "expected": error["msg"]})
    first = wrong[0]
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Problem(
        INVALID,
        f"{first['field']}{more}: {first['expected']}; found {first['found']}.",
        fix="Correct each field under `errors`; /docs describes them.",
        errors=wrong[:20],
    )


def of_http(error: HTTPException, request: Request) -> Problem:
    """Return the problem of an error that the framework raised."""
    kind = _BY_STATUS.get(error.status_code, INVALID if error.status_code < 500 else BROKEN)
    headers = dict(error.headers or {})
    detail = f"{request.method} {request.url.path[:200]}: {error.detail}."
    if kind is NO_METHOD:
        headers["Allow"] = ", ".join(_allowed(request))
    fix = _FIXES.get(kind.status, "Correct the request; /docs describes it.")
    return Problem(kind, detail, fix=fix, headers=headers)


def unexpected(request_id: str) -> Problem:
    """Return the problem of a failure of ours; the log has the cause under ``request_id``."""
    return Problem(
        BROKEN,
        "Something failed that should not.",
        fix="Look for the request's id in the service's log, or give it to whoever runs the service.",
        request_id=request_id,
    )


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, RecsysError)
        problem = of_error(error)
        if problem.kind is BROKEN:
            logger.error("%s %s: %s", request.method, request.url.path, error)
        return problem.response()

    async def stated(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def values(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return of_values(error.errors()).response()

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, Problem):  # met while the framework was reading the body
            return error.__cause__.response()
        return of_http(error, request).response()

    app.add_exception_handler(RecsysError, ours)
    app.add_exception_handler(Problem, stated)
    app.add_exception_handler(RequestValidationError, values)
    app.add_exception_handler(HTTPException, framework)


def _allowed(request: Request) -> list[str]:
    """Return every method that some route has for this path; the framework names the first route's only."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
