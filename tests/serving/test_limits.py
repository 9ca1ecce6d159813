"""Every limit, exceeded: each is answered by a problem that says what was found and what to do."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from recsys.search import live_index
from recsys.serving import middleware
from recsys.serving.requests import MAX_FILTER_CONDITIONS, MAX_FILTER_VALUES, MAX_VALUE_LENGTH
from recsys.serving.responses import ProblemDetails
from tests.embedding.catalogs import make_image
from tests.serving.conftest import BOUNDS, Shop


def refused(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """Return the problem; its detail holds these words."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    ProblemDetails.model_validate(body)
    assert body["status"] == status
    assert body["type"].startswith("/docs#")
    assert body["fix"]
    assert all(word in body["detail"] for word in words), body["detail"]
    return body


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"like": ["p00"], "limit": 201}, ("limit", "200", "201")),
        ({"like": ["p00"], "limit": 0}, ("limit",)),
        ({"like": ["p00"], "limit": True}, ("limit",)),
        ({"like": ["p00"], "limit": "5"}, ("limit",)),
        ({"like": ["p00"], "offset": 801}, ("offset", "800")),
        ({"like": ["p00"], "offset": -1}, ("offset",)),
        ({"like": ["p00"], "diversity": 1.5}, ("diversity", "1.5")),
        ({"like": ["p00"], "image_weight": -0.1}, ("image_weight",)),
        ({"like": ["p"] * 51}, ("like", "50")),
        ({"like": ["p00"], "unlike": ["p"] * 51}, ("unlike", "50")),
        ({"like": ["x" * 257]}, ("like", "256")),
        ({"like": ["\x00"]}, ("like",)),
        ({"text": "x" * 501}, ("text", "500")),
        ({"text": " "}, ("text",)),
        ({"images": ["AAAA"] * 9}, ("images", "8")),
        ({}, ("nothing to look for",)),
        ({"unlike": ["p00"]}, ("nothing to look for",)),
        ({"like": ["p00"], "lmit": 5}, ("lmit",)),
        ({"like": ["p00"], "filter": {"nope": "x"}}, ("nope",)),
        ({"like": ["p00"], "filter": {"link": "x"}}, ("link",)),
        ({"like": ["p00"], "filter": {"price": "40"}}, ("price", "40")),
        ({"like": ["p00"], "filter": {"price": {"lte": "40"}}}, ("price",)),
        ({"like": ["p00"], "filter": {"brand": {"gte": 1}}}, ("brand", "array")),
        ({"like": ["p00"], "filter": {"brand": []}}, ("brand",)),
        ({"like": ["p00"], "filter": {"brand": ["x"] * (MAX_FILTER_VALUES + 1)}}, ("filter",)),
        ({"like": ["p00"], "filter": {"brand": "x" * (MAX_VALUE_LENGTH + 1)}}, ("filter",)),
        ({"like": ["p00"], "filter": {f"c{i}": "x" for i in range(MAX_FILTER_CONDITIONS + 1)}}, ("filter",)),
        ({"like": ["p00"], "filter": {"not": {"not": {"brand": "Acme"}}}}, ("filter",)),
        ({"like": ["p00"], "filter": ["brand"]}, ("filter",)),
    ],
)
def test_a_value_out_of_bounds(client: TestClient, body: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(client.post("/v1/search", json=body), 400, *words)


def test_an_unindexed_column_lists_the_indexed_ones(client: TestClient) -> None:
    body = refused(client.post("/v1/search", json={"like": ["p00"], "filter": {"link": "x"}}), 400)
    assert "brand, product_type" in body["fix"]
    assert "attributes.fit" in body["fix"]


def test_every_wrong_field_is_named(client: TestClient) -> None:
    body = refused(client.post("/v1/search", json={"like": "p00", "limit": 999, "colour": "red"}), 400)
    assert {e["field"] for e in body["errors"]} == {"like", "limit", "colour"}
    assert {e["found"] for e in body["errors"]} == {"'p00'", "999", "'red'"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=201", ("limit",)),
        ("limit=many", ("limit", "many")),
        ("offset=801", ("offset",)),
        ("diversity=2", ("diversity",)),
        ("filter={", ("filter",)),
        ("filter=[]", ("filter",)),
        ("filter=" + "[" * 3000, ("filter",)),
        ("filter=" + json.dumps({"brand": "x" * 50_000}), ("filter",)),
        ("imageweight=1", ("imageweight",)),
    ],
)
def test_a_parameter_out_of_bounds(client: TestClient, query: str, words: tuple[str, ...]) -> None:
    refused(client.get(f"/v1/products/p00/similar?{query}"), 400, *words)


@pytest.mark.parametrize(
    "path",
    ["/v1/products?limit=51", "/v1/products?q=" + "x" * 201, "/v1/facets?limit=201",
     "/v1/facets?columns=nope", "/v1/facets?" + "&".join(["columns=brand"] * 41), "/v1/rules?limit=501",
     "/v1/rules/0", "/v1/rules/2147483648", "/v1/judgements?offset=-1", "/v1/audit?before_id=0",
     "/v1/products/p00?lmit=1", "/images/nope", "/images/" + "a" * 64 + "?w=100"],
)  # fmt: skip
def test_what_else_is_out_of_bounds(client: TestClient, path: str) -> None:
    refused(client.get(path), 400)


def test_unknown_products_and_collections_are_not_found(client: TestClient) -> None:
    refused(client.post("/v1/search", json={"like": ["p00", "nope"]}), 404, "'nope'")
    refused(client.get("/v1/products/nope"), 404, "'nope'")
    refused(client.get("/v1/products/p00/similar?collection=nope"), 404, "'nope'")


