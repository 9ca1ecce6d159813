"""The panel that explains why a product is in the list."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import Open, Shop
from tests.serving.page.locators import BAG, cards


def first(page: Any) -> Any:
    card = cards(page).first
    expect(card).to_be_visible()
    return card


def test_why_shows_both_scores_and_what_is_in_common(open_page: Open, shop: Shop) -> None:
    page = open_page(BAG)
    card = first(page)
    name = card.locator(".title").inner_text()
    card.get_by_role("button", name=f"Why is {name} here?").click()
    panel = page.get_by_role("complementary", name="Why is it here?")
    expect(panel).to_contain_text(name)
    looks, words = (panel.get_by_role("meter", name=n) for n in ("Looks alike", "Described alike"))
    score = int(re.search(r"(\d+)%", panel.locator(".verdict").inner_text())[1])
    parts = [int(m.get_attribute("aria-valuenow")) for m in (looks, words)]
    assert abs(sum(parts) / 2 - score) <= 1
    for shared in ("Category Handbags", "Brand Larkmoss & Sons", "Material vegan leather"):
        column, _, value = shared.partition(" ")
        expect(panel.locator(".chip", has_text=column).filter(has_text=value)).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    assert "panel" not in page.url
    expect(card.get_by_role("button", name=re.compile("^Why is"))).to_be_focused()


def test_the_panel_follows_the_slider(open_page: Open) -> None:
    page = open_page(BAG)
    first(page).get_by_role("button", name=re.compile("^Why is")).click()
    panel = page.get_by_role("complementary")
    expect(panel.get_by_role("meter")).to_have_count(2)
    page.get_by_role("slider", name="What counts").fill("1")
    expect(panel).to_contain_text("Only words count now.")
    page.get_by_role("checkbox", name="Sold out").check()
    expect(panel).to_contain_text("It is not in the list any more.")
    expect(panel.get_by_role("meter")).to_have_count(2)  # what was said of it stays


def test_why_says_that_a_missing_image_is_replaced_by_words(open_page: Open, shop: Shop) -> None:
    rows = next(iter(shop.live.view().snapshot.batches(["id", "images", "brand"]))).to_pylist()
    without = next(r for r in rows if not r["images"])
    page = open_page(f"{BAG}?variants=all&in.brand={without['brand']}&panel=why&about={without['id']}")
    panel = page.get_by_role("complementary")
    expect(panel).to_contain_text("It has no image; its words are used instead.")
    expect(page.locator(f".card[data-id={without['id']}] .empty-image")).to_be_visible()


def test_why_shows_the_rank_without_rules(open_page: Open, shop: Shop) -> None:
    page = open_page(BAG)
    first(page)
    fifth = page.locator(".card").nth(4)
    name = fifth.locator(".title").inner_text()
    fifth.hover()
    fifth.get_by_role("button", name=re.compile("^Pin: always first")).click()
    expect(page.locator(".card").first).to_contain_text(name)
    expect(page.locator(".card").first).to_contain_text("Pinned")
    page.locator(".card").first.get_by_role("button", name=re.compile("^Why is")).click()
    panel = page.get_by_role("complementary")
    expect(panel).to_contain_text("Without rules it would be 5th; now it is 1st.")
    expect(panel).to_contain_text("Pinned by local")
    page.get_by_role("button", name="See it without").click()
    page.wait_for_url("**rules=off*")
    expect(page.locator(".card").nth(4)).to_contain_text(name)
    page.get_by_role("button", name="Turn rules on").click()
    expect(page.locator(".card").first).to_contain_text(name)
