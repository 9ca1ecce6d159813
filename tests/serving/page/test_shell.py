"""The page as files: caching, content security, no jargon."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import recsys
from recsys.serving.page import shell
from tests.serving.page.conftest import Shop
from tests.serving.page.locators import BAG

STATIC = Path(recsys.__path__[0]) / "serving/page/static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
VIEWS = ("/", "/search?q=x", BAG, "/similar/a%2Fb", "/rules", "/shelf")


@pytest.fixture(scope="module")
def web(site: str, shop: Shop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site) as client:
        yield client


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_the_same_shell_and_is_revalidated(web: httpx.Client, view: str) -> None:
    answer = web.get(view)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.text == web.get("/").text
    again = web.get(view, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_files_are_named_by_their_content_and_cached_for_good(web: httpx.Client) -> None:
    html = web.get("/").text
    names = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    assert len(names) > 30
    for name in names:
        answer = web.get(name)
        assert answer.status_code == 200, name
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    script = next(n for n in names if n.endswith("main.js"))
    assert web.get(script).headers["content-type"] == "text/javascript; charset=utf-8"
    old = re.sub(r"/static/\w+/", "/static/000000000000/", script)
    assert web.get(old).status_code == 200  # a page that stood open while the service was renewed
    assert web.get(old).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["../app.py", "js/none.js", "..%2f..%2fapp.py", "", "js"])
def test_nothing_else_is_served(web: httpx.Client, name: str) -> None:
    answer = web.get(f"/static/{shell.files().version}/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_has_no_inline_script_or_style(web: httpx.Client) -> None:
    for path in ("/", "/login"):
        html = web.get(path).text
        assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
        assert not re.findall(r"<style|\sstyle=|\son\w+=", html)
        assert "http://" not in html.replace("http://www.w3.org", "")
    policy = web.get("/").headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy


def test_the_shell_holds_no_data_and_is_served_before_sign_in(keyed_site: str, web: httpx.Client) -> None:
    html = httpx.get(keyed_site + BAG).text
    assert html == web.get("/").text
    assert "P000003" not in html


def test_the_shops_name_is_escaped() -> None:
    html = shell.shell('<b onclick="x">&')
    assert "<b onclick" not in html
    assert "&lt;b onclick=&#34;x&#34;&gt;&amp;" in html


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_data_never_becomes_markup(script: Path) -> None:
    source = script.read_text(encoding="utf-8")
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    ):
        assert forbidden not in source


JARGON = re.compile(
    r"\b(embeddings?|vectors?|cosine|MMR|encoders?|neighbou?rs?|modalit\w+|payload|facets?)\b", re.I
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_texts_have_no_jargon(script: Path) -> None:
    source = re.sub(r"/\*.*?\*/|^\s*//.*$", "", script.read_text(encoding="utf-8"), flags=re.S | re.M)
    texts = [m[1:-1] for m in re.findall(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`', source)]
    texts = [re.sub(r"\$\{[^}]*\}", " ", s) for s in texts if " " in s and not s.startswith(("h.", "/", "."))]
    assert not [s for s in texts if JARGON.search(s)]
