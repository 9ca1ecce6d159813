"""What every request passes, as plain ASGI: it costs tens of microseconds.

    in     the host is one of ours (DNS rebinding), the size is within bounds, somebody may ask
    out    security headers, a request id, metrics, one line in the log; a failure becomes a problem

Does not know: what any route does.
"""

import ipaddress
import logging
import os
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.config.search import SearchConfig
from recsys.serving import problems
from recsys.serving.auth import SAFE, Headers, Keys, given_key, unauthenticated
from recsys.serving.problems import FORGED, TOO_LARGE, UNKNOWN_HOST, Problem
from recsys.serving.prometheus import Metrics

access = logging.getLogger("recsys.serving.access")
logger = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ANY_ADDRESS = ("0.0.0.0", "::", "")
_OPEN_TO_PROBES = ("/healthz", "/readyz")
_PROTECTED = ("/v1/", "/images/", "/metrics")
_WITH_IMAGES = ("/v1/search", "/v1/rules/preview")
_GONE = 499
"""Noted where a client went before it had said everything; nobody is answered."""
_MAX_PLAIN_BODY = 1_000_000
"""Bytes of a body that holds no images."""

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = tuple(
    (name.lower().encode(), value.encode())
    for name, value in {
        "Content-Security-Policy": _CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), "
        "payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }.items()
)


class Hosts:
    """The names this service goes by. A page of another site that made its name point here is none."""

    def __init__(self, config: SearchConfig) -> None:
        self._names = {*LOOPBACK, *(h.lower() for h in config.hosts)}
        self._any_address = config.host in _ANY_ADDRESS
        if not self._any_address:
            self._names.add(config.host.lower())
        self._proxied = {h.lower() for h in config.hosts}

    def check(self, headers: Headers) -> None:
        """Raise :class:`Problem` (400) for a request by a name that is not ours."""
        given = headers.get(b"host", b"").decode("latin-1")
        name = _host_name(given)
        if name in self._names or (self._any_address and _is_address(name)):
            return
        raise Problem(
            UNKNOWN_HOST,
            f"The service does not go by the name {given[:100]!r}.",
            fix="Add the name to search.hosts in the configuration, if it is yours.",
        )

    def check_origin(self, headers: Headers) -> None:
        """Raise :class:`Problem` (403) for a change that a page of another site asks for."""
        if given_key(headers) is not None:
            return  # no other site can add that header
        origin = headers.get(b"origin")
        if origin is not None:
            scheme, _, host = origin.decode("latin-1").partition("://")
            same = scheme in ("http", "https") and host.encode("latin-1") == headers.get(b"host")
            if not same and _host_name(host) not in self._proxied:
                raise _foreign(f"the origin {origin.decode('latin-1')[:100]!r}")
        if headers.get(b"sec-fetch-site", b"none") not in (b"same-origin", b"none"):
            raise _foreign("another site")


class Gate:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, *, config: SearchConfig, keys: Keys, metrics: Metrics) -> None:
        self._app = app
        self._hosts = Hosts(config)
        self._keys = keys
        self._metrics = metrics
        self._max_body = config.max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, receive, send)
        try:
            try:
                call.most = self._admit(call.scope)
                await self._app(call.scope, call.receive, call.send)
            except Problem as problem:
                await call.answer(problem)
            except ClientDisconnect:
                call.status = _GONE
            except Exception:
                logger.exception("%s: the request failed", call.id)
                if call.status:
                    raise
                await call.answer(problems.unexpected(call.id))
        finally:
            self._note(call)

    def _admit(self, scope: Scope) -> int:
        """Note who asks in ``scope["identity"]``; return how many bytes may be sent."""
        headers = dict(scope["headers"])
        path, method = scope["path"], scope["method"]
        scope["identity"] = None
        if path not in _OPEN_TO_PROBES:
            self._hosts.check(headers)
        if path.startswith(_PROTECTED):
            scope["identity"] = self._keys.identify(headers)
            if scope["identity"] is None:
                raise unauthenticated()
        most = self._max_body if path in _WITH_IMAGES else min(_MAX_PLAIN_BODY, self._max_body)
        if method not in SAFE:
            self._hosts.check_origin(headers)
            length = headers.get(b"content-length", b"0")
            if not length.isdigit() or int(length) > most:
                raise _too_large(most)
        return most

    def _note(self, call: "_Call") -> None:
        taken = time.perf_counter() - call.started
        scope = call.scope
        route = getattr(scope.get("route"), "path_format", None) or scope.get("route_name", "other")
        self._metrics.request(route, call.method, call.status, taken)
        if access.isEnabledFor(logging.INFO):
            who = scope.get("identity")
            raw = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
            access.info(
                "%s %s %d %.1f ms, %d bytes, %s, %s",
                call.method, raw.decode("ascii", "replace"), call.status, taken * 1e3, call.sent,
                who.name if who else "-", call.id,
            )  # fmt: skip


class _Call:
    """One request: counts what comes in and goes out, and adds headers to the answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method = scope["method"]
        self.scope = {**scope, "method": "GET"} if self.method == "HEAD" else scope
        """What the application sees: HEAD is answered as GET, and the server sends no body."""
        self._receive, self._send = receive, send
        self.id = os.urandom(8).hex()
        self.started = time.perf_counter()
        self.status = 0
        self.sent = 0
        self.most = 0
        self._read = 0

    async def receive(self) -> Message:
        """Pass the body on, up to ``most`` bytes."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self.most:
                raise _too_large(self.most)
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on, with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *_HEADERS, (b"x-request-id", self.id.encode())]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        else:
            self.sent += len(message.get("body", b""))
        await self._send(message)

    async def answer(self, problem: Problem) -> None:
        """Answer a problem."""
        await problem.response()(self.scope, self._receive, self.send)


def _too_large(most: int) -> Problem:
    return Problem(
        TOO_LARGE,
        f"The request's body is larger than {most:,} bytes.",
        fix="Send less, smaller images for example, or raise search.max_body_bytes.",
        headers={"Connection": "close"},
    )


def _foreign(what: str) -> Problem:
    return Problem(
        FORGED,
        f"The request comes from {what}.",
        fix="Call the service from its own page, or from a program without a browser's headers. Behind a "
        "proxy, add its name to search.hosts.",
    )


def _host_name(given: str) -> str:
    """Return the name in a Host header: without port and brackets, lower case."""
    name = given.strip().lower()
    if name.startswith("[") and "]" in name:
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def shown_host(host: str) -> str:
    """Return what a person on this machine types to reach what listens on ``host``."""
    shown = "127.0.0.1" if host in _ANY_ADDRESS else host
    return f"[{shown}]" if ":" in shown else shown
