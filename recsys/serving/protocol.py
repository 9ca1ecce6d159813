"""uvicorn's HTTP parser with bounds on connections, on a request's head and on how long a request may take to
come, and problems for what never becomes a request."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recsys.serving.problems import HEAD_TOO_LARGE, INVALID, MEDIA_TYPE, TIMEOUT, UNAVAILABLE, Problem

MAX_HEAD_BYTES = 65_536
"""Bytes of a request's first line and headers; the parser itself would take any number."""
REQUEST_TIMEOUT_S = 20.0
"""Within which a head has to come, and as long again for the body, where that is small."""
MIN_BODY_BYTES_PER_S = 5_000
"""A body that comes as fast may take as long as it needs."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _head: int | None = 0
    """Bytes of the head so far; ``None`` once it is complete."""
    _deadline = 0.0
    """When what is missing of a request has to be there, by the loop's clock."""
    _timer: asyncio.TimerHandle | None = None
    """Runs while a request is awaited."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn itself would refuse a connection only once its request has come, and in plain text.
        self._max_connections, self.limit_concurrency = self.limit_concurrency, None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await a request, unless there are too many connections."""
        super().connection_made(transport)
        if self._max_connections is not None and len(self.connections) > self._max_connections:
            self.connections.discard(self)
            self._refuse(
                Problem(
                    UNAVAILABLE,
                    f"There are {self._max_connections} connections already.",
                    fix="Connect again in a second; keep fewer connections, or raise search.max_connections.",
                    headers={"Retry-After": "1"},
                )
            )
        else:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Await nothing more."""
        self._await_nothing()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head = 0
        self._await_request()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting; begin the request unless its head, come all at once, is too large."""
        self._head = None
        self._deadline = self.loop.time() + REQUEST_TIMEOUT_S
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Give the rest of the body the time that this part of it earns."""
        self._deadline += len(body) / MIN_BODY_BYTES_PER_S
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Await nothing more of a request that is there."""
        self._await_nothing()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a head that grows beyond its bound."""
        self._await_request()
        super().data_received(data)
        if self._head is None:
            return
        self._head += len(data)
        if self._head > MAX_HEAD_BYTES:
            self._refuse_head()

    def _await_request(self) -> None:
        if self._timer is None:
            self._deadline = self.loop.time() + REQUEST_TIMEOUT_S
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)

    def _await_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_deadline(self) -> None:
        """End a connection whose request did not come in time."""
        now, in_head = self.loop.time(), self._head is not None
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.flow.read_paused or (in_head and answering):  # it is the service that takes its time
            self._deadline = now + REQUEST_TIMEOUT_S
        if self._deadline > now:
            self._timer = self.loop.call_at(self._deadline, self._check_deadline)
        elif self._head or (not in_head and answering and not self.cycle.response_started):
            self._refuse(
                Problem(
                    TIMEOUT,
                    f"The request was not there after {REQUEST_TIMEOUT_S:g} seconds, "
                    f"and came slower than {MIN_BODY_BYTES_PER_S:,} bytes a second.",
                    fix="Send the request without pauses, or a smaller one.",
                )
            )
        else:  # nothing came, or the rest of what is answered already
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(Problem(INVALID, msg, fix="Send an HTTP/1.1 request."))

    def _refuse_head(self) -> None:
        self._refuse(
            Problem(
                HEAD_TOO_LARGE,
                f"The request's address and headers have more than {MAX_HEAD_BYTES:,} bytes.",
                fix="Send long queries in a body: POST /v1/search.",
            )
        )

    def _refuse(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return  # what is left of a request that was refused
        body = problem.body()
        more = "".join(f"{name}: {value}\r\n" for name, value in (problem.headers or {}).items())
        head = (
            f"HTTP/1.1 {problem.status_code} {HTTPStatus(problem.status_code).phrase}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"x-content-type-options: nosniff\r\n{more}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
