"""The one limit of a product id, at its edge, from the feed to a judgement."""

import contextlib
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from recsys import config
from recsys.errors import InputError
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore
from recsys.workspace import open_workspace
from recsys.workspace.snapshot import Snapshot
from tests.cli.conftest import LONGEST_ID, Cli


def test_the_longest_id_goes_from_feed_to_index_search_rule_and_judgement(
    client: TestClient, cli: Cli
) -> None:
    assert client.get(f"/v1/products/{quote(LONGEST_ID)}").json()["product"]["id"] == LONGEST_ID
    similar = client.get(f"/v1/products/{quote(LONGEST_ID)}/similar").json()
    assert similar["items"]
    assert len(json.loads(cli("similar", LONGEST_ID, "--json").stdout)) == 10
    assert client.post("/v1/search", json={"like": [LONGEST_ID]}).json()["items"] == similar["items"]
    assert client.post("/v1/batch", json={"ids": [LONGEST_ID]}).json()["missing"] == []
    pin = {"action": "pin", "target": "product", "target_value": LONGEST_ID}
    made = client.post("/v1/rules", json={**pin, "scope": "product", "scope_value": "p00"}).json()
    assert client.get("/v1/products/p00/similar").json()["items"][0]["id"] == LONGEST_ID
    assert [r["id"] for r in client.get("/v1/rules", params={"product_id": LONGEST_ID}).json()["rules"]] == [
        made["id"]
    ]
    client.delete(f"/v1/rules/{made['id']}")
    judgement = {"left_id": LONGEST_ID, "right_id": "p00", "label": "similar"}
    judged = client.post("/v1/judgements", json=judgement)
    assert judged.status_code == 201
    assert LONGEST_ID in (judged.json()["left_id"], judged.json()["right_id"])
    client.delete(f"/v1/judgements/{judged.json()['id']}")


def test_one_character_more_is_refused_with_a_reason_everywhere(
    client: TestClient, cli: Cli, shop: Path
) -> None:
    too_long = LONGEST_ID + "𝕏"
    loaded = config.load(shop)
    workspace = open_workspace(loaded)
    snapshot = json.loads(cli("status", "--json").stdout)["snapshot"]
    rejected = Snapshot.open(workspace, snapshot).rejected().to_pylist()
    assert [(row["reason"], "256" in row["message"]) for row in rejected] == [("bad_id", True)]
    rule = {"action": "pin", "target": "product", "target_value": too_long}
    scoped = {**rule, "target_value": "p01", "scope": "product", "scope_value": too_long}
    judgement = {"left_id": too_long, "right_id": "p00", "label": "similar"}
    responses = [
        client.get(f"/v1/products/{quote(too_long)}"),
        client.get(f"/v1/products/{quote(too_long)}/similar"),
        client.post("/v1/search", json={"like": [too_long]}),
        client.post("/v1/search", json={"like": ["p00"], "unlike": [too_long]}),
        client.post("/v1/batch", json={"ids": [too_long]}),
        client.post("/v1/rules", json=rule),
        client.post("/v1/rules", json=scoped),
        client.get("/v1/rules", params={"product_id": too_long}),
        client.post("/v1/judgements", json=judgement),
        client.get("/v1/judgements", params={"product_id": too_long}),
    ]
    for response in responses:
        assert response.status_code == 400, response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert "256" in response.text
    with contextlib.closing(FeedbackStore.open(loaded, workspace)) as store:
        with pytest.raises(InputError, match="256"):
            store.add_rule(Rule(action="pin", target="product", target_value=too_long), "Maria")
        with pytest.raises(InputError, match="256"):
            store.judge("p00", too_long, "similar", "Maria")
        with pytest.raises(InputError, match="256"):
            store.rules(product_id=too_long)
