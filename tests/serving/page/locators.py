"""Where tests find things on the page."""

import re
import time
from typing import Any

from playwright.sync_api import expect

BAG = "/similar/P000003"
"""What is similar to a bag of the catalog."""


def act(page: Any, id: str, name: str) -> None:
    """Press one of the buttons over a product's image, once the list is up to date and nothing moves.

    They show while the pointer is over the card, and a card that still moves leaves the pointer behind.
    """
    settle(page)
    press(page, id, name)


def press(page: Any, id: str, name: str) -> None:
    """Press one of the buttons over a product's image at once."""
    card = page.locator(f".card[data-id={id}]")
    card.hover()
    card.locator(".quick").get_by_role("button", name=re.compile(f"^{name}")).click()


def cards(page: Any) -> Any:
    """Return the products that were found, not the skeletons before."""
    return page.locator(".grid:not(.waiting) > .card")


def ids(page: Any) -> list[str]:
    """Return the ids of :func:`cards`, as they stand now."""
    found: list[str] = cards(page).evaluate_all("all => all.map(c => c.dataset.id)")
    return found


def messages(page: Any) -> Any:
    """Return the region of short messages."""
    return page.get_by_role("region", name="Messages")


def settled(page: Any) -> None:
    """Wait until no request is in flight and the list is up to date."""
    expect(page.locator(".grids.stale")).to_have_count(0)
    expect(page.locator("html.busy")).to_have_count(0)


def settle(page: Any) -> None:
    """Wait until everything has come and nothing moves."""
    page.wait_for_load_state("networkidle")
    until(page, "!document.querySelector('.grid.waiting, .stale, html.busy')")
    until(page, "document.getAnimations().every(a => a.playState !== 'running')")


def until(page: Any, holds: str, most_s: float = 20) -> None:
    """Wait until an expression holds. (Playwright's own way needs eval, which the page's policy forbids.)"""
    end = time.monotonic() + most_s
    while not page.evaluate(f"Boolean({holds})"):
        assert time.monotonic() < end, f"{holds} does not hold at {page.url}"
        page.wait_for_timeout(20)
