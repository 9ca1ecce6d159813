"""What those who run the service ask; the OpenAPI document and Swagger UI."""

import base64
import hashlib
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.search.live_index import LiveIndex
from recsys.serving import problems
from recsys.serving.app import create_app
from recsys.serving.responses import StatusResponse
from recsys.workspace import Workspace
from tests.search import shops
from tests.search.test_live_index import until
from tests.serving.conftest import Shop
from tests.serving.test_limits import refused
from tests.serving.test_search import good


def test_status(client: TestClient, shop: Shop) -> None:
    result = good(client.get("/v1/status"), StatusResponse)
    assert (result["ready"], result["encoder_loaded"], result["engine"]) == (True, True, "qdrant-edge")
    assert result["collection"] == shop.live.view().collection.name
    assert result["num_products"] == 24
    assert [(c["collection"], c["live"]) for c in result["collections"]] == [
        (result["collection"], True), (shop.old, False),
    ]  # fmt: skip
    assert "attributes.fit" in result["indexed"]


@pytest.fixture
def unpublished(shop: Shop, workspace: Workspace) -> Iterator[tuple[LiveIndex, FastAPI]]:
    live = LiveIndex(shop.config, workspace)
    live.start()
    yield live, create_app(shop.config, workspace, live=live, store=shop.store)
    live.close()


def test_before_anything_is_published(
    unpublished: tuple[LiveIndex, FastAPI], shop: Shop, workspace: Workspace
) -> None:
    live, app = unpublished
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/healthz").text == "ok\n"
        for path in ("/readyz", "/v1/products", "/v1/products/p00", "/v1/facets", f"/images/{'a' * 64}"):
            response = client.get(path)
            refused(response, 503, "Nothing is published" if path == "/readyz" else "Nothing was published")
            assert int(response.headers["retry-after"]) > 0
        refused(client.post("/v1/search", json={"text": "red"}), 503)
        refused(client.post("/v1/batch", json={"ids": ["p00"]}), 503)
        result = good(client.get("/v1/status"), StatusResponse)
        assert (result["ready"], result["collection"], result["collections"]) == (False, None, [])
        assert "recsys_ready 0.0" in client.get("/metrics").text
        shops.publish(shop.config, workspace)
        until(live.ready)
        assert client.get("/readyz").text == "ready\n"
        assert client.get("/v1/products/p00").status_code == 200


# -- the document ----------------------------------------------------------------------------------


def test_the_document_names_what_can_go_wrong(keyed_app: FastAPI) -> None:
    document = keyed_app.openapi()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    refs = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert refs <= set(schemas)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert "422" not in statuses
            if path.startswith("/v1/"):
                assert {"400", "401", "403", "503"} <= statuses, (method, path)
            if "requestBody" in operation:
                assert {"413", "415"} <= statuses, (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]


def test_swagger_ui_needs_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/docs")
    assert re.findall(r'(?:src|href)="([^"]+)"', response.text) == [
        "/docs/swagger-ui.css", "/favicon.ico", "/docs/swagger-ui-bundle.js",
    ]  # fmt: skip
    (script,) = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = response.headers["content-security-policy"]
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    for name, kind in (("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript")):
        assert client.get(f"/docs/{name}").headers["content-type"].startswith(kind)
    refused(client.get("/docs/main.py"), 400)
    for problem_type in problems.TYPES:  # where a problem's type points
        assert f"/docs#{problem_type.name}" in client.get("/openapi.json").json()["info"]["description"]
