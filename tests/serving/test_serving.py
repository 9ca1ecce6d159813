"""The service as a process: its first line, address, keys and end; and what only a socket can send."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from recsys.config import Config
from recsys.errors import ConfigError
from recsys.serving import protocol
from recsys.serving.protocol import MAX_HEAD_BYTES
from recsys.serving.run import listen, require_keys, serve
from recsys.workspace import Workspace
from tests.search import shops
from tests.serving.conftest import Shop
from tests.serving.servers import served

RECSYS = [sys.executable, "-c", "from recsys.cli import main; main()"]


def recsys(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*RECSYS, *arguments], capture_output=True, text=True, check=False, **options)


# -- as a process ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process(text_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """`recsys serve` over a published shop, and the address it says."""
    folder = tmp_path_factory.mktemp("served")
    workspace = Workspace(folder / "workspace")
    shops.publish(shops.settings(text_model), workspace)
    (folder / "recsys.toml").write_text('[workspace]\nroot = "workspace"\n[search]\npoll_interval_s = 0.1\n')
    with subprocess.Popen(
        [*RECSYS, "--config", str(folder / "recsys.toml"), "serve", "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as started:  # fmt: skip
        assert started.stdout is not None
        first = started.stdout.readline()
        assert first.startswith("The page is at http://127.0.0.1:"), started.communicate(timeout=30)
        url = first.split()[4].rstrip("/")
        for _ in range(600):
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield started, url
        started.kill()


def test_it_serves_and_ends_when_what_was_begun_is_answered(process: tuple[Any, str]) -> None:
    started, url = process
    assert httpx.get(f"{url}/").headers["content-type"].startswith("text/html")
    assert httpx.get(f"{url}/v1/products/p00/similar").json()["encoder"] == "encoders/e0"
    assert httpx.get(f"{url}/healthz").headers.get("server") is None
    body = json.dumps({"like": ["p00"]}).encode()
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST /v1/search HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:5])
        time.sleep(0.3)
        started.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/healthz")
        connection.sendall(body[5:])
        response = b""
        while chunk := connection.recv(65536):
            response += chunk
    assert response.startswith(b"HTTP/1.1 200 OK")
    assert b'"items":[{"id":' in response
    _, log = started.communicate(timeout=60)
    assert started.returncode in (0, -signal.SIGTERM), log
    assert "Traceback" not in log
    assert "POST /v1/search 200" in log


def test_a_door_that_stands_open_is_refused(tmp_path: Path) -> None:
    done = recsys(
        "serve", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, env={**os.environ, "PWD": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "need no key" in done.stderr
    assert "recsys key --name shop --role read" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "shop.example", ""])
def test_only_loopback_needs_no_keys(host: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        require_keys(Config.model_validate({"search": {"host": host}}))
    key = {"name": "shop", "sha256": "0" * 64}
    require_keys(Config.model_validate({"search": {"host": host, "keys": [key]}}))
    require_keys(Config.model_validate({"search": {"host": "127.0.0.1"}}))


def test_an_address_that_is_taken_or_not_ours(workspace: Workspace) -> None:
    with listen("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: Address already in use"):
            serve(Config(), workspace, port=port)
    with pytest.raises(ConfigError, match="no-such-name"):
        listen("no-such-name.invalid", 0)


# -- over a socket ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    with served(shop.app(max_body_bytes=200_000)) as address:
        yield address


def sent(url: str, raw: bytes) -> bytes:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(raw)
        response = b""
        try:
            while chunk := connection.recv(65536):
                response += chunk
        except ConnectionResetError:
            pass
        return response


@pytest.mark.parametrize("raw", [b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01 TLS\r\n\r\n"])
def test_what_is_no_http_is_a_problem(url: str, raw: bytes) -> None:
    head, _, body = sent(url, raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/products?q=" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 4 * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_a_head_beyond_its_bound_is_refused(url: str, raw: bytes) -> None:
    head, _, body = sent(url, raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["type"] == "/docs#head-too-large"
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_several_requests_on_one_connection_are_counted_one_by_one(url: str) -> None:
    query = "x" * (MAX_HEAD_BYTES // 2)
    with httpx.Client(base_url=url) as client:
        for _ in range(4):
            assert client.get("/healthz", headers={"x": query}).status_code == 200


def test_a_body_beyond_its_bound_ends_the_connection(url: str) -> None:
    head = b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    said = sent(url, head + b"content-length: 300000\r\n\r\n" + b"x" * 1000)
    assert said.startswith(b"HTTP/1.1 413 ")
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    streamed = sent(url, head + b"transfer-encoding: chunked\r\n\r\n" + chunk * 14)
    assert streamed.startswith(b"HTTP/1.1 413 ")


def test_ids_come_through_as_they_were_sent(url: str) -> None:
    for raw, id in ((b"%2541", "%41"), (b"a%2Fb", "a/b"), (b"%C3%A4", "ä")):
        response = sent(
            url, b"GET /v1/products/" + raw + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        assert response.startswith(b"HTTP/1.1 404 ")
        assert repr(id) in json.loads(response.partition(b"\r\n\r\n")[2])["detail"]


def test_a_client_that_goes_before_it_has_said_everything_is_no_failure(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    address = urlsplit(url)
    head = b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head + b'content-length: 1000\r\n\r\n{"like"')
        time.sleep(0.2)
    for _ in range(100):
        said = [r for r in caplog.records if "/v1/search" in r.getMessage()]
        if said:
            break
        time.sleep(0.05)
    assert [r.levelname for r in said] == ["INFO"]
    assert " 499 " in said[0].getMessage()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


# -- connections and time --------------------------------------------------------------------------

SEARCH = (
    b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\n"
    b"content-type: application/json\r\ncontent-length: 1000\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"


def connected(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def read_all(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of what comes until the service closes the connection."""
    said = b""
    while chunk := connection.recv(65536):
        said += chunk
    head, _, body = said.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (HEALTH, b"408"),
        (SEARCH + b'x-api-key: key-rita\r\n\r\n{"like"', b"408"),
        (SEARCH + b"x-api-key: nope\r\n\r\n{", b"401"),  # answered already; the rest of it is not awaited
        (b"", b""),
    ],
)
def test_a_request_that_does_not_come_ends_its_connection(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, begun: bytes, status: bytes
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT_S", 0.5)
    with served(shop.app(keys={"rita": "read"})) as url, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(url)) for _ in range(50)]
        for connection in connections:
            connection.sendall(begun)
        for connection in connections:
            head, body = read_all(connection)
            assert head[9:12] == status
            if status == b"408":
                assert json.loads(body)["type"] == "/docs#request-timeout"


