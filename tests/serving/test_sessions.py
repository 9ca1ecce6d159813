"""The page's sessions and their CSRF tokens."""

import time
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.serving.auth import COOKIE
from tests.serving.conftest import Client, Shop
from tests.serving.test_auth import JUDGEMENT, RULE
from tests.serving.test_limits import refused

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
