"""Searching through HTTP: what is asked comes back, as the document says, and from one collection."""

import base64
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from recsys.feedback.rules import Rule
from recsys.serving import dependencies
from recsys.serving.responses import BatchResponse, SearchResponse
from tests.embedding.catalogs import make_image
from tests.serving.conftest import Shop


def ids(result: dict[str, Any]) -> list[str]:
    return [item["id"] for item in result["items"]]


def good(response: httpx.Response, model: type[BaseModel] = SearchResponse) -> dict[str, Any]:
    """Return the body; it says exactly what its model documents."""
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    documented = model.model_validate_json(response.content, strict=True)
    assert documented.model_dump(mode="json", exclude_unset=True) == body
    return body


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    return good(client.post("/v1/search", json=body))


def test_similar_to_a_product(client: TestClient, shop: Shop) -> None:
    result = good(client.get("/v1/products/p00/similar", params={"limit": 5, "image_weight": 0.3}))
    view = shop.live.view()
    assert result["encoder"] == view.encoder_ref == "encoders/e1"
    assert (result["snapshot"], result["collection"]) == (view.snapshot_ref, view.collection.name)
    assert result["image_weight"] == 0.3
    assert len(result["items"]) == 5
    assert "p00" not in ids(result)
    for item in result["items"]:
        assert item["score"] == pytest.approx(0.3 * item["image_score"] + 0.7 * item["text_score"], abs=1e-4)
        assert "explain" not in item
        assert {"id", "brand", "price", "product_type", "attributes", "link"} <= item["product"].keys()
        assert {"embedding_key", "row_hash", "modalities"}.isdisjoint(item["product"])
    assert "explain" not in result


def test_both_routes_say_the_same(client: TestClient) -> None:
    options: dict[str, Any] = {
        "limit": 4,
        "diversity": 0.4,
        "collapse_variants": False,
        "offset": 2,
        "image_weight": 0.8,
    }
    conditions = {"availability": "in_stock", "price": {"lte": 30}, "not": {"brand": ["Bolt"]}}
    by_get = good(
        client.get("/v1/products/p00/similar", params={**options, "filter": json.dumps(conditions)})
    )
    by_post = search(client, like=["p00"], filter=conditions, **options)
    assert by_get["items"]
    assert by_get | {"took_ms": 0} == by_post | {"took_ms": 0}
    assert {i["product"]["brand"] for i in by_get["items"]} == {"Acme"}
    assert all(i["product"]["price"] <= 30 for i in by_get["items"])


def test_variants_collapse_with_a_count(client: TestClient) -> None:
    collapsed = search(client, like=["p00"])
    assert all(i["num_variants"] == 1 + len(i["variants"]) for i in collapsed["items"])
    assert any(i["num_variants"] == 2 for i in collapsed["items"])
    assert all(i["num_variants"] == 1 for i in search(client, like=["p00"], collapse_variants=False)["items"])


def test_words_and_images_in_every_form(client: TestClient) -> None:
    raw = make_image(3)
    encoded = base64.b64encode(raw).decode()
    plain = search(client, images=[encoded], text="red thing", limit=3)
    as_url = search(client, images=[f"data:image/jpeg;base64,{encoded}"], text="red thing", limit=3)
    file = ("mug.jpg", raw, "application/octet-stream")
    form = {"query": json.dumps({"text": "red thing", "limit": 3})}
    as_form = good(client.post("/v1/search", data=form, files={"images": file}))
    assert plain["items"]
    assert ids(plain) == ids(as_url) == ids(as_form)
    alone = good(client.post("/v1/search", files=[("images", file), ("images", file)]))
    assert alone["image_weight"] > 0.5
    assert max(i["image_score"] for i in alone["items"]) == pytest.approx(1, abs=1e-3)


def test_a_image_part_without_a_file_name(client: TestClient) -> None:
    body = b"--x\r\nContent-Disposition: form-data; name=images\r\n\r\n" + make_image(3) + b"\r\n--x--\r\n"
    response = client.post(
        "/v1/search", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert max(i["image_score"] for i in good(response)["items"]) == pytest.approx(1, abs=1e-3)


def test_a_kept_collection_answers_with_its_own_encoder(client: TestClient, shop: Shop) -> None:
    old = search(client, text="red thing", collection=shop.old)
    assert (old["collection"], old["encoder"]) == (shop.old, "encoders/e0")
    assert search(client, text="red thing")["encoder"] == "encoders/e1"
    again = good(client.get("/v1/products/p00/similar", params={"collection": shop.old}))
    assert again["encoder"] == "encoders/e0"


def test_many_products_at_once(client: TestClient, shop: Shop) -> None:
    asked = {"ids": ["p03", "nope", "p00", "p03"], "limit": 3, "filter": {"brand": "Acme"}}
    result = good(client.post("/v1/batch", json=asked), BatchResponse)
    assert list(result["results"]) == ["p03", "nope", "p00"]
    assert result["results"]["nope"] is None
    assert result["missing"] == ["nope"]
    alone = search(client, like=["p03"], limit=3, filter={"brand": "Acme"})
    assert ids(result["results"]["p03"]) == ids(alone)
    assert result["collection"] == shop.live.view().collection.name


def test_an_id_may_hold_anything(client: TestClient) -> None:
    for id in ("a/b", "ä b", "x?y#z", "similar", "/similar"):
        response = client.get(f"/v1/products/{quote(id, safe='')}/similar")
        assert response.status_code == 404
        assert repr(id) in response.json()["detail"]


@pytest.mark.parametrize(
    ("light", "body"),
    [
        (True, {"like": ["p00"]}),
        (True, {"like": ["p00"], "limit": 50, "filter": {"brand": "Acme"}, "image_weight": 1.0}),
        (False, {"like": ["p00"], "limit": 51}),
        (False, {"like": ["p00"], "offset": 100}),
        (False, {"like": ["p00"], "diversity": 0.1}),
        (False, {"like": ["p00"], "explain": True}),
        (False, {"like": ["p00", "p01"]}),
        (False, {"like": ["p00"], "unlike": ["p01"]}),
        (False, {"text": "red"}),
    ],
)
def test_only_light_questions_are_answered_in_the_event_loop(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, light: bool, body: dict[str, Any]
) -> None:
    app = shop.app()
    given: list[Any] = []
    run = dependencies.run_sync
    monkeypatch.setattr(dependencies, "run_sync", lambda work: given.append(work) or run(work))
    with TestClient(app, base_url="http://localhost") as client:
        search(client, **body)
        assert bool(given) is not light
        for i in range(3):  # rules that boost make each question more than one
            shop.store.add_rule(Rule(action="boost", target="brand", target_value=f"brand {i}"), "maria")
        given.clear()
        search(client, **body)
        assert given
    elsewhere = shop.app(database="postgresql+psycopg://nowhere/x").state.services
    assert not elsewhere.in_event_loop  # rules are read over a network
