"""The command line, the page and HTTP: the same list for the same query, with rules acting."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.cli.conftest import Cli

PAGE = {
    "unlike": [], "image_weight": None, "filter": {}, "diversity": 0, "collapse_variants": True,
    "explain": True, "rules": True, "limit": 10,
}  # fmt: skip
"""What the page sends besides what is looked for."""


@pytest.fixture
def rules(client: TestClient) -> Iterator[None]:
    """A pin, a block, a boost and a bury, all active until the test ends."""
    near = [item["id"] for item in client.get("/v1/products/p00/similar").json()["items"]]
    bodies: list[dict[str, Any]] = [
        {"action": "pin", "target": "product", "target_value": "p60"},
        {"action": "block", "target": "product", "target_value": near[0]},
        {"action": "boost", "target": "brand", "target_value": "Bolt", "strength": 0.5},
        {"action": "bury", "target": "product", "target_value": near[1], "strength": 1},
    ]
    made = [client.post("/v1/rules", json=body).json()["id"] for body in bodies]
    yield
    for id in made:
        client.delete(f"/v1/rules/{id}")


def listed(items: list[dict[str, Any]]) -> list[tuple[str, float, list[str], bool]]:
    return [(i["id"], round(i["score"], 5), i["variants"], i["pinned"]) for i in items]


@pytest.mark.usefixtures("rules")
def test_the_command_line_the_page_and_http_list_the_same_products(client: TestClient, cli: Cli) -> None:
    http = client.get("/v1/products/p00/similar", params={"limit": 10}).json()
    page = client.post("/v1/search", json={**PAGE, "like": ["p00"]}).json()
    shell = json.loads(cli("similar", "p00", "--json").stdout)
    assert listed(http["items"]) == listed(page["items"]) == listed(shell)
    assert http["items"][0]["pinned"]
    assert any(item["variants"] for item in http["items"])
    assert page["explain"]["without_rules"] != [item["id"] for item in page["items"]]
    text = client.post("/v1/search", json={**PAGE, "text": "red thing"}).json()
    shell = json.loads(cli("search", "--text", "red thing", "--json").stdout)
    assert listed(text["items"]) == listed(shell)
    assert "p60  blue thing" not in cli("similar", "p00").stdout.splitlines()[2]
    assert "pinned" in cli("similar", "p00").stdout.splitlines()[1]
