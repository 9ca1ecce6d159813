"""Keys: signing in and out on the page, and what each role sees."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from recsys.feedback.rules import Rule
from tests.serving.page.conftest import Open, Shop, Watch
from tests.serving.page.locators import BAG, cards


@pytest.fixture
def open_keyed(open_page: Open, keyed_site: str, watch: Watch) -> Open:
    """Open an address of the service with keys and sign in."""

    def open_(path: str, name: str) -> Any:
        watch.expected.append("401")
        page = open_page(path, at=keyed_site)
        sign_in(page, name)
        return page

    return open_


def sign_in(page: Any, name: str) -> None:
    page.get_by_label("Your key").fill(f"key-{name}")
    page.get_by_role("button", name="Sign in").click()


def test_signing_in_returns_to_the_requested_page(
    open_page: Open, keyed_site: str, watch: Any, shop: Shop
) -> None:
    watch.expected.append("401")
    page = open_page(f"{BAG}?looks=30", at=keyed_site)
    page.wait_for_url("**/login?next=*")
    sign_in(page, "nobody")
    expect(page.get_by_role("alert")).to_contain_text("The key is not one of those configured.")
    expect(page.get_by_label("Your key")).to_have_attribute("aria-invalid", "true")
    sign_in(page, "maria")
    page.wait_for_url(f"{keyed_site}{BAG}?looks=30")
    card = cards(page).first
    expect(card).to_be_visible()
    card.hover()
    card.get_by_role("button", name=re.compile("^Block")).click()
    expect(page.get_by_role("region", name="Messages")).to_contain_text("Blocked:")
    (rule,) = shop.store.rules()
    assert rule.author == "maria"
    page.get_by_role("button", name="Signed in as maria").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto(keyed_site + BAG)
    page.wait_for_url("**/login?next=*")


def test_a_reader_sees_everything_and_changes_nothing(open_keyed: Open) -> None:
    page = open_keyed(BAG, "rita")
    card = cards(page).first
    expect(card).to_be_visible()
    card.hover()
    expect(card.get_by_role("button", name=re.compile("^More like this"))).to_be_visible()
    expect(card.get_by_role("button", name=re.compile("^(Pin|Block|Duplicate)"))).to_have_count(0)
    page.keyboard.press("r")
    panel = page.get_by_role("complementary", name="Rules")
    expect(panel.get_by_role("button", name="New rule")).to_have_count(0)


def test_somebody_elses_rule_is_read_only(open_keyed: Open, shop: Shop) -> None:
    rule = Rule(
        action="pin", target="product", target_value="P000020", scope="product", scope_value="P000003"
    )
    made = shop.store.add_rule(rule, "nils")
    page = open_keyed(f"{BAG}?panel=rule&about={made.id}", "maria")
    panel = page.get_by_role("complementary", name="Rule", exact=True)
    expect(panel).to_contain_text("Only nils or an administrator can change this rule.")
    expect(panel.get_by_role("button", name="Save changes")).to_have_count(0)
    expect(panel.get_by_role("radio", name="Pin")).to_be_disabled()
    expect(panel.locator(".timeline")).to_contain_text("nils created it")


def test_a_link_from_another_site_opens_for_signed_in_people(
    open_keyed: Open, keyed_site: str, watch: Watch
) -> None:
    page = open_keyed(BAG, "maria")
    expect(cards(page).first).to_be_visible()
    watch.elsewhere.clear()
    page.goto("about:blank")
    # From another site the browser sends no session cookie along with the page itself.
    page.evaluate("address => { location.href = address; }", f"{keyed_site}{BAG}?looks=10")
    expect(cards(page).first).to_be_visible()
    expect(page.get_by_role("button", name="Signed in as maria")).to_be_visible()
