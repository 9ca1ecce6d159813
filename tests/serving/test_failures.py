"""What the service is built on fails: each answer says so, and what can still be answered is."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from recsys.config import Config
from recsys.feedback import rule_cache
from recsys.feedback.store import sqlite_file
from recsys.search.live_index import LiveIndex
from recsys.serving.app import create_app
from recsys.serving.responses import BatchResponse, SearchResponse, StatusResponse
from recsys.serving.run import open_app
from recsys.workspace import Workspace
from tests.search import shops
from tests.serving.conftest import Shop
from tests.serving.test_limits import refused
from tests.serving.test_search import good

BLOCK = {"action": "block", "target": "brand", "target_value": "Acme"}
NO_DATABASE = b"this was a database once" * 1000


@pytest.fixture(scope="module")
def published(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Workspace, str]:
    """A shop of its own, published twice, and the collection that is kept."""
    workspace = Workspace(tmp_path_factory.mktemp("failing"))
    old = shops.publish(shop.config, workspace)
    shops.publish(shop.config, workspace, seed=1)
    return shop.config, workspace, old


@pytest.fixture
def live(published: tuple[Config, Workspace, str]) -> Iterator[LiveIndex]:
    live = LiveIndex(*published[:2])
    live.refresh()
    yield live
    live.close()


def test_an_engine_that_panics_or_fails_is_unavailable(
    shop: Shop, published: tuple[Config, Workspace, str], live: LiveIndex
) -> None:
    config, workspace, old = published
    app = create_app(config, workspace, live=live, store=shop.store)
    with TestClient(app, base_url="http://localhost") as client:
        for path in workspace.local.rglob(f"{old}/**/vector_storage/vectors/status.dat"):
            path.write_bytes(b"")  # at which the engine panics when it loads a shard
        refused(client.get(f"/v1/products/p00/similar?collection={old}"), 503, "cannot be opened")
        assert client.get("/v1/products/p00/similar").status_code == 200
        live.view().collection.shard.close()
        for response in (
            client.get("/v1/products/p00/similar"),
            client.get("/v1/facets"),
            client.post("/v1/batch", json={"ids": ["p00"]}),
        ):
            refused(response, 503, "Qdrant Edge failed")


def test_a_damaged_database_leaves_search_without_rules(
    published: tuple[Config, Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, _ = published
    monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)  # every request looks again, and says the same
    sqlite_file(workspace).write_bytes(NO_DATABASE)
    with TestClient(open_app(config, workspace), base_url="http://localhost") as client:
        found = good(client.get("/v1/products/p00/similar"), SearchResponse)
        assert found["items"]
        assert "no rule acts" in found["notes"][0].lower()
        assert "is damaged" in found["notes"][0]
        assert found["notes"] == good(client.get("/v1/status"), StatusResponse)["notes"]
        assert found["notes"] == good(client.post("/v1/batch", json={"ids": ["p00"]}), BatchResponse)["notes"]
        assert "notes" not in client.get("/v1/products/p00/similar?rules=false").json()
        refused(client.post("/v1/rules", json=BLOCK), 503, "is damaged")
        refused(client.get("/v1/judgements"), 503, "is damaged")
        sqlite_file(workspace).unlink()
        good_rule = client.post("/v1/rules", json=BLOCK)
        assert good_rule.status_code == 201, good_rule.text
        found = good(client.get("/v1/products/p00/similar"), SearchResponse)
        assert "notes" not in found
        assert {item["product"]["brand"] for item in found["items"]} == {"Bolt"}


def test_a_database_damaged_meanwhile_leaves_the_rules_read_last(
    published: tuple[Config, Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, _ = published
    sqlite_file(workspace).unlink(missing_ok=True)
    app = open_app(config, workspace)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.post("/v1/rules", json=BLOCK).status_code == 201
        assert "notes" not in good(client.get("/v1/products/p00/similar"), SearchResponse)
        app.state.services.store.close()  # a connection that is open has read the pages it needs
        sqlite_file(workspace).write_bytes(NO_DATABASE)
        monkeypatch.setattr(rule_cache, "_POLL_INTERVAL_S", 0.0)
        found = good(client.get("/v1/products/p00/similar"), SearchResponse)
        assert "out of date" in found["notes"][0]
        assert {item["product"]["brand"] for item in found["items"]} == {"Bolt"}
