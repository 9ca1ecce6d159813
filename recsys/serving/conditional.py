"""Conditional requests (RFC 9110, section 13): who has the answer already is told so, unsearched."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from recsys.feedback.rules import StoredRule
from recsys.serving.dependencies import Services

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The answer whose ETag If-None-Match names is still right."}
}


def conditional(
    request: Request,
    services: Services,
    answer: Callable[[], Response],
    *,
    collection: str | None,
    rules: Sequence[StoredRule] = (),
) -> Response:
    """Return ``answer()`` with an ETag, or 304 if the client has it; ``rules`` are those that may act on it.

    The ETag is weak, since times differ, and hashes all that an answer comes from. A collection on a
    Qdrant server changes before its generation does: its answers have none.
    """
    if services.config.index.url is not None:
        return answer()
    view = services.live.view(collection)
    parts = (
        services.fingerprint,
        view.generation,
        request.url.path,
        request.url.query,
        [(rule.id, rule.changed_at) for rule in rules],
        services.notes(),
    )
    etag = f'W/"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag.removeprefix("W/") in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    response = answer()
    if services.live.view(collection) is view:  # otherwise the answer may be of either
        response.headers.update(headers)
    return response
