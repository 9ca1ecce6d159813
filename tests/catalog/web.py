"""A small web server with responses that a test decides; it keeps the requests it got."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Response:
    """What the server says to one request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    """Content-Length to claim when it is not the body's."""


@dataclass
class Request:
    """One request the server got."""

    path: str
    headers: dict[str, str]


class Web:
    """Serves ``pages`` (path → response, or a function of the request) on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.pages: dict[str, Response | Callable[[Request], Response]] = {}
        self.requests: list[Request] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(self.path, {k.lower(): v for k, v in self.headers.items()})
                web.requests.append(request)
                page = web.pages.get(self.path, Response(status=404))
                response = page(request) if callable(page) else page
                etag = response.headers.get("ETag")
                if etag and request.headers.get("if-none-match") == etag:
                    response = Response(status=304, headers=response.headers)
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                length = len(response.body) if response.claimed_length is None else response.claimed_length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(response.body)
                self.close_connection = length != len(response.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def count(self, path: str) -> int:
        """Number of requests for ``path``."""
        return sum(request.path == path for request in self.requests)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def trickling(head: bytes) -> Iterator[str]:
    """Serve one request with ``head`` and then a byte every 50 ms for ten seconds; yields the address."""

    def serve() -> None:
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            connection.sendall(head)
            for _ in range(200):
                connection.sendall(b"x")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a"