def test_too_many_products_in_a_batch(shop: Shop) -> None:
    with TestClient(shop.app(max_batch=3), base_url="http://localhost") as client:
        refused(client.post("/v1/batch", json={"ids": ["a", "b", "c", "d"]}), 413, "4 products")
        assert client.post("/v1/batch", json={"ids": ["a", "b", "c"]}).status_code == 200
        document = client.get("/openapi.json").json()
        assert document["components"]["schemas"]["BatchRequest"]["properties"]["ids"]["maxItems"] == 3
    refused(client.post("/v1/batch", json={"ids": []}), 400, "ids")


# -- bodies ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(shop: Shop) -> Iterator[TestClient]:
    """A service that takes 20,000 bytes."""
    with TestClient(shop.app(max_body_bytes=20_000), base_url="http://localhost") as client:
        yield client


def test_a_body_that_says_it_is_too_large_is_not_read(narrow: TestClient) -> None:
    body = json.dumps({"text": "x" * 30_000})
    refused(narrow.post("/v1/search", content=body, headers={"content-type": "application/json"}), 413)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_turns_out_too_large_is_refused_as_it_comes(narrow: TestClient, kind: str) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        for _ in range(1000):
            sent += 1000
            yield b"x" * 1000

    response = narrow.post("/v1/search", content=chunks(), headers={"content-type": kind})
    refused(response, 413, "20,000 bytes")


def test_large_bodies_are_bounded_together_and_small_ones_are_answered(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "MAX_LARGE_BODIES", 1)
    large, small = json.dumps({"text": "x" * 120_000}), json.dumps({"like": ["p00"]})

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(shop.app(max_body_bytes=200_000))
        headers = {"content-type": "application/json"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as client:
            answers = []

            async def slow() -> AsyncIterator[bytes]:
                yield large[:-1].encode()
                answers.extend([await client.post("/v1/search", content=body) for body in (large, small)])
                yield large[-1:].encode()

            answers.append(await client.post("/v1/search", content=slow()))
            return [*answers, await client.post("/v1/search", content=large)]

    beyond, beside, *others = asyncio.run(ask())
    refused(beyond, 503, "hold 120,011 bytes")
    assert beyond.headers["retry-after"] == "2"
    assert beside.status_code == 200
    for answer in others:  # one that is read, and one once nothing is held
        refused(answer, 400, "text")


def test_bodies_without_images_have_a_lower_bound(client: TestClient) -> None:
    body = json.dumps({"ids": ["x" * 400] * 3000})
    assert len(body) > 1_000_000
    refused(client.post("/v1/batch", content=body, headers={"content-type": "application/json"}), 413)


@pytest.mark.parametrize(
    "body",
    ["", "{", "null", "[]", '"text"', "nan", '{"text": "x", "text": ', "[" * 100_000,
     '{"filter": ' + '{"not": ' * 5000, '{"text": "\\ud800"}', '{"like": ["p00"], "limit": 1e999}',
     '{"like": ["p00"], "limit": ' + "9" * 5000 + "}"],
)  # fmt: skip
def test_a_body_that_is_no_search(client: TestClient, body: str) -> None:
    response = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
    refused(response, 400)


@pytest.mark.parametrize("path", ["/v1/search", "/v1/batch", "/v1/rules", "/v1/judgements"])
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None])
def test_a_body_of_another_type(client: TestClient, path: str, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    refused(client.post(path, content='{"like": ["p00"]}', headers=headers), 415)


@pytest.mark.parametrize(
    "body",
    [b"", b"--x", b"--y\r\n\r\n--y--", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n--x--\r\n",
     b'--x\r\nContent-Disposition: form-data; name="nope"\r\n\r\nx\r\n--x--\r\n',
     b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{\r\n--x--\r\n',
     b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\nx\r\n' * 9 + b"--x--\r\n"],
)  # fmt: skip
def test_a_form_that_cannot_be_read(client: TestClient, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    refused(client.post("/v1/search", content=body, headers=headers), 400)


# -- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, ()),
        (b"%PDF-1.7", 415, ()),
        (b"not an image", 415, ()),
        (make_image(1)[: len(make_image(1)) // 2], 400, ()),
        (png(1001, 1000), 413, ("1001 × 1000",)),
        (make_image(1) + b"\0" * BOUNDS["max_bytes"], 413, ("bytes",)),
    ],
)
def test_a_image_that_is_none_or_too_large(
    client: TestClient, raw: bytes, status: int, words: tuple[str, ...]
) -> None:
    refused(client.post("/v1/search", json={"images": [b64(raw)]}), status, *words)
    named = ("innocent.jpg", raw, "image/jpeg")  # neither name nor type is believed
    refused(client.post("/v1/search", files={"images": named}), status, *words)


def test_a_image_that_is_no_base64(client: TestClient) -> None:
    for text in ("!!!", "data:image/png;base64,!", "data:text/plain,hello", "AAA"):
        refused(client.post("/v1/search", json={"images": [text]}), 400, "base64")


def test_an_image_that_finds_every_decoder_busy_may_come_again(
    client: TestClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_index, "_DECODER_WAIT_S", 0.01)
    idle = shop.live._decoders._idle
    workers = [idle.get() for _ in range(idle.qsize())]
    try:
        response = client.post("/v1/search", json={"images": [b64(make_image(1))]})
    finally:
        for worker in workers:
            idle.put(worker)
    refused(response, 503, "decoders are busy")
    assert response.headers["retry-after"] == "2"
