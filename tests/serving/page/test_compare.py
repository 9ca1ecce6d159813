"""Two encoders side by side."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import Open, Shop
from tests.serving.page.locators import BAG, cards


def ids(grid: Any) -> list[str]:
    found: list[str] = grid.locator("> .card").evaluate_all("all => all.map(c => c.dataset.id)")
    return found


def test_the_live_list_is_shown_beside_the_earlier_one(open_page: Open, shop: Shop) -> None:
    page = open_page(BAG)
    page.get_by_role("button", name="Compare with an earlier version").click()
    page.wait_for_url(f"**compare={shop.kept}*")
    grids = page.locator(".grid:not(.waiting)")
    expect(grids).to_have_count(2)
    expect(page.get_by_role("heading", name=re.compile("^Live now since"))).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("^Earlier live from"))).to_be_visible()
    here, there = ids(grids.nth(0)), ids(grids.nth(1))
    assert here != there
    only = page.locator(".card.only").evaluate_all("all => all.map(c => c.dataset.id)")
    assert set(only) == set(here) ^ set(there)
    page.get_by_role("slider", name="What counts").fill("1")
    page.wait_for_url("**looks=0*")
    expect(page.locator(".grids.stale")).to_have_count(0)
    assert ids(grids.nth(1)) != there
    page.get_by_role("button", name="End comparison").click()
    expect(grids).to_have_count(1)
    page.go_back()
    expect(grids).to_have_count(2)


def test_comparing_with_a_missing_collection_says_so(open_page: Open, watch: Any) -> None:
    watch.expected.append("404")
    page = open_page(f"{BAG}?compare=products__gone")
    alert = page.get_by_role("alert").filter(has_text="The comparison cannot be shown.")
    expect(alert).to_contain_text("There is no collection")
    expect(cards(page).first).to_be_visible()  # the live one is shown
    alert.get_by_role("button", name="End comparison").click()
    expect(alert).to_have_count(0)
    assert "compare" not in page.url
