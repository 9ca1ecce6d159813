"""Downloads: conditional, bounded, retried where that helps, refused where it must be."""

import contextlib
import gzip
import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from recsys.catalog.fetch import Fetcher
from recsys.catalog.image_state import LinkState
from recsys.config.catalog import ImagesConfig
from recsys.workspace.normalise import ImageError
from tests.catalog.web import Response, Web, trickling

GZIP = {"Content-Encoding": "gzip"}
RETRIED = (408, 429, 500, 502, 503, 504)


@pytest.fixture
def fetchers() -> Iterator[Any]:
    with contextlib.ExitStack() as opened:

        def make(**settings: Any) -> Fetcher:
            defaults = {"allow_private_addresses": True, "backoff_s": 0.01, "timeout_s": 5, "retries": 2}
            fetcher = Fetcher(ImagesConfig.model_validate(defaults | settings))
            return opened.enter_context(contextlib.closing(fetcher))

        yield make


def _reason(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(ImageError) as caught:
        fetcher.fetch(url, LinkState())
    return caught.value.reason


def test_an_unchanged_image_is_not_sent_again_and_no_cookie_either(web: Web, fetchers: Any) -> None:
    date = "Sun, 31 May 2026 04:00:00 GMT"
    headers = {"ETag": '"1"', "Last-Modified": date, "Set-Cookie": "track=1"}
    web.pages["/a"] = Response(b"bytes", headers=headers)
    fetcher = fetchers()
    known = LinkState(etag='"1"', last_modified=date)
    assert fetcher.fetch(f"{web.url}/a", LinkState()) == (b"bytes", known)
    assert fetcher.fetch(f"{web.url}/a", known) == (None, known)
    assert web.requests[1].headers["if-modified-since"] == date
    assert "cookie" not in web.requests[1].headers


def _failing(times: int, status: int = 503, **headers: str) -> Any:
    responses = iter([Response(status=status, headers=headers)] * times)
    return lambda _: next(responses, Response(b"bytes"))


@pytest.mark.parametrize("status", RETRIED)
def test_failures_that_may_pass_are_tried_again(status: int, web: Web, fetchers: Any) -> None:
    web.pages["/a"] = _failing(2, status)
    assert fetchers(retries=2).fetch(f"{web.url}/a", LinkState())[0] == b"bytes"
    assert web.count("/a") == 3


@pytest.mark.parametrize(
    ("response", "reason", "requests"),
    [
        *[(Response(status=status), "image_unavailable", 3) for status in RETRIED],
        (Response(status=404), "image_not_found", 1),
        (Response(status=410), "image_not_found", 1),
        (Response(status=403), "image_http_error", 1),
        (Response(claimed_length=50_000), "image_oversized", 1),
        (Response(gzip.compress(b"0" * 100_000), headers=GZIP), "image_oversized", 1),
        (Response(b"not gzip", headers=GZIP), "image_unavailable", 3),
        (Response(status=307, headers={"Location": "/a"}), "too_many_redirects", 3),
        (Response(status=302, headers={"Location": "file:///etc/passwd"}), "bad_link", 1),
        (Response(status=302, headers={"Location": "ftp://x.example/a"}), "bad_link", 1),
        (Response(status=302, headers={"Location": "gopher://x"}), "bad_link", 1),
        (Response(status=302, headers={"Location": "//[::1"}), "image_unavailable", 3),
        (Response(status=302), "image_http_error", 1),
    ],
)
def test_a_failure_has_a_reason_and_is_retried_only_if_it_may_pass(
    response: Response, reason: str, requests: int, web: Web, fetchers: Any
) -> None:
    web.pages["/a"] = response
    assert _reason(fetchers(max_bytes=10_000, max_redirects=2), f"{web.url}/a") == reason
    assert web.count("/a") == requests


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize(("limit", "least", "most"), [(2000.0, 700, 1000), (4.0, 4, 4)])
def test_retry_after_is_followed_within_bounds(
    as_date: bool, limit: float, least: float, most: float, web: Web, fetchers: Any
) -> None:
    waits: list[float] = []
    fetcher = fetchers(max_backoff_s=limit)
    fetcher._stop.wait = waits.append
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
    web.pages["/a"] = _failing(1, 503, **{"Retry-After": date if as_date else "1000"})
    assert fetcher.fetch(f"{web.url}/a", LinkState())[0] == b"bytes"
    assert least <= waits[0] <= most


def test_a_download_cut_off_is_tried_again(web: Web, fetchers: Any) -> None:
    responses = iter([Response(b"by", claimed_length=5), Response(b"bytes")])
    web.pages["/a"] = lambda _: next(responses)
    assert fetchers().fetch(f"{web.url}/a", LinkState())[0] == b"bytes"


def test_redirects_are_followed(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(status=302, headers={"Location": "/b"})
    web.pages["/b"] = Response(status=301, headers={"Location": f"{web.url}/c"})
    web.pages["/c"] = Response(b"bytes")
    assert fetchers(max_redirects=2).fetch(f"{web.url}/a", LinkState())[0] == b"bytes"


def test_a_redirect_into_the_private_network_is_refused(web: Web, fetchers: Any) -> None:
    """The server is allowed by its name; where it redirects to is not."""
    port = web.url.rpartition(":")[2]
    web.pages["/a"] = Response(status=302, headers={"Location": f"http://127.0.0.1:{port}/secret"})
    web.pages["/secret"] = Response(b"secret")
    fetcher = fetchers(allow_private_addresses=False, private_hosts=["localhost"])
    assert _reason(fetcher, f"http://localhost:{port}/a") == "refused_address"
    assert web.count("/a") == 1
    assert web.count("/secret") == 0


def test_a_host_that_keeps_failing_is_left_alone(web: Web, fetchers: Any) -> None:
    fetcher = fetchers(retries=0, host_failures=3)
    for i in range(6):
        web.pages[f"/{i}"] = Response(status=500)
        assert _reason(fetcher, f"{web.url}/{i}") == "image_unavailable"
    assert len(web.requests) == 3


def test_a_server_that_drips_is_cut_off(web: Web, fetchers: Any) -> None:
    release = threading.Event()
    web.pages["/a"] = lambda _: Response(b"bytes" if release.wait(3) else b"late")
    started = time.monotonic()
    assert _reason(fetchers(timeout_s=0.2, retries=0), f"{web.url}/a") == "image_unavailable"
    release.set()
    assert time.monotonic() - started < 2.5


@pytest.mark.parametrize("url", ["http://exa mple/a", "http://x.example:99999/a", "http://./a"])
def test_addresses_that_are_none(url: str, fetchers: Any) -> None:
    assert _reason(fetchers(retries=0), url) in ("bad_link", "image_unavailable")


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "gzip;q=1"])
def test_an_encoding_that_cannot_be_bounded_is_refused(encoding: str, web: Web, fetchers: Any) -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    web.pages["/a"] = Response(bomb, headers={"Content-Encoding": encoding})
    assert _reason(fetchers(), f"{web.url}/a") == "image_http_error"


def test_a_compressed_answer_is_bounded_while_it_is_unpacked(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(gzip.compress(bytes(50_000_000)), headers=GZIP)
    fetcher = fetchers(max_bytes=1_000_000)
    tracemalloc.start()
    try:
        assert _reason(fetcher, f"{web.url}/a") == "image_oversized"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_validators_are_bytes(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(b"bytes", headers={"ETag": '"\xe9t\xe9"'})
    fetcher = fetchers()
    data, known = fetcher.fetch(f"{web.url}/a", LinkState())
    assert (data, known.etag) == (b"bytes", '"\xe9t\xe9"')
    assert fetcher.fetch(f"{web.url}/a", known) == (None, known)


def test_a_length_of_many_digits_is_no_length(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(b"bytes", headers={"Content-Length": "9" * 5000})
    assert _reason(fetchers(retries=0), f"{web.url}/a") in ("image_oversized", "image_unavailable")


def test_headers_that_trickle_end_at_the_deadline(fetchers: Any) -> None:
    started = time.monotonic()
    with trickling(b"HTTP/1.1 200 OK\r\nX-Slow: ") as url:
        assert _reason(fetchers(timeout_s=0.3, retries=0), url) == "image_unavailable"
    assert 0.5 < time.monotonic() - started < 5