def test_an_empty_line_does_not_keep_an_idle_connection(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT_S", 0.5)
    with served(shop.app()) as url, connected(url) as connection:
        connection.sendall(HEALTH + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\nok\n"):
            answer += connection.recv(65536)
        connection.sendall(b"\r\n")
        assert read_all(connection) == (b"", b"")


@pytest.mark.parametrize(("min_bytes_per_s", "status"), [(10, b"200"), (1_000_000, b"408")])
def test_a_body_may_be_slow_and_may_not_trickle(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, min_bytes_per_s: int, status: bytes
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_TIMEOUT_S", 0.5)
    monkeypatch.setattr(protocol, "MIN_BODY_BYTES_PER_S", min_bytes_per_s)
    body = json.dumps({"like": ["p00"]}).encode().ljust(1000)
    with served(shop.app()) as url, connected(url) as connection:
        connection.sendall(SEARCH + b"connection: close\r\n\r\n" + body[:100])
        for start in range(100, 1000, 100):
            connection.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                assert connection.recv(3, socket.MSG_PEEK)
                break
            connection.sendall(body[start : start + 100])
        connection.settimeout(20)
        head, _ = read_all(connection)
    assert head[9:12] == status


def test_connections_beyond_their_number_are_refused(shop: Shop) -> None:
    with served(shop.app(max_connections=10)) as url, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(url)) for _ in range(10)]
        for connection in held:  # all are there once each has its answer
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connected(url) as one_more:
            head, body = read_all(one_more)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in head.lower()
        assert "search.max_connections" in json.loads(body)["fix"]
        held[0].close()
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/healthz").status_code == 200:
                    return
            time.sleep(0.05)
        pytest.fail("a connection that ended still counts")


@pytest.mark.parametrize(
    ("proxies", "secure"), [(["127.0.0.0/8"], True), (["127.0.0.1", "10.0.0.0/8"], False)]
)
def test_the_cookie_is_secure_behind_a_proxy_that_is_trusted(
    shop: Shop, proxies: list[str], secure: bool
) -> None:
    app = shop.app(keys={"rita": "read"}, trusted_proxies=proxies)
    proxy = httpx.HTTPTransport(local_address="127.0.0.2")
    with served(app) as url, httpx.Client(transport=proxy, headers={"X-Forwarded-Proto": "https"}) as client:
        response = client.post(f"{url}/login", data={"key": "key-rita"})
    assert response.status_code == 303
    assert ("Secure" in response.headers["set-cookie"]) is secure
