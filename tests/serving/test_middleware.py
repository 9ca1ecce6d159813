"""What every request passes: host names, headers, problems, metrics, the access log."""

import logging
import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from recsys.errors import ConfigError, TransientError
from recsys.serving import dependencies
from tests.serving.conftest import Client, Shop
from tests.serving.test_limits import refused

PATHS = (
    "/",
    "/docs",
    "/openapi.json",
    "/healthz",
    "/v1/status",
    "/v1/products/p00/similar",
    "/nope",
    "/login",
)


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert policy["script-src"].split()[0] == "'self'"
    assert "unsafe" not in policy["script-src"]
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
    assert {"referrer-policy", "permissions-policy", "cache-control"} <= headers.keys()
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])


@pytest.mark.parametrize(
    ("host", "admitted"),
    [("localhost", True), ("localhost:8000", True), ("127.0.0.1:8000", True), ("[::1]:8000", True),
     ("LOCALHOST", True), ("shop.example", True), ("evil.example", False), ("localhost.evil.example", False),
     ("", False), ("10.0.0.5", False), ("[::1", False)],
)  # fmt: skip
def test_only_its_own_names(shop: Shop, host: str, admitted: bool) -> None:
    with TestClient(shop.app(hosts=["Shop.Example"]), base_url="http://localhost") as client:
        response = client.get("/v1/status", headers={"host": host})
        if admitted:
            assert response.status_code == 200
        else:
            assert "search.hosts" in refused(response, 400, repr(host))["fix"]
            assert client.get("/healthz", headers={"host": host}).status_code == 200  # probes go by address


def test_on_every_address_it_goes_by_addresses_but_not_by_names(shop: Shop) -> None:
    with TestClient(shop.app(host="0.0.0.0"), base_url="http://localhost") as client:
        for host in ("10.0.0.5:8000", "[fd00::1]:8000", "localhost"):
            assert client.get("/v1/status", headers={"host": host}).status_code == 200
        refused(client.get("/v1/status", headers={"host": "evil.example"}), 400)


def test_unknown_paths_and_methods_are_problems(client: TestClient) -> None:
    assert refused(client.get("/v1/nope"), 404)["type"] == "/docs#not-found"
    refused(client.get("/v1/products/p00/"), 404)
    put = client.put("/v1/rules")
    assert refused(put, 405)["type"] == "/docs#method-not-allowed"
    assert put.headers["allow"] == "GET, POST"
    assert client.post("/v1/rules/1").headers["allow"] == "DELETE, GET, PATCH"
    refused(client.post("/healthz"), 405)


def test_a_failure_of_ours_is_a_problem_with_an_id(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = shop.app()

    def fails() -> None:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr(app.state.services.store, "rules", lambda **_: fails())
    with TestClient(app, base_url="http://localhost") as client, caplog.at_level(logging.ERROR):
        response = client.get("/v1/rules")
    problem = refused(response, 500)
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "the cause" not in response.text
    record = next(r for r in caplog.records if problem["request_id"] in r.getMessage())
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError
    assert "content-security-policy" in response.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [(TransientError("Not now.", fix="Wait."), 503), (ConfigError("Wrong.", fix="Mend it."), 500)],
)
def test_our_errors_keep_their_words(shop: Shop, error: Exception, status: int) -> None:
    app = shop.app()

    async def fails(request: Request) -> None:
        raise error

    app.add_api_route("/fails", fails)
    with TestClient(app, base_url="http://localhost") as client:
        response = client.get("/fails")
        problem = refused(response, status)
        assert [problem["detail"], problem["fix"]] == list(error.args)
        assert ("retry-after" in response.headers) == (status == 503)


def test_every_request_is_one_line_in_the_log(as_: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "recsys.serving.access"):
        response = as_("rita").get("/v1/products/p00%0Dforged/similar?limit=3")
        as_().get("/v1/status")
    lines = [r.getMessage() for r in caplog.records if r.name == "recsys.serving.access"]
    assert re.fullmatch(
        rf"GET /v1/products/p00%0Dforged/similar 404 \d+\.\d ms, \d+ bytes, rita, "
        rf"{response.headers['x-request-id']}",
        lines[0],
    )
    assert lines[1].startswith("GET /v1/status 401 ")
    assert ", -, " in lines[1]


