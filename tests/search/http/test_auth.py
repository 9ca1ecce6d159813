"""Keys, roles, sessions and CSRF tokens."""

import stat
import time
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.config.search import SearchConfig
from recsys.search.http.auth import COOKIE, Keys, digest, make_key, session_secret
from recsys.workspace import Workspace
from tests.search.http.conftest import KEYS, Client, Shop
from tests.search.http.test_limits import refused

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
    ("GET", f"/pictures/{'a' * 64}", None, "read"),
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
    with patch("recsys.search.http.auth.hmac.compare_digest", return_value=False) as compared:
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


# -- the page's session ----------------------------------------------------------------------------

BROWSER = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


def form_token(response: httpx.Response) -> str:
    return response.text.partition('name="csrf_token" value="')[2].partition('"')[0]


@pytest.fixture
def browser(keyed_app: FastAPI) -> TestClient:
    return TestClient(keyed_app, base_url="http://localhost", headers=BROWSER, follow_redirects=False)


def sign_in(browser: TestClient, key: str = "key-maria", target: str = "/") -> httpx.Response:
    token = form_token(browser.get("/login"))
    return browser.post("/login", data={"key": key, "csrf_token": token, "next": target})


def test_signing_in_and_out(browser: TestClient) -> None:
    before = browser.get("/login")
    assert "HttpOnly; SameSite=Strict" in before.headers["set-cookie"]
    visitor = browser.cookies[COOKIE]
    done = sign_in(browser, target="/similar/p00?w=1")
    assert (done.status_code, done.headers["location"]) == (303, "/similar/p00?w=1")
    assert "Max-Age=43200" in done.headers["set-cookie"]
    assert browser.cookies[COOKIE] != visitor  # no fixation
    assert "key-maria" not in browser.cookies[COOKIE]
    session = browser.get("/v1/session").json()
    assert (session["author"], session["role"], session["auth"]) == ("maria", "merchandise", True)
    token = {"X-CSRF-Token": session["csrf_token"]}
    assert browser.post("/v1/rules", json=RULE, headers=token).status_code == 201
    assert browser.post("/v1/search", json={"like": ["p00"]}).status_code == 200  # changes nothing
    out = browser.post("/logout", data={"csrf_token": session["csrf_token"]})
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    refused(browser.get("/v1/session"), 401)


def test_a_wrong_key_at_the_door(browser: TestClient) -> None:
    answer = sign_in(browser, key="<b>nope</b>")
    assert answer.status_code == 401
    assert "not one of those configured" in answer.text
    assert "<b>" not in answer.text
    assert form_token(answer)
    refused(browser.get("/v1/session"), 401)


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/\n/x"]
)
def test_signing_in_leads_nowhere_else(browser: TestClient, target: str) -> None:
    assert sign_in(browser, target=target).headers["location"] == "/"


def test_signing_in_needs_the_forms_token(browser: TestClient) -> None:
    refused(browser.post("/login", data={"key": "key-maria"}), 403)
    browser.get("/login")
    refused(browser.post("/login", data={"key": "key-maria", "csrf_token": "x"}), 403)


def test_a_session_is_worth_nothing_once_its_key_is_gone(browser: TestClient, shop: Shop) -> None:
    sign_in(browser)
    cookie = browser.cookies[COOKIE]
    without_maria = {"nils": "merchandise", "ada": "admin"}
    changed = TestClient(shop.app(keys=without_maria), base_url="http://localhost", cookies={COOKIE: cookie})
    refused(changed.get("/v1/session"), 401)


