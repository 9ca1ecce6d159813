"""Fetches one image over HTTP: conditional, bounded, retried, never from a private address."""

import logging
import random
import threading
import time
import urllib.parse
from collections import Counter
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy

import httpx

from recsys.catalog.http_body import RefusedEncodingError, iter_body
from recsys.catalog.image_state import LinkState
from recsys.catalog.links import check_size
from recsys.catalog.ssrf import GuardedBackend, GuardedTransport, RefusedAddressError
from recsys.config.catalog import ImagesConfig
from recsys.workspace.normalise import ImageError

logger = logging.getLogger(__name__)

_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_DEADLINE_TIMEOUTS = 3
_DIGITS = 18
"""Read of a Content-Length; more would be no size."""


class _RetryError(Exception):
    """An attempt failed and another may succeed."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class Fetcher:
    """Fetches images over HTTP with one pool of connections. Thread-safe."""

    def __init__(self, config: ImagesConfig) -> None:
        self._config = config
        self._backend = GuardedBackend(
            allow_private=config.allow_private_addresses, private_hosts=config.private_hosts
        )
        self._client = httpx.Client(
            transport=GuardedTransport(self._backend, max_connections=config.concurrency),
            timeout=config.timeout_s,
            trust_env=False,
            follow_redirects=False,
            headers={
                "User-Agent": config.user_agent,
                "Accept": "image/*,*/*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line per image
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def close(self) -> None:
        """Close the connections and end all waits between attempts."""
        self._stop.set()
        self._client.close()

    def fetch(self, url: str, known: LinkState) -> tuple[bytes | None, LinkState]:
        """Return the image at ``url``, and the validators for a conditional request the next time.

        The bytes are ``None`` if the image has not changed since ``known``.

        Raises :class:`ImageError` with reason ``image_not_found``, ``image_http_error``,
        ``image_oversized``, ``refused_address``, ``too_many_redirects``, ``bad_link`` or
        ``image_unavailable``; only the last may go away by itself.
        """
        host = urllib.parse.urlsplit(url).hostname or ""
        if self._failures[host] >= self._config.host_failures:
            raise ImageError(
                "image_unavailable", f"Not fetched: {host} failed {self._failures[host]} times in a row."
            )
        for attempt in range(self._config.retries + 1):
            try:
                fetched = self._attempt(url, known)
            except (_RetryError, httpx.RequestError) as error:
                if attempt == self._config.retries or self._stop.is_set():
                    self._count(host, failed=True)
                    raise ImageError(
                        "image_unavailable", f"{url} could not be fetched in {attempt + 1} attempts: {error}."
                    ) from None
                self._wait(attempt, error.wait_s if isinstance(error, _RetryError) else 0.0)
            else:
                self._count(host, failed=False)
                return fetched
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, url: str, known: LinkState) -> tuple[bytes | None, LinkState]:
        headers = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        conditional = {name.encode(): _to_bytes(value) for name, value in headers.items() if value}
        deadline = time.monotonic() + _DEADLINE_TIMEOUTS * self._config.timeout_s
        self._backend.deadline.at = deadline
        for _ in range(self._config.max_redirects + 1):
            try:
                with self._client.stream("GET", url, headers=conditional) as response:
                    if response.next_request is None:
                        return self._read(response, url, known, deadline)
                    target = str(response.next_request.url)
                if not target.startswith(("http://", "https://")):
                    raise ImageError("bad_link", f"{url} redirects to {target[:200]}, which is not HTTP.")
                url = target
            except RefusedAddressError as error:
                raise ImageError(
                    "refused_address",
                    f"{url} was not fetched: {error}.",
                    fix="Use a public address, or name the host in catalog.images.private_hosts.",
                ) from None
            except RefusedEncodingError as error:
                raise ImageError("image_http_error", f"{url} answered with {error}.") from None
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
                raise ImageError("bad_link", f"{url} is not a valid address: {error}.") from None
        raise ImageError(
            "too_many_redirects", f"{url} is still a redirect after {self._config.max_redirects}."
        )

    def _read(
        self, response: httpx.Response, url: str, known: LinkState, deadline: float
    ) -> tuple[bytes | None, LinkState]:
        status = response.status_code
        if status == 304:
            return None, known
        if status in _RETRIED:
            raise _RetryError(
                f"the server answered {status}", _retry_after_s(response.headers.get("Retry-After", ""))
            )
        if status in (404, 410):
            raise ImageError("image_not_found", f"{url} answered {status}.")
        if status != 200:
            raise ImageError("image_http_error", f"{url} answered {status}.")
        limit = self._config.max_bytes
        length = response.headers.get("Content-Length", "")
        check_size(int(length[:_DIGITS]) if length.isascii() and length.isdigit() else 0, limit)
        data = bytearray()
        for piece in iter_body(response):
            data += piece
            check_size(len(data), limit)
            if time.monotonic() > deadline:
                raise _RetryError("the download took too long")
        sent = {name.lower(): value.decode("latin-1") for name, value in response.headers.raw}
        return bytes(data), LinkState(etag=sent.get(b"etag"), last_modified=sent.get(b"last-modified"))

    def _wait(self, attempt: int, least_s: float) -> None:
        backoff = self._config.backoff_s * 2**attempt * random.uniform(0.5, 1.5)
        self._stop.wait(min(max(backoff, least_s), self._config.max_backoff_s))

    def _count(self, host: str, *, failed: bool) -> None:
        with self._lock:
            self._failures[host] = self._failures[host] + 1 if failed else 0
            if failed and self._failures[host] == self._config.host_failures:
                logger.warning(
                    "%s failed %d times in a row; no more requests to it", host, self._failures[host]
                )


def _to_bytes(value: str) -> bytes:
    """Return a validator as the server sent it: header values are bytes, kept as Latin-1."""
    return value.encode("latin-1", errors="replace")


def _retry_after_s(value: str) -> float:
    """Return the seconds a server asks to wait, given as a number or a date."""
    try:
        if value.strip().isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
