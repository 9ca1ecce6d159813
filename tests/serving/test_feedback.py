"""Rules and judgements through HTTP: made, changed, taken back, tried; what they do to the next search."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from recsys.serving.responses import PreviewResponse
from tests.serving.conftest import Client
from tests.serving.test_limits import refused
from tests.serving.test_search import ids, search


def made(client: TestClient, **rule: Any) -> dict[str, Any]:
    response = client.post("/v1/rules", json=rule)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/rules/{body['id']}"
    return body


def boost(client: TestClient, **rule: Any) -> dict[str, Any]:
    return made(client, action="boost", target="brand", target_value="Acme", **rule)


def test_a_rule_acts_on_the_next_answer_and_says_so(as_: Client) -> None:
    maria = as_("maria")
    before = ids(search(maria, like=["p00"], collapse_variants=False))
    last, first = before[-1], before[0]
    pin = made(maria, action="pin", target="product", target_value=last, scope="product", scope_value="p00",
               reason="Autumn")  # fmt: skip
    block = made(maria, action="block", target="product", target_value=first)
    result = search(maria, like=["p00"], collapse_variants=False, explain=True)
    assert ids(result)[0] == last
    assert result["items"][0]["pinned"]
    assert first not in ids(result)
    effect = {"rule_id": pin["id"], "action": "pin", "reason": "Autumn", "author": "maria", "shift": 0.0}
    assert result["items"][0]["explain"]["rules"] == [effect]
    assert result["items"][0]["explain"]["rank_without_rules"] == len(before) - 1
    assert result["explain"]["without_rules"] == before
    assert result["explain"]["blocked"] == [first]
    assert {r["rule_id"] for r in result["explain"]["rules"]} == {pin["id"], block["id"]}
    assert ids(search(maria, like=["p00"], collapse_variants=False, rules=False)) == before
    assert ids(search(maria, like=["p01"], collapse_variants=False))[0] != last  # the pin is for p00's page
    batch = maria.post("/v1/batch", json={"ids": ["p00"], "collapse_variants": False, "limit": 24}).json()
    assert ids(batch["results"]["p00"]) == ids(result)


def test_the_life_of_a_rule(as_: Client) -> None:
    maria = as_("maria")
    rule = boost(maria, strength=0.2, reason="Sale", expires_at="2999-01-01T00:00:00Z")
    assert (rule["author"], rule["strength"], rule["retired_at"]) == ("maria", 0.2, None)
    path = f"/v1/rules/{rule['id']}"
    assert maria.get(path).json() == rule
    changed = maria.patch(path, json={"strength": 0.3, "expires_at": None}).json()
    assert (changed["strength"], changed["expires_at"], changed["reason"]) == (0.3, None, "Sale")
    gone = maria.delete(path, params={"reason": "Over"}).json()
    assert gone["retired_by"] == "maria"
    assert rule["id"] not in [r["id"] for r in listed(maria)]
    assert rule["id"] in [r["id"] for r in listed(maria, include_past=True)]
    assert refused(maria.patch(path, json={"strength": 0.4}), 409)["fix"].endswith(f"{path}/restore.")
    back = maria.post(f"{path}/restore").json()
    assert (back["retired_at"], back["strength"]) == (None, 0.3)
    history = maria.get(f"{path}/history")
    entries = history.json()["entries"]
    assert [e["action"] for e in entries] == ["rule.restore", "rule.retire", "rule.change", "rule.add"]
    assert entries[1]["note"] == "Over"
    assert "judgement_id" not in entries[0]
    older = maria.get(f"{path}/history", params={"before_id": entries[1]["id"], "limit": 1}).json()
    assert older["entries"] == [entries[2]]


def listed(client: TestClient, **params: Any) -> list[dict[str, Any]]:
    response = client.get("/v1/rules", params=params)
    rules: list[dict[str, Any]] = response.json()["rules"]
    return rules


def test_own_rules_only_unless_admin(as_: Client) -> None:
    path = f"/v1/rules/{boost(as_('maria'))['id']}"
    nils, ada = as_("nils"), as_("ada")
    assert nils.get(path).status_code == 200
    for method, route in (("PATCH", path), ("DELETE", path), ("POST", f"{path}/restore")):
        refused(nils.request(method, route, json={"strength": 0.5}), 403, "maria's")
    assert ada.patch(path, json={"strength": 0.5}).json()["author"] == "maria"
    assert ada.delete(path).json()["retired_by"] == "ada"


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"action": "hide", "target": "brand", "target_value": "Acme"},
        {"action": "boost", "target": "brand", "target_value": ""},
        {"action": "boost", "target": "brand", "target_value": "x" * 501},
        {"action": "boost", "target": "brand", "target_value": "a\x00b"},
        {"action": "boost", "target": "product", "target_value": "x" * 257, "scope": "everywhere"},
        {"action": "pin", "target": "brand", "target_value": "Acme"},
        {"action": "boost", "target": "brand", "target_value": "Acme", "strength": 0},
        {"action": "boost", "target": "brand", "target_value": "Acme", "strength": 1.1},
        {"action": "boost", "target": "brand", "target_value": "Acme", "position": 1_000_001},
        {"action": "boost", "target": "brand", "target_value": "Acme", "scope": "category"},
        {"action": "boost", "target": "brand", "target_value": "Acme", "scope_value": "p00"},
        {"action": "boost", "target": "brand", "target_value": "Acme", "reason": "x" * 501},
        {"action": "boost", "target": "brand", "target_value": "Acme", "starts_at": "2026-01-01T00:00:00"},
        {"action": "boost", "target": "brand", "target_value": "Acme", "starts_at": 1_700_000_000},
        {"action": "boost", "target": "brand", "target_value": "Acme", "starts_at": "0100-01-01T00:00:00Z"},
        {"action": "boost", "target": "brand", "target_value": "Acme", "author": "somebody else"},
        {"action": "boost", "target": "brand", "target_value": "Acme",
         "starts_at": "2026-02-01T00:00:00Z", "expires_at": "2026-01-01T00:00:00Z"},
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit(as_: Client, rule: dict[str, Any]) -> None:
    maria = as_("maria")
    refused(maria.post("/v1/rules", json=rule), 400)
    if "0100" not in str(rule):  # that the store alone refuses
        preview = {"rule": rule, "query": {"like": ["p00"]}}
        refused(maria.post("/v1/rules/preview", json=preview), 400)
    assert not listed(maria)


def test_changes_that_do_not_fit(as_: Client) -> None:
    maria = as_("maria")
    path = f"/v1/rules/{boost(maria)['id']}"
    for changes in ({"scope": "category"}, {"strength": None}, {"action": "pin"}, {"author": "x"}, {"id": 1}):
        refused(maria.patch(path, json=changes), 400)
    assert maria.patch(path, json={}).status_code == 200
    for missing in ("/v1/rules/99999", "/v1/rules/99999/history"):
        refused(maria.get(missing), 404, "99999")


def test_a_preview_keeps_nothing(as_: Client) -> None:
    maria = as_("maria")
    last = ids(search(maria, like=["p00"], limit=5))[-1]
    rule = {"action": "pin", "target": "product", "target_value": last}
    response = maria.post("/v1/rules/preview", json={"rule": rule, "query": {"like": ["p00"], "limit": 5}})
    PreviewResponse.model_validate_json(response.content, strict=True)
    body = response.json()
    assert ids(body["before"])[-1] == ids(body["after"])[0] == last
    assert body["rank_changes"][0] == {"id": last, "before": 4, "after": 0}
    assert len(body["rank_changes"]) == 5
    assert not listed(maria)
    assert ids(search(maria, like=["p00"], limit=5))[-1] == last


# -- judgements ------------------------------------------------------------------------------------


def judge(client: TestClient, left: str, right: str, label: str, **more: Any) -> dict[str, Any]:
    body = {"left_id": left, "right_id": right, "label": label, **more}
    response = client.post("/v1/judgements", json=body)
    assert response.status_code == 201, response.text
    said: dict[str, Any] = response.json()
    return said


def test_the_life_of_a_judgement(as_: Client) -> None:
    maria = as_("maria")
    first = judge(maria, "p02", "p01", "similar", context={"rank": 3})
    assert (first["left_id"], first["right_id"], first["author"]) == ("p01", "p02", "maria")
    assert (first["replaced"], first["context"]) == (None, {"rank": 3})
    again = judge(maria, "p01", "p02", "not_similar")
    assert (again["id"], again["replaced"]) == (first["id"], "similar")
    other = judge(as_("nils"), "p01", "p02", "duplicate")
    response = maria.get("/v1/judgements", params={"product_id": "p02"})
    assert [j["id"] for j in response.json()["judgements"]] == [other["id"], again["id"]]
    mine = maria.get("/v1/judgements", params={"mine": True}).json()["judgements"]
    assert {j["author"] for j in mine} == {"maria"}
    assert mine[0]["id"] == first["id"]
    refused(maria.delete(f"/v1/judgements/{other['id']}"), 403, "nils's")
    assert maria.delete(f"/v1/judgements/{first['id']}").json()["withdrawn_at"]
    assert as_("ada").delete(f"/v1/judgements/{other['id']}").status_code == 200
    assert maria.get("/v1/judgements", params={"product_id": "p02"}).json()["judgements"] == []
    refused(maria.delete("/v1/judgements/99999"), 404)


@pytest.mark.parametrize(
    "body",
    [
        {"left_id": "p00", "right_id": "p00", "label": "similar"},
        {"left_id": "p00", "right_id": "p01", "label": "alike"},
        {"left_id": "p00", "label": "similar"},
        {"left_id": "", "right_id": "p01", "label": "similar"},
        {"left_id": "x" * 257, "right_id": "p01", "label": "similar"},
        {"left_id": "p00", "right_id": "p01", "label": "similar", "author": "somebody else"},
        {"left_id": "p00", "right_id": "p01", "label": "similar", "context": {"x": "y" * 20_000}},
        {"left_id": "p00", "right_id": "p01", "label": "similar", "context": "words"},
    ],
)
def test_a_judgement_that_does_not_fit(as_: Client, body: dict[str, Any]) -> None:
    refused(as_("maria").post("/v1/judgements", json=body), 400)


def test_the_whole_trail_is_for_admins(as_: Client) -> None:
    rule = boost(as_("maria"))
    judgement = judge(as_("nils"), "p03", "p04", "similar")
    response = as_("ada").get("/v1/audit", params={"limit": 2})
    entries = response.json()["entries"]
    assert [(e["action"], e["author"]) for e in entries] == [("judgement.add", "nils"), ("rule.add", "maria")]
    assert (entries[0]["judgement_id"], entries[1]["rule_id"]) == (judgement["id"], rule["id"])
    older = as_("ada").get("/v1/audit", params={"before_id": entries[1]["id"], "limit": 1}).json()["entries"]
    assert all(e["id"] < entries[1]["id"] for e in older)
