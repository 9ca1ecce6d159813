"""The alias moves under load: no request fails, and no response mixes two encoders."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from recsys.encoder.model import ProductEncoder
from recsys.index import rollback, status
from recsys.search.live_index import LiveIndex
from recsys.serving.run import open_app
from recsys.workspace import Workspace
from tests.search import shops
from tests.search.test_live_index import until
from tests.serving.servers import served

SWAPS = 6
WORDS = "red thing"
Response = dict[str, Any]
Ask = Callable[[httpx.Client, int], Iterator[tuple[Response, str | None]]]


class Truth:
    """What each encoder would say, from the vectors of its collection and from itself."""

    def __init__(self, live: LiveIndex, workspace: Workspace) -> None:
        self.num_checked = 0
        self.halves: dict[str, dict[str, np.ndarray]] = {}
        self.words: dict[str, np.ndarray] = {}
        for info in live.kept():
            ref = info.metadata.encoder
            points = live.view(info.name).collection.records(with_vectors=True)
            self.halves[ref] = {
                p.id: p.vector.reshape(2, -1) * np.sqrt(2) for p in points if p.vector is not None
            }
            encoder = ProductEncoder.load(workspace.path(workspace.get(ref)))
            self.words[ref] = np.stack(encoder.embed_query(text=WORDS))

    def check(self, response: Response, product_id: str | None) -> None:
        """Fail where a score is not what the encoder that the response names would give."""
        ref, weight = response["encoder"], response["image_weight"]
        query = self.halves[ref][product_id] if product_id else self.words[ref]
        for item in response["items"]:
            image, text = np.einsum("md,md->m", self.halves[ref][item["id"]], query).tolist()
            expected = (weight * image + (1 - weight) * text, image, text)
            found = (item["score"], item["image_score"], item["text_score"])
            assert np.allclose(expected, found, atol=2e-4), (ref, product_id, item["id"], found, expected)
        self.num_checked += 1


def test_no_request_fails_and_no_response_mixes_encoders(text_model: Path, workspace: Workspace) -> None:
    config = shops.settings(text_model, poll_interval_s=0.02)
    shops.publish(config, workspace)
    shops.publish(config, workspace, seed=1)
    app = open_app(config, workspace)
    live: LiveIndex = app.state.services.live
    stop = threading.Event()
    with served(app) as url, ThreadPoolExecutor() as pool:
        until(lambda: live.view().encoder_loaded)
        truth = Truth(live, workspace)
        kinds = (by_id, by_id, by_words, by_batch, by_get)
        loads = [pool.submit(load, url, kind, truth, stop) for kind in kinds]
        try:
            for _ in range(SWAPS):
                swaps, checked = live.num_swaps, truth.num_checked
                (other,) = status(config, workspace)["previous"]
                rollback.run(config, workspace, other["collection"], snapshot_ref=None)
                until(lambda swaps=swaps: live.num_swaps > swaps)
                until(lambda checked=checked: truth.num_checked > checked + 50)
        finally:
            stop.set()
        assert len(truth.halves) == 2
        for counted in (one.result(60) for one in loads):
            assert set(counted) == set(truth.halves), "each kind of request was answered by both encoders"


def load(url: str, ask: Ask, truth: Truth, stop: threading.Event) -> Counter[str]:
    """Ask and check until told to stop; return how often each encoder answered."""
    counted: Counter[str] = Counter()
    with httpx.Client(base_url=url, timeout=60) as client:
        while not stop.is_set():
            for response, product_id in ask(client, counted.total()):
                truth.check(response, product_id)
                counted[response["encoder"]] += 1
    return counted


def good(response: httpx.Response) -> Response:
    assert response.status_code == 200, response.text
    body: Response = response.json()
    return body


def by_id(client: httpx.Client, turn: int) -> Iterator[tuple[Response, str | None]]:
    id = f"p{turn % 24:02d}"
    yield good(client.get(f"/v1/products/{id}/similar", params={"limit": 5, "explain": turn % 2})), id


def by_words(client: httpx.Client, turn: int) -> Iterator[tuple[Response, str | None]]:
    yield good(client.post("/v1/search", json={"text": WORDS, "limit": 5})), None


def by_batch(client: httpx.Client, turn: int) -> Iterator[tuple[Response, str | None]]:
    body = good(client.post("/v1/batch", json={"ids": ["p00", "p07"], "limit": 3}))
    for id, response in body["results"].items():
        assert response["encoder"] == body["encoder"]
        yield response, id


def by_get(client: httpx.Client, turn: int) -> Iterator[tuple[Response, str | None]]:
    for path in ("/v1/products?q=p0", "/v1/facets", "/v1/status", "/readyz"):
        assert client.get(path).status_code == 200
    yield {**good(client.get("/v1/products/p03")), "image_weight": 0.5, "items": []}, None
