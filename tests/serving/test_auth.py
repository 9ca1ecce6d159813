"""Keys, roles, and the session of the page."""

import os
import stat
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.config.search import SearchConfig
from recsys.serving.auth import COOKIE, ROLES, Authenticator, key_digest
from recsys.serving.sessions import Sessions
from recsys.serving.token_bucket import TokenBucket
from tests.serving.conftest import KEYS, Client, Shop
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
OPEN = ("/healthz", "/readyz", "/openapi.json", "/docs", "/docs/swagger-ui.css", "/login", "/")


# -- keys and roles --------------------------------------------------------------------------------


def test_every_documented_route_has_its_role_here(keyed_app: FastAPI) -> None:
    documented = {
        (method.upper(), path): operation["security"]
        for path, methods in keyed_app.openapi()["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    }
    tested = {
        (method, path.replace("p00", "{id}").replace("99999", "{id}").replace("a" * 64, "{sha256}")): role
        for method, path, _, role in ROUTES
    }
    assert documented == {
        route: [{"bearer": [role]}, {"header": [role]}, {"session": [role]}] for route, role in tested.items()
    }


@pytest.mark.parametrize(("method", "path", "body", "role"), ROUTES)
def test_each_role_may_what_it_may(as_: Client, method: str, path: str, body: Any, role: str) -> None:
    response = as_().request(method, path, json=body)
    assert refused(response, 401)["type"] == "/docs#unauthenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")
    for name, own in KEYS.items():
        response = as_(name).request(method, path, json=body)
        if ROLES.index(own) < ROLES.index(role):
            assert role in refused(response, 403, name, own)["fix"]
        else:
            assert response.status_code in (200, 201, 404), response.text


def test_what_is_open_to_everybody(as_: Client) -> None:
    for path in OPEN:
        assert as_().get(path).status_code == 200, path


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer nope"}, {"Authorization": "Bearer "}, {"Authorization": "Basic key-ada"},
     {"Authorization": "key-ada"}, {"X-Api-Key": "nope"}, {"X-Api-Key": ""},
     {"X-Api-Key": key_digest("key-ada")}],
)  # fmt: skip
def test_wrong_keys(as_: Client, headers: dict[str, str]) -> None:
    refused(as_().get("/v1/status", headers=headers), 401)


def test_a_large_body_is_not_read_without_a_key(as_: Client) -> None:
    body = b'{"images": ["' + b"!" * 5_000_000
    for path in ("/v1/search", "/v1/rules/preview"):
        response = as_().post(path, content=body, headers={"content-type": "application/json"})
        refused(response, 401)


def test_a_key_in_either_header(as_: Client) -> None:
    assert as_().get("/v1/status", headers={"X-Api-Key": "key-rita"}).status_code == 200
    assert as_().get("/v1/status", headers={"Authorization": "bearer key-rita"}).status_code == 200
    who = as_("maria").get("/v1/session").json()
    assert who == {"author": "maria", "role": "merchandise", "auth": True}


def test_every_key_is_compared_in_constant_time(tmp_path: Path) -> None:
    settings = SearchConfig.model_validate(
        {"keys": [{"name": n, "role": r, "sha256": key_digest(f"key-{n}")} for n, r in KEYS.items()]}
    )
    authenticator = Authenticator(settings, Sessions(tmp_path, max_age_s=60))
    with patch("recsys.serving.auth.hmac.compare_digest", return_value=False) as compared:
        with pytest.raises(Exception, match="not one of those"):
            authenticator.authenticate("key-rita", None)
        assert compared.call_count == len(KEYS)
    assert authenticator.authenticate("key-nils", None).name == "nils"


# -- the page's session ----------------------------------------------------------------------------

BROWSER = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def browser(keyed_app: FastAPI) -> TestClient:
    return TestClient(keyed_app, base_url="http://localhost", headers=BROWSER, follow_redirects=False)


def sign_in(browser: TestClient, key: str = "key-maria", target: str = "/") -> httpx.Response:
    return browser.post("/login", data={"key": key, "next": target})