def test_requests_are_counted(shop: Shop) -> None:
    with TestClient(shop.app(), base_url="http://localhost") as client:
        for _ in range(3):
            client.get("/v1/products/p00/similar")
        client.get("/v1/products/nope/similar")
        client.get("/x/1")
        client.get("/x/2")
        text = client.get("/metrics").text
    for line in (
        'recsys_http_requests_total{method="GET",route="/v1/products/{id}/similar",status="200"} 3.0',
        'recsys_http_requests_total{method="GET",route="/v1/products/{id}/similar",status="404"} 1.0',
        'recsys_http_requests_total{method="GET",route="other",status="404"} 2.0',
        'recsys_http_request_seconds_count{route="/v1/products/{id}/similar"} 4.0',
        'recsys_search_step_seconds_count{step="find"} 3.0',
        'recsys_live_info{collection="products__e1',
        "recsys_ready 1.0",
        "recsys_encoder_loaded 1.0",
    ):
        assert line in text
    assert 0 <= float(re.findall(r"^recsys_live_age_seconds (\S+)$", text, re.MULTILINE)[0]) < 3600


def test_the_figures_of_the_last_night_are_gauges_and_damage_takes_nothing_else_away(shop: Shop) -> None:
    figures = {"churn": {"value": 0.4, "low": 0.3, "high": 0.5}, "hubness": {"value": 2.5, "low": None}}
    night = {
        "at": "2026-11-29T01:40:00+00:00", "figures": figures, "unusual": {"churn": "a sentence"},
        "usual": {"churn": {"median": 0.02, "limit": 0.07}, "hubness": {"median": None, "limit": None}},
    }  # fmt: skip
    gauges = {
        'recsys_vectors{figure="churn"} 0.4',
        'recsys_vectors{figure="hubness"} 2.5',
        'recsys_vectors_limit{figure="churn"} 0.07',
        'recsys_vectors_unusual{figure="churn"} 1.0',
        'recsys_vectors_unusual{figure="hubness"} 0.0',
        "recsys_vectors_timestamp_seconds 1.7959164e+09",
    }
    pointer = Path(shop.workspace.root) / "pointers" / "monitoring.json"
    with TestClient(shop.app(), base_url="http://localhost") as client:
        assert "recsys_vectors" not in client.get("/metrics").text  # no night yet
        shop.workspace.write_pointer("monitoring", night)
        try:
            lines = client.get("/metrics").text.splitlines()
            assert {line for line in lines if line.startswith("recsys_vectors")} == gauges
            texts = []
            for damaged in ("{", "{}", '{"at": 1}'):
                pointer.write_text(damaged)
                texts.append(client.get("/metrics").text)
        finally:
            pointer.unlink()
    for text in texts:
        assert "recsys_vectors" not in text
        assert "recsys_ready 1.0" in text


def test_too_much_waiting_is_refused_at_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "MAX_WAITING_PER_THREAD", 0)
    for response in (client.post("/v1/search", json={"text": "red"}), client.get("/v1/rules")):
        refused(response, 503, "waiting")
        assert response.headers["retry-after"] == "1"
    assert client.get("/v1/products/p00/similar").status_code == 200  # by id it is still answered


@pytest.mark.parametrize("path", ["/", "/v1/products/p00", "/healthz", "/static/any/theme.js"])
def test_head_answers_as_get_without_a_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) > 0


def test_long_responses_are_compressed_and_images_are_not(client: TestClient) -> None:
    packed = client.get("/v1/products/p00/similar", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    image = packed.json()["items"][0]["product"]["image"]
    assert "content-encoding" not in client.get(image, headers={"Accept-Encoding": "gzip"}).headers
