"""Accessibility: names and roles, keyboard, contrast, motion, colour schemes."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.serving.page.conftest import DESK, PHONE, Open, Shop
from tests.serving.page.locators import BAG, cards, settled, until

VIEWS = {
    "start": "/",
    "product": "/similar/P000003?like=P000020&unlike=P000030&in.availability=in_stock",
    "words": "/search?q=teapot",
    "why": "/similar/P000003?variants=all&panel=why&about=P000004",
    "rules": "/similar/P000003?panel=rules",
    "rule": "/similar/P000003?panel=rule&about=new:boost:P000020",
    "shelf": "/similar/P000003?panel=shelf",
    "shelf page": "/shelf?item=P000003&item=P000020",
    "rules page": "/rules",
    "nothing": "/similar/P000003?price=1-2",
    "compare": "/similar/P000003?compare={kept}",
}


def drawn(page: Any) -> None:
    page.wait_for_load_state("networkidle")
    until(page, "!document.querySelector('html.busy, .grid.waiting')")
    until(page, "document.getAnimations().every(a => a.playState !== 'running')")


def axe() -> str:
    """Return axe-core's source; skip where it is not installed."""
    package = pytest.importorskip("axe_playwright_python")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def broken(page: Any, only: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what axe finds wrong."""
    but = [[".card:nth-child(n + 8)"]]  # the same again
    found = page.evaluate("([but, only]) => axe.run({exclude: but}, {runOnly: only})", [but, only])
    assert found["passes"]  # it looked
    return [
        (v["id"], n["target"], n.get("failureSummary", "")[:300])
        for v in found["violations"]
        for n in v["nodes"]
    ]


UNNAMED = """() => [...document.querySelectorAll('button, a[href], input, select, textarea, [role=slider]')]
  .filter((e) => e.checkVisibility())
  .filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()
    || e.getAttribute('aria-hidden') || e.type === 'hidden'))
  .map((e) => e.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_in_both_colour_schemes(open_page: Open, shop: Shop, view: str) -> None:
    page = open_page(VIEWS[view].format(kept=shop.kept), color_scheme="light")
    drawn(page)
    assert page.evaluate(UNNAMED) == []
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((e) => e.checkVisibility())"
        ".map((e) => Number(e.tagName[1]))"
    )
    assert levels.count(1) == 1
    ids = Counter(page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)"))
    assert [i for i, n in ids.items() if n > 1] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.evaluate(axe())
    assert broken(page, {"type": "tag", "values": RULES}) == []
    page.emulate_media(color_scheme="dark")
    drawn(page)
    assert broken(page, {"type": "rule", "values": ["color-contrast"]}) == []


def test_the_page_can_be_used_by_keyboard_alone(open_page: Open) -> None:
    page = open_page("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the products")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("/")
    page.keyboard.type("P000003")
    expect(page.get_by_role("option").nth(1)).to_contain_text("P000003")
    page.keyboard.press("Enter")
    expect(cards(page).first).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()
    outline = "() => getComputedStyle(document.activeElement).outlineStyle"
    while not page.evaluate("document.activeElement.closest('.card') !== null"):
        page.keyboard.press("Tab")
        assert page.evaluate(outline) != "none" or page.evaluate("document.activeElement.matches('input')")
    quick = page.locator(".card").first.locator(".quick")
    expect(quick).to_be_visible()  # what hovering shows, the focus shows too
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    expect(page.get_by_role("heading", name="Why is it here?")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Shelf, 1 product")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile("P000003"))


def test_single_key_shortcuts_can_be_turned_off(open_list: Open) -> None:
    page = open_list()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    sheet.get_by_role("switch", name="Single keys are on").uncheck()
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    page.keyboard.press("s")
    page.reload()
    expect(cards(page).first).to_be_visible()
    page.keyboard.press("s")
    page.wait_for_timeout(100)
    expect(page.get_by_role("complementary")).to_have_count(0)


def test_changes_are_announced_to_screen_readers(open_page: Open) -> None:
    page = open_page(BAG)
    status = page.locator("#say")
    expect(status).to_have_text(re.compile(r"\d+ products shown\."))
    page.locator(".card").first.hover()
    page.locator(".card").first.get_by_role("button", name=re.compile("^Block")).click()
    expect(status).to_have_text(re.compile("Blocked: .* Press Z to undo."))


def test_a_chosen_colour_scheme_is_kept_and_used_from_the_first_paint(open_page: Open) -> None:
    page = open_page("/", color_scheme="light")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    button = page.get_by_role("button", name="Colours: as the device. Change")
    button.click()
    page.get_by_role("button", name="Colours: light. Change").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload(wait_until="commit")
    page.wait_for_selector("body")
    assert page.evaluate(paper) == dark  # from the first paint


def test_reduced_motion_turns_animations_off(open_list: Open) -> None:
    page = open_list(BAG, reduced_motion="reduce")
    page.locator(".card").nth(3).hover()
    page.locator(".card").nth(3).get_by_role("button", name=re.compile("^Pin")).click()
    expect(page.locator(".card .badge.pin")).to_be_visible()
    longest = page.evaluate(
        "() => Math.max(0, ...document.getAnimations().map(a => a.effect.getComputedTiming().duration))"
    )
    assert longest <= 1


@pytest.mark.parametrize(
    "viewport",
    [
        DESK,
        PHONE,
        {"width": 320, "height": 640},
        {"width": 1000, "height": 700},
        {"width": 2200, "height": 1200},
    ],
)
def test_no_view_scrolls_sideways_at_any_width(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page("/", viewport=viewport)
    for path in ("/", BAG):
        page.goto(page.url.split("//")[0] + "//" + page.url.split("/")[2] + path)
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path


def test_the_focus_stays_on_its_filter_when_counts_are_updated(open_list: Open) -> None:
    page = open_list()
    settled(page)
    tree = page.locator("[data-column=product_type]")
    for name in ("Accessories", "Handbags"):
        tree.get_by_role("button", name=name, exact=False).first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{name}*")
        settled(page)
        expect(tree.get_by_role("button", name=name, exact=False).first).to_be_focused()
    box = page.locator(".filters input[type=checkbox]").first
    box.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("group", name="Filters that are on").get_by_role("button")).to_have_count(3)
    settled(page)
    expect(box).to_be_focused()
