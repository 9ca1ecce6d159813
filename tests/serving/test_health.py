"""What those who run the service ask; the document and the page that shows it."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.search.live_index import LiveIndex
from recsys.serving import problems
from recsys.serving.app import create_app
from recsys.serving.responses import StatusAnswer
from recsys.workspace import Workspace
from tests.search import shops
from tests.search.test_live_index import until
from tests.serving.conftest import Shop
from tests.serving.test_limits import refused
from tests.serving.test_search import good


def test_status(client: TestClient, shop: Shop) -> None:
    answer = good(client.get("/v1/status"), StatusAnswer)
    assert (answer["ready"], answer["encoder_loaded"], answer["engine"]) == (True, True, "qdrant-edge")
    assert answer["collection"] == shop.live.view().collection.name
    assert answer["num_products"] == 24
    assert [(c["collection"], c["live"]) for c in answer["collections"]] == [
        (answer["collection"], True), (shop.old, False),
    ]  # fmt: skip
    assert "attributes.fit" in answer["indexed"]


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
        answer = good(client.get("/v1/status"), StatusAnswer)
        assert (answer["ready"], answer["collection"], answer["collections"]) == (False, None, [])
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
    assert not {"HTTPValidationError", "ValidationError"} & set(schemas)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert "422" not in statuses
            assert operation["summary"]
            if path.startswith("/v1/"):
                assert {"400", "401", "403", "503"} <= statuses, (method, path)
            if "requestBody" in operation:
                assert {"413", "415"} <= statuses, (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]


def test_the_document_says_whether_a_key_is_needed(keyed_app: FastAPI, client: TestClient) -> None:
    ways = [{"bearer": []}, {"header": []}, {"session": []}]
    assert keyed_app.openapi()["paths"]["/v1/search"]["post"]["security"] == ways
    open_one = client.get("/openapi.json").json()
    assert open_one["paths"]["/v1/search"]["post"]["security"] == [{}, *ways]
    assert "security" not in open_one["paths"]["/healthz"]["get"]


class Page(HTMLParser):
    """Collects what a page loads, runs and links to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.anchors: set[str] = set()
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.inline += [n for n in values if n == "style" or n.startswith("on")]
        self.inline += [tag] if tag in ("style", "script") and "src" not in values else []
        self.ids.add(values.get("id") or "")
        href = values.get("href") or ""
        if href.startswith("#"):
            self.anchors.add(href[1:])
        for name in ("src", "href"):
            if values.get(name) and tag != "a":
                self.loaded.append(values[name] or "")


def test_the_documentation_needs_nothing_from_elsewhere(client: TestClient) -> None:
    html = client.get("/docs").text
    page = Page(html)
    assert page.loaded == ["/docs/style.css"]
    assert not page.inline
    assert client.get("/docs/style.css").headers["content-type"].startswith("text/css")
    assert page.anchors <= page.ids
    assert {kind.name for kind in problems.KINDS} <= page.ids  # where a problem's type points
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in html
    for name in client.get("/openapi.json").json()["components"]["schemas"]:
        assert name in page.ids
