"""A request that names the ETag of its answer: 304 while nothing changed that the answer comes from."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys.feedback.rules import Rule
from recsys.search.finder import Finder
from tests.serving.conftest import Shop
from tests.serving.test_limits import refused

PATHS = ("/v1/products/p00/similar?limit=5", "/v1/products/p00", "/v1/products/p00/similar?explain=true")


def again(client: TestClient, path: str, etag: str) -> int:
    return client.get(path, headers={"If-None-Match": etag}).status_code


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_that_the_client_has_is_not_made_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    first = client.get(path)
    assert first.headers["etag"].startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"

    def worked(*_: Any) -> None:
        raise AssertionError("the answer was made again")

    for method in ("search", "product"):
        monkeypatch.setattr(Finder, method, worked)
    second = client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == first.headers["etag"]


def test_it_is_made_again_once_anything_differs(client: TestClient, shop: Shop) -> None:
    path = PATHS[0]
    etag = client.get(path).headers["etag"]
    assert again(client, path, etag) == 304
    assert again(client, path.replace("5", "6"), etag) == 200
    assert again(client, path.replace("p00", "p01"), etag) == 200
    assert again(client, f"{path}&collection={shop.old}", etag) == 200
    with TestClient(shop.app(candidates=100), base_url="http://localhost") as other:
        assert again(other, path, etag) == 200
    rule = shop.store.add_rule(Rule(action="block", target="brand", target_value="Acme"), "maria")
    ruled = client.get(path, headers={"If-None-Match": etag})
    assert ruled.status_code == 200
    assert again(client, path, ruled.headers["etag"]) == 304
    shop.store.change_rule(rule.id, "maria", target_value="Bolt")
    assert again(client, path, ruled.headers["etag"]) == 200
    shop.store.retire_rule(rule.id, "maria")
    assert again(client, path, etag) == 304


def test_another_generation_is_another_answer(
    client: TestClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    etags = [client.get(path).headers["etag"] for path in PATHS]
    monkeypatch.setattr(type(shop.live.view()), "generation", "products__e1__s1@later")
    assert [again(client, path, etag) for path, etag in zip(PATHS, etags, strict=True)] == [200] * 3


def test_an_answer_made_while_the_index_changed_has_no_etag(
    client: TestClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = iter([shop.live.view(), shop.live.view(), shop.live.view(shop.old)])
    monkeypatch.setattr(shop.live, "view", lambda _=None: next(views))
    response = client.get("/v1/products/p00")
    assert response.status_code == 200
    assert "etag" not in response.headers


def test_refusals_and_searches_have_none(client: TestClient) -> None:
    refused(client.get("/v1/products/nope/similar", headers={"If-None-Match": "*"}), 404)
    found = client.post("/v1/search", json={"like": ["p00"]}, headers={"If-None-Match": "*"})
    assert found.status_code == 200
    assert "etag" not in found.headers
