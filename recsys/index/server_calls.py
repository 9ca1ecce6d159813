"""Calls to a Qdrant server: retried when a retry can help, explained when it cannot.

Every call the index makes can be repeated without harm: upserts, deletes and settings are idempotent.

Does not know: what is called.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from recsys.errors import ArtifactError, ConfigError, InputError, RecsysError, TransientError

logger = logging.getLogger(__name__)

R = TypeVar("R")

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_PASSING_GRPC = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}  # fmt: skip
_PASSING_HTTP = {408, 429, 500, 502, 503, 504}
_DENIED_GRPC = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
FAILURES = (grpc.RpcError, UnexpectedResponse, ResponseHandlingException, ResourceExhaustedResponse)


def call(function: Callable[..., R], *arguments: Any, retries: int, **named: Any) -> R:
    """Call a method of the client, again up to ``retries`` times while the failure may pass.

    Raises :class:`TransientError` when it does not pass, :class:`ConfigError` where access is denied,
    :class:`ArtifactError` where the collection is missing, :class:`InputError` for a refused request.
    """
    pause = _FIRST_PAUSE_S
    for attempt in range(retries + 1):
        try:
            return function(*arguments, **named)
        except FAILURES as error:
            failure = explain(error)
            if not failure.retryable or attempt == retries:
                raise failure from error
            wait = error.retry_after_s if isinstance(error, ResourceExhaustedResponse) else pause
            logger.warning(
                "%s failed (%s): again in %.1f s",
                getattr(function, "__name__", "call"),
                failure.message,
                wait,
            )
            time.sleep(min(wait, _LONGEST_PAUSE_S))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def explain(error: Exception) -> RecsysError:
    """Return the error of our tree that says what a failure of the client means."""
    status, text = _status(error)
    if status in _PASSING_GRPC or status in _PASSING_HTTP or status == "transport":
        return TransientError(
            f"The Qdrant server did not answer: {text}.",
            fix="Check that it runs and that index.url reaches it; then try again.",
        )
    if status in _DENIED_GRPC or status in (401, 403):
        return ConfigError(
            f"The Qdrant server refused access: {text}.",
            fix="Set QDRANT_API_KEY to a key that may write to this server's collections.",
        )
    if status in (grpc.StatusCode.NOT_FOUND, 404):
        return ArtifactError(
            f"The Qdrant server has no such thing: {text}.",
            fix="recsys status lists the collections there are; publish again if the live one was deleted.",
        )
    return InputError(
        f"The Qdrant server refused a request: {text}.",
        fix="Check it against docs/index-contract.md; a filter on a custom attribute needs index.attributes.",
    )


def _status(error: Exception) -> tuple[Any, str]:
    if isinstance(error, grpc.RpcError):
        code = error.code() if isinstance(error, grpc.Call) else None
        details = error.details() if isinstance(error, grpc.Call) else str(error)
        return code, f"{code.name if code else 'gRPC'}: {details}"
    if isinstance(error, UnexpectedResponse):
        return error.status_code, f"{error.status_code}: {error.content.decode(errors='replace')[:300]}"
    if isinstance(error, ResponseHandlingException):
        source = error.source
        return ("transport" if isinstance(source, httpx.TransportError) else "response"), repr(source)
    return 429, str(error)
