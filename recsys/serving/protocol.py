"""uvicorn's HTTP parser with a bound on a request's head, and problems for what never becomes a request."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from recsys.serving.problems import HEAD_TOO_LARGE, INVALID, MEDIA_TYPE, Problem

MAX_HEAD_BYTES = 65_536
"""Bytes of a request's first line and headers; the parser itself would take any number."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _head: int | None = 0
    """Bytes of the head so far; ``None`` once it is complete."""

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting; begin the request unless its head, come all at once, is too large."""
        self._head = None
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
        else:
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and refuse a head that grows beyond its bound."""
        super().data_received(data)
        if self._head is None:
            return
        self._head += len(data)
        if self._head > MAX_HEAD_BYTES:
            self._refuse_head()

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
        head = (
            f"HTTP/1.1 {problem.status_code} {HTTPStatus(problem.status_code).phrase}\r\n"
            f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
