"""Downloads: conditional, bounded, retried where that helps, refused where it must be."""

import gzip
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from recsys.catalog.fetch import Fetched, Fetcher, Validators
from recsys.config.catalog import ImagesConfig
from recsys.workspace.normalise import ImageError
from tests.catalog.web import Request, Response, Web


@pytest.fixture
def fetchers() -> Iterator[Any]:
    made: list[Fetcher] = []

    def make(**settings: Any) -> Fetcher:
        defaults = {"allow_private_addresses": True, "backoff_s": 0.01, "timeout_s": 5, "retries": 2}
        made.append(Fetcher(ImagesConfig.model_validate(defaults | settings)))
        return made[-1]

    yield make
    for fetcher in made:
        fetcher.close()


def _reason(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(ImageError) as caught:
        fetcher.fetch(url)
    return caught.value.reason


def test_an_image_and_its_validators(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(
        b"bytes", headers={"ETag": '"1"', "Last-Modified": "Sun, 31 May 2026 04:00:00 GMT"}
    )
    expected = Validators('"1"', "Sun, 31 May 2026 04:00:00 GMT")
    assert fetchers().fetch(f"{web.url}/a") == Fetched(b"bytes", expected)


def test_an_unchanged_image_is_not_sent_again(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(b"bytes", headers={"ETag": '"1"'})
    again = fetchers().fetch(f"{web.url}/a", Validators('"1"', "Sun, 31 May 2026 04:00:00 GMT"))
    assert again.data is None
    assert web.requests[0].headers["if-modified-since"] == "Sun, 31 May 2026 04:00:00 GMT"


def _failing(times: int, status: int = 503, **headers: str) -> Any:
    left = [times]

    def respond(_: Request) -> Response:
        left[0] -= 1
        return Response(status=status, headers=headers) if left[0] >= 0 else Response(b"bytes")

    return respond


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_failures_that_may_pass_are_tried_again(status: int, web: Web, fetchers: Any) -> None:
    web.pages["/a"] = _failing(2, status)
    assert fetchers(retries=2).fetch(f"{web.url}/a").data == b"bytes"
    assert web.count("/a") == 3
    web.pages["/b"] = _failing(9, status)
    assert _reason(fetchers(retries=2), f"{web.url}/b") == "image_unavailable"
    assert web.count("/b") == 3


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "image_not_found"), (410, "image_not_found"), (403, "image_http_error")]
)
def test_failures_that_stay_are_not(status: int, reason: str, web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(status=status)
    assert _reason(fetchers(), f"{web.url}/a") == reason
    assert web.count("/a") == 1


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
    assert fetcher.fetch(f"{web.url}/a").data == b"bytes"
    assert least <= waits[0] <= most


def test_a_download_cut_off_is_tried_again(web: Web, fetchers: Any) -> None:
    responses = iter([Response(b"by", claimed_length=5), Response(b"bytes")])
    web.pages["/a"] = lambda _: next(responses)
    assert fetchers().fetch(f"{web.url}/a").data == b"bytes"


def test_size_is_bounded_by_content_length_and_by_the_bytes(web: Web, fetchers: Any) -> None:
    web.pages["/said"] = Response(b"", claimed_length=50_000)
    web.pages["/gzip"] = Response(gzip.compress(b"0" * 100_000), headers={"Content-Encoding": "gzip"})
    fetcher = fetchers(max_bytes=10_000)
    assert _reason(fetcher, f"{web.url}/said") == "image_oversized"
    assert _reason(fetcher, f"{web.url}/gzip") == "image_oversized"


def test_redirects_are_followed_a_few_times(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(status=302, headers={"Location": "/b"})
    web.pages["/b"] = Response(status=301, headers={"Location": f"{web.url}/c"})
    web.pages["/c"] = Response(b"bytes")
    web.pages["/loop"] = Response(status=307, headers={"Location": "/loop"})
    fetcher = fetchers(max_redirects=2)
    assert fetcher.fetch(f"{web.url}/a").data == b"bytes"
    assert _reason(fetcher, f"{web.url}/loop") == "too_many_redirects"
    assert web.count("/loop") == 3


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x.example/a", "gopher://x"])
def test_redirects_lead_to_http_only(location: str, web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(status=302, headers={"Location": location})
    assert _reason(fetchers(), f"{web.url}/a") == "bad_link"


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

    def slow(_: Request) -> Response:
        release.wait(3)
        return Response(b"bytes")

    web.pages["/a"] = slow
    started = time.monotonic()
    assert _reason(fetchers(timeout_s=0.2, retries=0), f"{web.url}/a") == "image_unavailable"
    release.set()
    assert time.monotonic() - started < 2.5


def test_malformed_responses_cost_their_image_only(web: Web, fetchers: Any) -> None:
    web.pages["/gzip"] = Response(b"not gzip", headers={"Content-Encoding": "gzip"})
    web.pages["/hop"] = Response(status=302, headers={"Location": "//[::1"})
    fetcher = fetchers(retries=0)
    assert _reason(fetcher, f"{web.url}/gzip") == "image_unavailable"
    assert _reason(fetcher, f"{web.url}/hop") in ("bad_link", "image_unavailable")


def test_cookies_are_not_kept(web: Web, fetchers: Any) -> None:
    web.pages["/a"] = Response(b"bytes", headers={"Set-Cookie": "track=1"})
    fetcher = fetchers()
    fetcher.fetch(f"{web.url}/a")
    fetcher.fetch(f"{web.url}/a")
    assert all("cookie" not in request.headers for request in web.requests)


@pytest.mark.parametrize("url", ["http://exa mple/a", "http://x.example:99999/a", "http://./a"])
def test_addresses_that_are_none(url: str, fetchers: Any) -> None:
    assert _reason(fetchers(retries=0), url) in ("bad_link", "image_unavailable")
