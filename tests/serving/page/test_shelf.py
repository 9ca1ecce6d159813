"""The shelf: collected across searches, ordered, exported, shared, kept."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import Open
from tests.serving.page.locators import BAG, cards


def put(page: Any, *places: int) -> list[str]:
    """Put cards on the shelf; return their titles."""
    expect(cards(page).first).to_be_visible()
    titles = []
    for place in places:
        card = cards(page).nth(place)
        card.hover()
        card.locator("[data-act=shelf]").click()
        expect(card.locator("[data-act=shelf]")).to_have_attribute("aria-pressed", "true")
        titles.append(card.locator(".title").inner_text())
    return titles


def on_shelf(page: Any) -> list[str]:
    found: list[str] = page.locator(".shelf-row .title").all_inner_texts()
    return found


def test_products_are_collected_across_searches_and_kept(open_page: Open) -> None:
    page = open_page(BAG)
    titles = put(page, 0, 2)
    page.goto(page.url.replace("P000003", "P000020"))
    titles += put(page, 1)
    expect(page.get_by_role("button", name="Shelf, 3 products")).to_be_visible()
    page.reload()
    page.keyboard.press("s")
    shelf = page.get_by_role("complementary", name="Shelf")
    expect(shelf.get_by_role("listitem")).to_have_count(3)
    assert on_shelf(page) == titles
    assert "panel=shelf" in page.url
    shelf.get_by_role("button", name=re.compile("^Take .* off the shelf$")).first.click()
    assert on_shelf(page) == titles[1:]
    page.get_by_role("region", name="Messages").get_by_role("button", name="Undo").click()
    assert on_shelf(page) == titles


def test_the_shelf_is_reordered_by_keys_and_by_dragging(open_page: Open) -> None:
    page = open_page(BAG)
    a, b, c = put(page, 0, 1, 2)
    page.goto(page.url.split("/similar")[0] + "/shelf")
    up = page.get_by_role("button", name=f"Move {c} up")
    up.focus()
    page.keyboard.press("Enter")
    assert on_shelf(page) == [a, c, b]
    expect(page.get_by_role("button", name=f"Move {c} up")).to_be_focused()
    rows = page.locator(".shelf-row")
    rows.nth(0).drag_to(rows.nth(2), target_position={"x": 60, "y": 60})
    moved = on_shelf(page)
    assert moved == [c, b, a]
    page.reload()
    assert on_shelf(page) == moved


def test_the_csv_export_contains_no_formulas(open_page: Open) -> None:
    page = open_page("/shelf")
    products = [
        {"id": "=1+1", "title": '=HYPERLINK("https://evil.example","x")', "price": 12.5, "currency": "EUR"},
        {"id": "b", "title": 'Chair "Nook", oak', "brand": "+1", "product_type": ["Home", "Home > Chairs"]},
        {"id": "c", "title": "@SUM(A1)", "brand": "-2+3", "link": "https://shop.example/c", "sale_price": 3},
        {"id": "d", "title": "\tcmd", "brand": "Ödön; Søn", "color": "two\nlines"},
    ]  # fmt: skip
    page.evaluate("list => localStorage.setItem('shelf', list)", json.dumps(products))
    page.reload()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    raw = Path(download.value.path()).read_bytes()
    assert raw.startswith("\ufeff".encode())
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [r["id"] for r in rows] == ["'=1+1", "b", "c", "d"]
    assert rows[0]["title"] == '\'=HYPERLINK("https://evil.example","x")'
    assert rows[0]["price"] == "12.5"
    assert rows[1] | {"title": 'Chair "Nook", oak', "brand": "'+1", "category": "Home > Chairs"} == rows[1]
    assert (rows[2]["title"], rows[2]["brand"], rows[2]["sale_price"]) == ("'@SUM(A1)", "'-2+3", "3")
    assert (rows[3]["title"], rows[3]["brand"], rows[3]["color"]) == ("'\tcmd", "Ödön; Søn", "two\nlines")
    assert not [c for r in rows for c in r.values() if c and c[0] in "=+-@\t\r"]


def test_a_shelf_is_shared_by_a_link(open_page: Open, site: str) -> None:
    page = open_page(BAG, permissions=["clipboard-read", "clipboard-write"])
    titles = put(page, 0, 1)
    page.keyboard.press("s")
    page.get_by_role("button", name="Copy link").last.click()
    expect(page.get_by_role("region", name="Messages")).to_contain_text("The link was copied")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(link.removeprefix(site))
    expect(other.get_by_role("button", name="Shelf, 0 products")).to_be_visible()
    other.get_by_role("button", name="Add to my shelf").click()
    expect(other.get_by_role("button", name="Shelf, 2 products")).to_be_visible()
    assert on_shelf(other) == titles


def test_tampered_storage_is_handled_safely(open_page: Open) -> None:
    page = open_page("/")
    held = [
        {"id": "x", "title": "<img src=x onerror=alert(1)>", "image": "javascript:alert(1)"},
        {"title": "no id"},
        None,
        7,
    ]
    page.evaluate(
        "list => { for (const k of ['shelf', 'recent']) localStorage.setItem(k, list); }", json.dumps(held)
    )
    page.goto(page.url + "shelf")
    assert on_shelf(page) == ["<img src=x onerror=alert(1)>"]
    expect(page.locator(".shelf-row .empty-image")).to_be_visible()
    page.evaluate("for (const k of ['shelf', 'recent', 'theme', 'keys']) localStorage.setItem(k, '{broken')")
    page.goto(page.url.replace("shelf", ""))
    expect(page.locator(".tile").first).to_be_visible()
