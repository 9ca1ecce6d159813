"""A small web server whose answers a test decides, and that remembers what it was asked."""

import http.server
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What the server says to one request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    """Content-Length to claim when it is not the body's."""


@dataclass
class Asked:
    """One request the server got."""

    path: str
    headers: dict[str, str]


class Web:
    """Serves ``pages`` (path → answer, or a function of the request) on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()})
                web.asked.append(asked)
                page = web.pages.get(self.path, Answer(status=404))
                answer = page(asked) if callable(page) else page
                etag = answer.headers.get("ETag")
                if etag and asked.headers.get("if-none-match") == etag:
                    answer = Answer(status=304, headers=answer.headers)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) if answer.claimed_length is None else answer.claimed_length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = length != len(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def count(self, path: str) -> int:
        """How often ``path`` was asked for."""
        return sum(asked.path == path for asked in self.asked)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