def test_signing_in_and_out(browser: TestClient) -> None:
    assert "set-cookie" not in browser.get("/login").headers
    done = sign_in(browser, target="/similar/p00?w=1")
    assert (done.status_code, done.headers["location"]) == (303, "/similar/p00?w=1")
    flags = done.headers["set-cookie"].lower()
    assert all(flag in flags for flag in ("max-age=43200", "httponly", "samesite=strict", "path=/"))
    assert "key-maria" not in browser.cookies[COOKIE]
    session = browser.get("/v1/session").json()
    assert session == {"author": "maria", "role": "merchandise", "auth": True}
    assert browser.post("/v1/rules", json=RULE).status_code == 201
    out = browser.post("/logout")
    assert (out.status_code, out.headers["location"]) == (303, "/login")
    assert COOKIE not in browser.cookies
    refused(browser.get("/v1/session"), 401)


def test_a_stolen_cookie_is_refused_after_signing_out(browser: TestClient, shop: Shop) -> None:
    sign_in(browser)
    stolen = {COOKIE: browser.cookies[COOKIE]}
    restarted = TestClient(shop.app(keys=KEYS), base_url="http://localhost", cookies=stolen)
    assert restarted.get("/v1/session").status_code == 200
    browser.post("/logout")
    refused(restarted.get("/v1/session"), 401)
    sign_in(browser)
    assert browser.get("/v1/session").status_code == 200


def test_what_is_kept_of_a_session_opens_nothing_and_goes_when_it_is_over(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", max_age_s=60)
    token = sessions.begin("a" * 64)
    (file,) = (tmp_path / "sessions").iterdir()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert token not in file.name + file.read_text()
    assert sessions.key_sha256(file.name) is None
    assert sessions.key_sha256(token) == "a" * 64
    os.utime(file, (time.time() - 61,) * 2)
    assert sessions.key_sha256(token) is None
    sessions.begin("a" * 64)
    assert not file.exists()


def test_signing_in_with_a_wrong_key(browser: TestClient) -> None:
    response = sign_in(browser, key="<b>nope</b>")
    assert response.status_code == 401
    assert "not one of those configured. Paste it again" in response.text
    assert "<b>" not in response.text
    refused(browser.get("/v1/session"), 401)


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/\n/x"]
)
def test_signing_in_leads_nowhere_else(browser: TestClient, target: str) -> None:
    assert sign_in(browser, target=target).headers["location"] == "/"


def test_a_session_ends_with_its_key(browser: TestClient, shop: Shop) -> None:
    sign_in(browser)
    cookie = browser.cookies[COOKIE]
    without_maria = {"nils": "merchandise", "ada": "admin"}
    changed = TestClient(shop.app(keys=without_maria), base_url="http://localhost", cookies={COOKIE: cookie})
    refused(changed.get("/v1/session"), 401)


def test_a_session_ends_after_its_hours(browser: TestClient) -> None:
    sign_in(browser)
    assert browser.get("/v1/session").status_code == 200
    with patch("recsys.serving.sessions.time.time", return_value=time.time() + 12 * 3600 + 60):
        refused(browser.get("/v1/session"), 401)


@pytest.mark.parametrize(
    "change", [lambda c: c[:-2], lambda c: "x" + c, lambda c: "", lambda c: c.swapcase()]
)
def test_a_forged_cookie_is_none(browser: TestClient, change: Any) -> None:
    sign_in(browser)
    cookie = change(browser.cookies[COOKIE])
    browser.cookies.clear()
    refused(browser.get("/v1/session", headers={"Cookie": f'other="{{a;b}}"; {COOKIE}={cookie}; z'}), 401)


def test_other_cookies_do_not_hide_the_sessions(browser: TestClient) -> None:
    sign_in(browser)
    cookie = browser.cookies[COOKIE]
    browser.cookies.clear()
    header = f'json={{"a": 1}}; bad name=1; {COOKIE}={cookie}; late'
    assert browser.get("/v1/session", headers={"Cookie": header}).status_code == 200


