"""Finding a product: the first view, the search box, words, and what is not there."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import Open
from tests.serving.page.locators import cards, until


def test_the_start_view_shows_products_and_recently_viewed_ones(open_page: Open) -> None:
    page = open_page("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Find similar products")
    tiles = page.locator(".tile a")
    expect(tiles.first).to_be_visible()
    assert tiles.count() > 10
    tiles.nth(3).click()
    expect(cards(page).first).to_be_visible()
    page.go_back()
    recent = page.get_by_role("region", name="Recently viewed")
    expect(recent.get_by_role("link")).to_have_count(1)
    page.get_by_role("button", name="Forget").click()
    expect(recent).to_be_hidden()


def test_a_product_is_found_by_typing_and_arrow_keys(open_page: Open) -> None:
    page = open_page("/")
    page.keyboard.press("/")
    box = page.get_by_role("combobox")
    expect(box).to_be_focused()
    page.keyboard.type("dune cro", delay=20)
    options = page.get_by_role("option")
    expect(options.nth(1)).to_contain_text("Dune")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert box.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    title = options.nth(1).locator("b").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page).to_have_url(re.compile("/similar/P"))
    expect(box).to_have_attribute("aria-expanded", "false")


def test_words_are_searched_by_meaning(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("combobox").fill("something to drink from")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("“something to drink from”")
    expect(cards(page).first).to_be_visible()
    assert "q=something+to+drink+from" in page.url
    expect(cards(page).first).to_contain_text("fits best")


def test_an_unknown_product_id_suggests_similar_ids(open_page: Open, watch: Any) -> None:
    watch.expected.append("404")
    page = open_page("/similar/P00001x")
    expect(page.get_by_role("alert").filter(has_text="This product is not in the shop")).to_be_visible()
    page.locator(".mini-row a").first.click()
    expect(cards(page).first).to_be_visible()


def test_the_first_list_waits_for_no_other_request(open_page: Open, site: str) -> None:
    """How fast that is: benchmarks/first_grid.py."""
    page = open_page("/shelf")
    held: list[Any] = []
    page.route("**/v1/session", lambda route: held.append(route))
    page.route("**/v1/facets**", lambda route: held.append(route))
    page.route("**/v1/products/*", lambda route: held.append(route))
    page.goto(f"{site}/similar/P000003")
    expect(cards(page).first).to_be_visible()
    until(page, "document.querySelector('.card img').naturalWidth > 0")
    assert len(held) >= 3  # nothing else was answered
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(r => r.name.includes('/static/'))"
        ".map(r => r.encodedBodySize)"
    )
    assert sum(sizes) < 100_000
    page.unroute_all(behavior="ignoreErrors")