def test_a_session_ends(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.get("/v1/session").status_code == 200
    with patch("itsdangerous.timed.time.time", return_value=time.time() + 12 * 3600 + 60):
        refused(browser.get("/v1/session"), 401)


@pytest.mark.parametrize(
    "change", [lambda c: c[:-2], lambda c: "x" + c, lambda c: "", lambda c: c.swapcase()]
)
def test_a_forged_cookie_is_none(browser: TestClient, change: Any) -> None:
    sign_in(browser)
    cookie = change(browser.cookies[COOKIE])
    browser.cookies.clear()
    refused(browser.get("/v1/session", headers={"Cookie": f'other="{{a;b}}"; {COOKIE}={cookie}; z'}), 401)


def test_cookies_of_others_do_not_hide_ours(browser: TestClient) -> None:
    sign_in(browser)
    cookie = browser.cookies[COOKIE]
    browser.cookies.clear()
    header = f'json={{"a": 1}}; bad name=1; {COOKIE}={cookie}; late'
    assert browser.get("/v1/session", headers={"Cookie": header}).status_code == 200


def test_the_cookie_is_secure_behind_https(keyed_app: FastAPI) -> None:
    with TestClient(keyed_app, base_url="https://localhost") as client:
        assert client.get("/login").headers["set-cookie"].endswith("; Secure")
    with TestClient(keyed_app, base_url="http://localhost") as client:
        assert "Secure" not in client.get("/login").headers["set-cookie"]


# -- forged requests -------------------------------------------------------------------------------


def test_a_browsers_change_needs_its_sessions_token(browser: TestClient) -> None:
    sign_in(browser)
    token = browser.get("/v1/session").json()["csrf_token"]
    refused(browser.post("/v1/rules", json=RULE), 403, "CSRF")
    refused(browser.post("/v1/rules", json=RULE, headers={"X-CSRF-Token": "0" * 64}), 403)
    refused(browser.post("/logout"), 403)
    for method, path in (("PATCH", "/v1/rules/1"), ("DELETE", "/v1/rules/1"), ("POST", "/v1/judgements")):
        refused(browser.request(method, path, json=JUDGEMENT if "j" in path else {}), 403)
    sign_in(browser)  # another session, another token
    refused(browser.post("/v1/rules", json=RULE, headers={"X-CSRF-Token": token}), 403)


def test_a_cookie_alone_makes_a_browser_of_it(browser: TestClient, keyed_app: FastAPI) -> None:
    sign_in(browser)
    old = TestClient(keyed_app, base_url="http://localhost", cookies=dict(browser.cookies))
    refused(old.post("/v1/rules", json=RULE), 403)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "http://localhost:3000"}, {"Origin": "null"},
     {"Origin": "https://localhost.evil.example"}, {"Origin": "http://[broken"}, {"Origin": ""},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
     {"Origin": "file://localhost"}],
)  # fmt: skip
def test_another_sites_page_cannot_ask_anything(
    client: TestClient, browser: TestClient, headers: dict[str, str]
) -> None:
    sign_in(browser)
    token = {"X-CSRF-Token": browser.get("/v1/session").json()["csrf_token"]}
    refused(browser.post("/v1/rules", json=RULE, headers={**token, **headers}), 403)
    refused(client.post("/v1/search", json={"like": ["p00"]}, headers=headers), 403)
    refused(client.post("/v1/rules", json=RULE, headers=headers), 403)


def test_without_keys_a_browser_needs_a_token_as_well(shop: Shop) -> None:
    with TestClient(shop.app(), base_url="http://localhost", headers=BROWSER) as page:
        refused(page.post("/v1/rules", json=RULE), 403)
        session = page.get("/v1/session").json()
        assert (session["author"], session["role"], session["auth"]) == ("local", "admin", False)
        assert page.get("/v1/session").json() == session  # the same visitor
        made = page.post("/v1/rules", json=RULE, headers={"X-CSRF-Token": session["csrf_token"]})
        assert (made.status_code, made.json()["author"]) == (201, "local")
        assert page.get("/login", follow_redirects=False).headers["location"] == "/"


def test_a_program_with_a_key_needs_no_token(as_: Client, client: TestClient) -> None:
    assert as_("maria").post("/v1/rules", json=RULE).status_code == 201
    assert as_("maria").post("/v1/rules", json=RULE, headers=BROWSER).status_code == 201
    assert client.post("/v1/rules", json=RULE).status_code == 201  # no keys, no browser


def test_a_proxys_name_is_ours_too(shop: Shop) -> None:
    with TestClient(shop.app(hosts=["shop.example"]), base_url="http://localhost") as client:
        origin = {"Origin": "https://shop.example"}
        assert client.post("/v1/search", json={"like": ["p00"]}, headers=origin).status_code == 200
