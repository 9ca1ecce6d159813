"""Finding a product: the first view, the search box, words, and what is not there."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import Open
from tests.serving.page.looks import cards
from tests.serving.page.scenes import until


def test_the_first_view_shows_products_and_ways_to_begin(open_page: Open) -> None:
    page = open_page("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("What is similar to it?")
    expect(page.get_by_text("products, brought up to date")).to_be_visible()
    tiles = page.locator(".tile a")
    expect(tiles.first).to_be_visible()
    assert tiles.count() > 10
    expect(page.get_by_role("navigation", name="Categories").get_by_role("link").first).to_be_visible()
    tiles.nth(3).click()
    expect(cards(page).first).to_be_visible()
    page.go_back()
    recent = page.get_by_role("region", name="Recently looked at")
    expect(recent.get_by_role("link")).to_have_count(1)
    page.reload()
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


def test_an_id_leads_to_its_product_whatever_its_case(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("combobox").fill("p000012")
    expect(page.get_by_role("option").nth(1)).to_contain_text("P000012")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/similar/P000012$"))


def test_words_are_searched_by_meaning(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("combobox").fill("something to drink from")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("“something to drink from”")
    expect(cards(page).first).to_be_visible()
    assert "q=something+to+drink+from" in page.url
    first = cards(page).first.inner_text()
    assert re.search(r"\d+%", first)
    assert "fits best" in first
    page.get_by_role("slider", name="What counts").fill("1")
    page.wait_for_url("**looks=0*")
    page.get_by_role("button", name=re.compile("^Why is")).first.click()
    panel = page.get_by_role("complementary", name="Why is it here?")
    expect(panel).to_contain_text("Description fits the words")
    expect(panel).to_contain_text("Only words count now.")


def test_escape_closes_the_list_and_typing_nonsense_is_no_dead_end(open_page: Open) -> None:
    page = open_page("/")
    box = page.get_by_role("combobox")
    box.fill("qqqxyz")
    expect(page.get_by_role("option")).to_have_count(1)  # searching by meaning is always offered
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(box).to_have_value("qqqxyz")


def test_an_unknown_product_is_told_with_others_near_its_id(open_page: Open, watch: Any) -> None:
    watch.expected.append("404")
    page = open_page("/similar/P00001x")
    expect(page.get_by_role("alert").filter(has_text="This product is not in the shop")).to_be_visible()
    expect(page.get_by_text("Did you mean one of these?")).to_be_visible()
    page.locator(".mini-row a").first.click()
    expect(cards(page).first).to_be_visible()
    expect(page.locator(".query")).to_be_visible()


def test_the_first_answer_waits_for_nothing_but_the_page_itself(open_page: Open, site: str) -> None:
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


def test_more_comes_when_scrolling_until_the_end(open_page: Open) -> None:
    page = open_page("/similar/P000003?variants=all")
    expect(cards(page)).to_have_count(36)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(72)
    ids = cards(page).evaluate_all("all => all.map(c => c.dataset.id)")
    assert len(set(ids)) == 72
    while page.get_by_role("button", name="Show more").count():
        page.mouse.wheel(0, 20_000)
        page.wait_for_timeout(100)
    expect(page.get_by_text(re.compile("That is all|similar in name only"))).to_be_visible()
