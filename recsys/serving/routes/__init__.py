"""The routes, one file per group, and what they share: roles and the problems they may answer with.

Does not know: what is behind them; that is :class:`recsys.serving.dependencies.Service`.
"""

from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from recsys.serving.auth import SAFE, Role
from recsys.serving.dependencies import identity, service
from recsys.serving.problems import MEDIA_TYPE
from recsys.serving.responses import ProblemOut

_WHAT = {
    400: "A wrong value: each is named, with what was expected.",
    401: "No key, or an unknown one.",
    403: "The key's role does not allow this, or the request may come from another site.",
    404: "There is no such thing.",
    409: "It is in a state that does not allow this.",
    413: "The request is larger than it may be.",
    415: "The content is of a kind that is not understood.",
    503: "Nothing is published yet, or the encoder is still being loaded; try again after Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documented problems of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    return {status: {"description": _WHAT[status], "content": content} for status in statuses}


class Needs:
    """A dependency that lets those with a role pass; changes made in a browser need its CSRF token."""

    def __init__(self, role: Role, *, changes: bool = False) -> None:
        self.role, self.changes = role, changes

    async def __call__(self, request: Request) -> None:
        """Raise :class:`~recsys.serving.problems.Problem` for those who may not."""
        identity(request).require(self.role)
        if self.changes and request.method not in SAFE:
            service(request).keys.check_csrf(dict(request.scope["headers"]))


def router(tag: str, role: Role, *, changes: bool = False) -> APIRouter:
    """Return a router whose routes need ``role``; ``changes`` says that its unsafe methods change things."""
    return APIRouter(
        tags=[tag],
        dependencies=[Depends(Needs(role, changes=changes))],
        responses=problems(400, 401, 403, 503),
    )


__all__ = ["Needs", "ProblemOut", "problems", "router"]
