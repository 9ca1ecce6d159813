"""Keys and roles."""

import stat
from typing import Any
from unittest.mock import patch

import pytest
from fastapi import FastAPI

from recsys.config.search import SearchConfig
from recsys.serving.auth import Keys, digest, make_key, session_secret
from recsys.workspace import Workspace
from tests.serving.conftest import KEYS, Client
from tests.serving.test_limits import refused

RULE = {"action": "boost", "target": "brand", "target_value": "Acme"}
JUDGEMENT = {"left_id": "p00", "right_id": "p01", "label": "similar"}
ROUTES: list[tuple[str, str, Any, str]] = [
    ("GET", "/v1/products", None, "read"),
    ("GET", "/v1/products/p00", None, "read"),
    ("GET", "/v1/products/p00/similar", None, "read"),
    ("POST", "/v1/search", {"like": ["p00"]}, "read"),
    ("POST", "/v1/batch", {"ids": ["p00"]}, "read"),
    ("GET", "/v1/facets", None, "read"),
    ("GET", "/v1/status", None, "read"),
    ("GET", "/v1/session", None, "read"),
    ("GET", "/metrics", None, "read"),
    ("GET", f"/images/{'a' * 64}", None, "read"),
    ("GET", "/v1/rules", None, "merchandise"),
    ("POST", "/v1/rules", RULE, "merchandise"),
    ("POST", "/v1/rules/preview", {"rule": RULE, "query": {"like": ["p00"]}}, "merchandise"),
    ("GET", "/v1/rules/99999", None, "merchandise"),
    ("PATCH", "/v1/rules/99999", {}, "merchandise"),
    ("DELETE", "/v1/rules/99999", None, "merchandise"),
    ("POST", "/v1/rules/99999/restore", None, "merchandise"),
    ("GET", "/v1/rules/99999/history", None, "merchandise"),
    ("GET", "/v1/judgements", None, "merchandise"),
    ("POST", "/v1/judgements", JUDGEMENT, "merchandise"),
    ("DELETE", "/v1/judgements/99999", None, "merchandise"),
    ("GET", "/v1/audit", None, "admin"),
]
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs/style.css", "/login", "/")
RANK = ("read", "merchandise", "admin")


def test_every_documented_route_has_its_role_here(keyed_app: FastAPI) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in keyed_app.openapi()["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    }
    tested = {
        (m, p.replace("p00", "{id}").replace("99999", "{id}").replace("a" * 64, "{sha256}"))
        for m, p, _, _ in ROUTES
    }
    assert tested == documented
    roles = {
        (m, p.replace("p00", "{id}").replace("99999", "{id}").replace("a" * 64, "{sha256}")): role
        for m, p, _, role in ROUTES
    }
    for (method, path), role in roles.items():
        assert keyed_app.openapi()["paths"][path][method.lower()]["x-role"] == role


@pytest.mark.parametrize(("method", "path", "body", "role"), ROUTES)
def test_each_role_may_what_it_may(as_: Client, method: str, path: str, body: Any, role: str) -> None:
    response = as_().request(method, path, json=body)
    problem = refused(response, 401)
    assert problem["type"] == "/docs#unauthenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")
    for name, has in KEYS.items():
        response = as_(name).request(method, path, json=body)
        if RANK.index(has) < RANK.index(role):
            assert role in refused(response, 403, name, has)["fix"]
        else:
            assert response.status_code in (200, 201, 404), response.text


def test_what_is_open_to_everybody(as_: Client) -> None:
    for path in OPEN:
        assert as_().get(path).status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer nope"}, {"Authorization": "Bearer "}, {"Authorization": "Basic key-ada"},
     {"Authorization": "key-ada"}, {"X-Api-Key": "nope"}, {"X-Api-Key": ""},
     {"X-Api-Key": digest("key-ada")}, {"Authorization": "x", "X-Api-Key": "key-ada"}],
)  # fmt: skip
def test_wrong_keys(as_: Client, headers: dict[str, str]) -> None:
    refused(as_().get("/v1/status", headers=headers), 401)


def test_a_key_in_either_header(as_: Client) -> None:
    assert as_().get("/v1/status", headers={"X-Api-Key": "key-rita"}).status_code == 200
    assert as_().get("/v1/status", headers={"Authorization": "bearer key-rita"}).status_code == 200
    who = as_("maria").get("/v1/session").json()
    assert who == {"author": "maria", "role": "merchandise", "csrf_token": "", "auth": True}


def test_every_key_is_compared_in_constant_time() -> None:
    settings = SearchConfig.model_validate(
        {"keys": [{"name": n, "role": r, "sha256": digest(f"key-{n}")} for n, r in KEYS.items()]}
    )
    keys = Keys(settings, b"secret")
    with patch("recsys.serving.auth.hmac.compare_digest", return_value=False) as compared:
        with pytest.raises(Exception, match="not one of those"):
            keys.by_key("key-rita")
        assert compared.call_count == len(KEYS)
    assert keys.by_key("key-nils").name == "nils"


def test_new_keys_are_long_and_never_the_same() -> None:
    made = {make_key() for _ in range(50)}
    assert len(made) == 50
    assert all(len(key) > 40 for key in made)


def test_the_secret_is_made_once_and_for_its_owner_alone(workspace: Workspace) -> None:
    secret = session_secret(workspace)
    assert len(secret) == 32
    assert session_secret(workspace) == secret
    path = workspace.local / "secrets" / "search-session"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]