def test_the_cookie_is_secure_behind_https(keyed_app: FastAPI) -> None:
    for scheme in ("https", "http"):
        with TestClient(keyed_app, base_url=f"{scheme}://localhost", follow_redirects=False) as client:
            assert ("Secure" in sign_in(client).headers["set-cookie"]) is (scheme == "https")


# -- rates -----------------------------------------------------------------------------------------


def test_a_bucket_lets_through_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(100.0) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert [bucket.take(100.5), bucket.take(100.5)] == [0, 0.5]
    assert [bucket.take(1e6) for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_key_that_asks_too_often_waits_and_others_do_not(shop: Shop) -> None:
    limits = {"rita": {"requests_per_s": 0.1, "burst": 3}}
    app = shop.app(keys=KEYS, limits=limits)
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        rita = {"X-Api-Key": "key-rita"}
        for _ in range(2):
            assert client.get("/v1/session", headers=rita).status_code == 200
        sign_in(client, key="key-rita")
        for headers in (rita, {}):  # the session counts as its key
            response = client.get("/v1/session", headers=headers)
            problem = refused(response, 429, "rita", "0.1 times a second")
            assert problem["type"] == "/docs#too-many-requests"
            assert 0 < int(response.headers["retry-after"]) <= 10
        client.cookies.clear()
        assert "Try again in a moment" in sign_in(client, key="key-rita").text
        for _ in range(5):
            assert client.get("/v1/session", headers={"X-Api-Key": "key-nils"}).status_code == 200


# -- forged requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "http://localhost:3000"}, {"Origin": "null"},
     {"Origin": "https://localhost.evil.example"}, {"Origin": "http://[broken"}, {"Origin": ""},
     {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
     {"Origin": "file://localhost"}],
)  # fmt: skip
def test_another_sites_page_cannot_change_or_ask_anything(
    client: TestClient, browser: TestClient, headers: dict[str, str]
) -> None:
    sign_in(browser)
    for method, path, body in (
        ("POST", "/v1/search", {"like": ["p00"]}),
        ("POST", "/v1/rules", RULE),
        ("PATCH", "/v1/rules/1", {}),
        ("DELETE", "/v1/rules/1", None),
        ("POST", "/v1/judgements", JUDGEMENT),
    ):
        refused(browser.request(method, path, json=body, headers=headers), 403)
        refused(client.request(method, path, json=body, headers=headers), 403)
    refused(browser.post("/login", data={"key": "key-ada"}, headers=headers), 403)
    refused(browser.post("/logout", headers=headers), 403)


def test_a_session_cookie_without_an_origin_changes_nothing(browser: TestClient, keyed_app: FastAPI) -> None:
    sign_in(browser)
    bare = TestClient(keyed_app, base_url="http://localhost", cookies=dict(browser.cookies))
    refused(bare.post("/v1/rules", json=RULE), 403, "session cookie")


def test_a_key_in_a_header_needs_no_origin(as_: Client) -> None:
    elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert as_("maria").post("/v1/rules", json=RULE, headers=elsewhere).status_code == 201


def test_without_keys_the_page_may_change_everything(shop: Shop) -> None:
    with TestClient(shop.app(), base_url="http://localhost", headers=BROWSER) as page:
        assert page.get("/v1/session").json() == {"author": "local", "role": "admin", "auth": False}
        made = page.post("/v1/rules", json=RULE)
        assert (made.status_code, made.json()["author"]) == (201, "local")
        assert page.get("/login", follow_redirects=False).headers["location"] == "/"


def test_behind_a_proxy_its_name_is_the_origin(shop: Shop) -> None:
    with TestClient(shop.app(hosts=["shop.example"]), base_url="http://localhost") as client:
        origin = {"Origin": "https://shop.example"}
        assert client.post("/v1/search", json={"like": ["p00"]}, headers=origin).status_code == 200
