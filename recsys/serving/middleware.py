"""What every request passes before it reaches a route, as plain ASGI: it costs tens of microseconds.

in     the host name is one of ours (DNS rebinding), no other site's page asks for a change (CSRF),
       the body is within bounds, and so are all bodies together
out    security headers, a request id, metrics, one line in the log; a failure becomes a problem
"""

import asyncio
import ipaddress
import logging
import random
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.config.search import SearchConfig
from recsys.serving.auth import COOKIE
from recsys.serving.problems import FORGED, INTERNAL, TOO_LARGE, UNAVAILABLE, UNKNOWN_HOST, Problem
from recsys.serving.prometheus import Metrics

access = logging.getLogger("recsys.serving.access")
logger = logging.getLogger(__name__)

ANY_ADDRESS = ("0.0.0.0", "::", "")
_PROBES = ("/healthz", "/readyz")
_WITH_IMAGES = ("/v1/search", "/v1/rules/preview")
_MAX_PLAIN_BODY = 1_000_000
"""Bytes of a body that holds no images."""
_SMALL_BODY = 100_000
MAX_LARGE_BODIES = 8
"""Bodies of ``search.max_body_bytes`` that fit into what a process holds of bodies at a time; beyond, those
of more than 100,000 bytes are refused."""
_SESSION = f"{COOKIE}=".encode()
_CLIENT_CLOSED = 499
"""Logged where a client closed the connection before its request was complete (nginx's number)."""

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PERMISSIONS = "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()"
_HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", _PERMISSIONS.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Added to every response that does not set them itself."""


class RequestMiddleware:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, *, config: SearchConfig, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._max_body, self._num_held = config.max_body_bytes, 0
        self._proxy_names = {name.lower() for name in config.hosts}
        self._names = {"localhost", "127.0.0.1", "::1", config.host.lower(), *self._proxy_names} - {""}
        self._any_address = config.host in ANY_ADDRESS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, pass it on, and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method, status, num_sent, num_received = scope["method"], 0, 0, 0
        if method == "HEAD":  # answered as GET; the server sends no body
            scope = {**scope, "method": "GET"}
        headers = dict(scope["headers"])
        request_id = f"{random.getrandbits(64):016x}"
        max_body = self._max_body if scope["path"] in _WITH_IMAGES else min(_MAX_PLAIN_BODY, self._max_body)

        async def bounded_receive() -> Message:
            nonlocal num_received
            message = await receive()
            num_bytes = len(message.get("body", b""))
            num_received += num_bytes
            self._num_held += num_bytes
            if num_received > max_body:
                raise _too_large(max_body)
            if num_received > _SMALL_BODY and self._num_held > MAX_LARGE_BODIES * self._max_body:
                raise Problem(
                    UNAVAILABLE,
                    f"Other requests' bodies hold {self._num_held - num_received:,} bytes.",
                    fix="Ask again in some seconds, or send smaller images.",
                    headers={"Retry-After": "2", "Connection": "close"},
                )
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status, num_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                names = {name for name, _ in given}
                added = [header for header in _HEADERS if header[0] not in names]
                message["headers"] = [*given, *added, (b"x-request-id", request_id.encode())]
            else:
                num_sent += len(message.get("body", b""))
            await send(message)

        try:
            self._check(scope, headers, max_body)
            await self._app(scope, bounded_receive, send_with_headers)
        except Problem as problem:
            await problem.response()(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CLIENT_CLOSED
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # extensions in Rust panic with one that is no Exception
            logger.exception("%s: the request failed", request_id)
            if status:
                raise
            failure = Problem(
                INTERNAL,
                "Something failed that should not.",
                fix="Look for the request's id in the service's log, or give it to whoever runs the service.",
                request_id=request_id,
            )
            await failure.response()(scope, receive, send_with_headers)
        finally:
            self._num_held -= num_received
            self._log(scope, method, status, num_sent, time.perf_counter() - started, request_id)

    def _check(self, scope: Scope, headers: dict[bytes, bytes], max_body: int) -> None:
        """Raise :class:`Problem` for a request that must not reach the application."""
        host = headers.get(b"host", b"").decode("latin-1")
        name = host_name(host)
        known = name in self._names or (self._any_address and is_address(name))
        if not known and scope["path"] not in _PROBES:  # probes go by address
            raise Problem(
                UNKNOWN_HOST,
                f"The service does not go by the name {host[:100]!r}.",
                fix="Add the name to search.hosts in the configuration, if it is yours.",
            )
        if scope["method"] in ("GET", "OPTIONS"):
            return
        self._check_origin(headers, host)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > max_body:
            raise _too_large(max_body)

    def _check_origin(self, headers: dict[bytes, bytes], host: str) -> None:
        """Raise :class:`Problem` (403) for a change that another site's page asks a browser for.

        Browsers name the page's origin with every unsafe request. A request with a key in a header passes:
        no other site can add one. A session cookie without an origin does not.
        """
        if b"authorization" in headers or b"x-api-key" in headers:
            return
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        scheme, _, origin_host = origin.partition("://")
        own = origin_host == host or host_name(origin_host) in self._proxy_names
        if site not in ("same-origin", "none"):
            found = f"from another site (Sec-Fetch-Site: {site[:20]})"
        elif b"origin" in headers and not (own and scheme in ("http", "https")):
            found = f"from the origin {origin[:100]!r}"
        elif not headers.keys() & {b"origin", b"sec-fetch-site"} and _SESSION in headers.get(b"cookie", b""):
            found = "with a session cookie and without an origin"
        else:
            return
        raise Problem(
            FORGED,
            f"The request comes {found}.",
            fix="Call the service from its own page, or from a program with a key in a header. Behind a "
            "proxy, add its name to search.hosts.",
        )

    def _log(
        self, scope: Scope, method: str, status: int, num_sent: int, seconds: float, request_id: str
    ) -> None:
        route = getattr(scope.get("route"), "path_format", "other")
        self._metrics.request(route, method, status, seconds)
        if access.isEnabledFor(logging.INFO):
            identity = scope.get("identity")
            path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
            access.info(
                "%s %s %d %.1f ms, %d bytes, %s, %s",
                method, path.decode("ascii", "replace"), status, seconds * 1e3, num_sent,
                identity.name if identity else "-", request_id,
            )  # fmt: skip


def _too_large(max_body: int) -> Problem:
    return Problem(
        TOO_LARGE,
        f"The request's body is larger than {max_body:,} bytes.",
        fix="Send less, smaller images for example, or raise search.max_body_bytes.",
        headers={"Connection": "close"},
    )


def host_name(host: str) -> str:
    """Return the name in a Host header: without port and brackets, lower case."""
    name = host.strip().lower()
    return name[1:].partition("]")[0] if name.startswith("[") and "]" in name else name.partition(":")[0]


def is_address(name: str) -> bool:
    """Tell whether a host name is an IP address."""
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches ``host``."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
