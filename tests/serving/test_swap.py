"""The alias moves under load: no request fails, and no answer mixes two encoders."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from recsys.config import Config
from recsys.encoder.model import ProductEncoder
from recsys.index import rollback
from recsys.search.live_index import LiveIndex
from recsys.serving.run import open_app
from recsys.workspace import Workspace
from tests.search import shops
from tests.search.test_live_index import until
from tests.serving.servers import served

SWAPS = 6
WORDS = "red thing"
TOLERANCE = 2e-4

Vectors = dict[str, np.ndarray]


class Truth:
    """What each encoder would say, from the vectors of its collection and from itself."""

    def __init__(self, live: LiveIndex, workspace: Workspace) -> None:
        self.halves: dict[str, Vectors] = {}
        self.words: dict[str, np.ndarray] = {}
        for info in live.kept():
            ref = info.metadata.encoder
            records = live.view(info.name).collection.records(with_vectors=True)
            self.halves[ref] = {
                r.id: r.vector.reshape(2, -1) * np.sqrt(2) for r in records if r.vector is not None
            }
            encoder = ProductEncoder.load(workspace.path(workspace.get(ref)))
            self.words[ref] = np.stack(encoder.embed_query(text=WORDS))

    def wrong(self, answer: dict[str, Any], asked: str | None) -> list[str]:
        """Return what is not as the encoder that the answer names would have it."""
        halves = self.halves[answer["encoder"]]
        query = halves[asked] if asked else self.words[answer["encoder"]]
        found = []
        for item in answer["items"]:
            image, text = np.einsum("md,md->m", halves[item["id"]], query).tolist()
            weight = answer["image_weight"]
            true = (weight * image + (1 - weight) * text, image, text)
            said = (item["score"], item["image_score"], item["text_score"])
            if not np.allclose(true, said, atol=TOLERANCE):
                found.append(f"{answer['encoder']} {asked or WORDS} → {item['id']}: {said}, truly {true}")
        return found


@pytest.fixture
def published(text_model: Path, workspace: Workspace) -> tuple[Config, Workspace]:
    config = shops.settings(text_model, poll_interval_s=0.02)
    shops.publish(config, workspace)
    shops.publish(config, workspace, seed=1)
    return config, workspace


def test_no_request_fails_and_no_answer_mixes_encoders(published: tuple[Config, Workspace]) -> None:
    config, workspace = published
    app = open_app(config, workspace)
    live: LiveIndex = app.state.services.live
    with served(app) as url:
        until(lambda: live.view().encoder_loaded)
        truth = Truth(live, workspace)
        assert len(truth.halves) == 2
        stop = threading.Event()
        seen: list[Counter[str]] = []
        problems: list[str] = []
        threads = [
            threading.Thread(target=load, args=(url, kind, truth, stop, seen, problems))
            for kind in (by_id, by_id, by_words, by_batch, by_get)
        ]
        for thread in threads:
            thread.start()
        for _ in range(SWAPS):
            before = live.num_swaps
            answered = sum(map(sum, (c.values() for c in seen)))
            rollback(config, workspace)
            until(lambda before=before: live.num_swaps > before)
            until(lambda answered=answered: sum(map(sum, (c.values() for c in seen))) > answered + 50)
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not problems, problems[:3]
    assert len(seen) == len(threads)
    for counted in seen:
        assert set(counted) == set(truth.halves), "each kind of question was answered by both encoders"


Ask = Callable[[httpx.Client, int], list[tuple[dict[str, Any], str | None]]]


def load(
    url: str, ask: Ask, truth: Truth, stop: threading.Event, seen: list[Counter[str]], problems: list[str]
) -> None:
    counted: Counter[str] = Counter()
    seen.append(counted)
    with httpx.Client(base_url=url, timeout=60) as client:
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                for answer, asked in ask(client, turn):
                    problems.extend(truth.wrong(answer, asked))
                    counted[answer["encoder"]] += 1
            except (httpx.HTTPError, AssertionError, KeyError) as error:
                problems.append(repr(error))


def good(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def by_id(client: httpx.Client, turn: int) -> list[tuple[dict[str, Any], str | None]]:
    id = f"p{turn % 24:02d}"
    return [(good(client.get(f"/v1/products/{id}/similar", params={"limit": 5, "explain": turn % 2})), id)]


def by_words(client: httpx.Client, turn: int) -> list[tuple[dict[str, Any], str | None]]:
    return [(good(client.post("/v1/search", json={"text": WORDS, "limit": 5})), None)]


def by_batch(client: httpx.Client, turn: int) -> list[tuple[dict[str, Any], str | None]]:
    body = good(client.post("/v1/batch", json={"ids": ["p00", "p07"], "limit": 3}))
    for answer in body["results"].values():
        assert answer["encoder"] == body["encoder"]
    return [(answer, id) for id, answer in body["results"].items()]


def by_get(client: httpx.Client, turn: int) -> list[tuple[dict[str, Any], str | None]]:
    for path in ("/v1/products/p03", "/v1/products?q=p0", "/v1/facets", "/v1/status", "/readyz"):
        assert client.get(path).status_code == 200
    answer = good(client.get("/v1/products/p03"))
    return [({**answer, "items": []}, None)]
