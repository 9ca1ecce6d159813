"""When the service fails: the page says so, retries, and loses nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from recsys.config import Config
from recsys.feedback.store import FeedbackStore
from tests.serving.page.conftest import Open, Shop, serving
from tests.serving.page.locators import BAG, cards

PROBLEM = "application/problem+json"


def problem(status: int, **more: Any) -> dict[str, Any]:
    body = {
        "type": "x",
        "title": "A title",
        "status": status,
        "detail": "What was found.",
        "fix": "What to do.",
    }
    return {"status": status, "content_type": PROBLEM, "body": json.dumps(body), **more}


def test_a_server_error_says_what_happened_and_can_be_retried(open_page: Open, watch: Any) -> None:
    watch.expected.append("500")
    page = open_page("/")
    expect(page.locator(".tile").first).to_be_visible()
    page.route("**/v1/search", lambda route: route.fulfill(**problem(500)))
    page.goto(page.url + "similar/P000003")
    alert = page.get_by_role("alert").filter(has_text="A title")
    expect(alert).to_contain_text("What was found.")
    expect(alert).to_contain_text("What to do.")
    page.unroute("**/v1/search")
    alert.get_by_role("button", name="Try again").click()
    expect(cards(page).first).to_be_visible()


def test_the_page_waits_for_an_encoder_that_is_loading(open_page: Open, watch: Any) -> None:
    watch.expected.append("503")
    page = open_page("/")
    answers = [503, 503]

    def busy(route: Any) -> None:
        if answers:
            route.fulfill(**problem(answers.pop(), headers={"Retry-After": "1"}))
        else:
            route.continue_()

    page.route("**/v1/search", busy)
    page.goto(page.url + "search?q=teapot")
    expect(page.get_by_text("This page continues by itself.")).to_be_visible()
    expect(cards(page).first).to_be_visible()


def test_an_unreachable_service_is_reported_and_the_list_stays(open_page: Open, watch: Any) -> None:
    watch.expected.append("ERR_FAILED")
    page = open_page(BAG)
    card = cards(page).first
    expect(card).to_be_visible()
    page.route("**/v1/**", lambda route: route.abort())
    card.hover()
    card.get_by_role("button", name=re.compile("^Pin")).click()
    expect(page.get_by_role("region", name="Messages")).to_contain_text("Check that it is running")
    expect(card).to_be_visible()
    page.get_by_role("slider", name="Variety").fill("0.5")
    expect(page.get_by_role("alert").filter(has_text="The service does not respond")).to_be_visible()


def test_a_failed_next_page_keeps_the_list(open_page: Open, watch: Any) -> None:
    watch.expected.append("500")
    page = open_page("/similar/P000003?variants=all")
    found = cards(page)
    expect(found).to_have_count(36)
    page.route("**/v1/search", lambda route: route.fulfill(**problem(500)))
    page.mouse.wheel(0, 20_000)
    expect(page.locator(".foot")).to_contain_text("What was found.")
    expect(found).to_have_count(36)
    page.unroute("**/v1/search")
    page.get_by_role("button", name="Try again").click()
    expect(found).to_have_count(72)


def test_a_late_response_does_not_replace_a_newer_one(open_page: Open) -> None:
    page = open_page(BAG)
    found = cards(page)
    expect(found.first).to_be_visible()
    slow: list[Any] = []
    page.route("**/v1/search", lambda route: slow.append(route) if not slow else route.continue_())
    page.get_by_role("slider", name="What counts").fill("1")
    while not slow:
        page.wait_for_timeout(20)
    page.get_by_role("slider", name="What counts").fill("0")
    page.wait_for_url("**looks=100*")
    expect(page.locator(".grids.stale")).to_have_count(0)
    newer = found.evaluate_all("all => all.map(c => c.dataset.id)")
    slow[0].continue_()
    page.wait_for_timeout(300)
    assert found.evaluate_all("all => all.map(c => c.dataset.id)") == newer
    page.unroute("**/v1/search")


def test_the_page_says_what_a_list_had_to_do_without(
    shop: Shop, open_page: Open, watch: Any, tmp_path: Path
) -> None:
    watch.expected.append("503")  # judgements cannot be read either
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this was a database once" * 1000)
    config = Config.model_validate({"search": {"database": f"sqlite:///{damaged}"}})
    store = FeedbackStore.open(config, shop.workspace, must_answer=False)
    with serving(replace(shop, store=store)) as address:
        page = open_page(BAG, at=address)
        expect(cards(page).first).to_be_visible()
        expect(page.get_by_role("status").filter(has_text="No rule acts")).to_contain_text("is damaged")
        page.goto(f"{address}{BAG}?rules=off")
        expect(page.get_by_text("Rules are off in this view.")).to_be_visible()
        expect(page.get_by_text("No rule acts")).to_have_count(0)
