"""Rules and judgements: one click, undone by one; the editor with its preview; the list; the history."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import expect

from recsys.feedback.rules import Rule
from tests.serving.page.conftest import Open, Shop
from tests.serving.page.locators import BAG, act, cards, ids, messages, press


def undo(page: Any) -> None:
    messages(page).get_by_role("button", name="Undo").last.click()


def test_a_pin_takes_one_click_and_undo_one_more(open_list: Open, shop: Shop) -> None:
    page = open_list()
    before = ids(page)
    act(page, before[5], "Pin")
    expect(cards(page).first).to_have_attribute("data-id", before[5])
    (rule,) = shop.store.rules()
    assert (rule.action, rule.target_value, rule.scope, rule.scope_value) == (
        "pin", before[5], "product", "P000003",
    )  # fmt: skip
    undo(page)
    expect(cards(page).nth(5)).to_have_attribute("data-id", before[5])
    assert shop.store.rules() == []
    assert ids(page) == before


def test_block_boost_and_bury_move_products_and_mark_them(open_list: Open, shop: Shop) -> None:
    page = open_list(f"{BAG}?variants=all")
    before = ids(page)
    act(page, before[0], "Block")
    expect(page.locator(f".card[data-id={before[0]}]")).to_have_count(0)
    act(page, before[3], "Bury")
    expect(page.locator(f".card[data-id={before[3]}]")).to_contain_text("Buried")
    act(page, before[4], "Boost")
    expect(page.locator(f".card[data-id={before[4]}]")).to_contain_text("Boosted")
    assert ids(page).index(before[4]) < ids(page).index(before[3])
    act(page, before[4], "Boost")  # again: no more
    expect(messages(page)).to_contain_text("No longer boosted")
    expect(page.locator(f".card[data-id={before[4]}]")).not_to_contain_text("Boosted")
    page.keyboard.press("z")  # undo by key: boosted again
    expect(page.locator(f".card[data-id={before[4]}]")).to_contain_text("Boosted")
    assert {r.action for r in shop.store.rules()} == {"block", "bury", "boost"}


def test_keys_do_the_same_as_buttons(open_list: Open, shop: Shop) -> None:
    page = open_list()
    before = ids(page)
    cards(page).first.get_by_role("link").last.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("p")
    expect(cards(page).first).to_have_attribute("data-id", before[2])
    focused = "document.activeElement.closest('.card')?.dataset.id"
    assert page.evaluate(focused) == before[2]  # the focus went along
    page.keyboard.press("n")
    expect(cards(page).first).to_contain_text("Not similar")
    page.keyboard.press("y")
    expect(cards(page).first.locator(".badge.similar")).to_be_visible()
    (judgement,) = shop.store.judgements()
    assert judgement.label == "similar"
    page.keyboard.press("Control+z")
    expect(cards(page).first.locator(".badge.not_similar")).to_be_visible()
    page.keyboard.press("b")
    expect(page.locator(f".card[data-id={before[2]}]")).to_have_count(0)
    assert page.evaluate(focused) is not None  # not lost with the product


def test_a_judgement_is_saved_shown_and_withdrawn(open_list: Open, shop: Shop) -> None:
    page = open_list()
    other = ids(page)[1]
    act(page, other, "Duplicate")
    page.reload()
    expect(page.locator(f".card[data-id={other}] .badge.duplicate")).to_be_visible()
    (judgement,) = shop.store.judgements()
    assert {judgement.left_id, judgement.right_id} == {"P000003", other}
    assert judgement.author == "local"
    page.locator(f".card[data-id={other}]").get_by_role("button", name=re.compile("^Why is")).click()
    panel = page.get_by_role("complementary")
    duplicate = panel.get_by_role("button", name="Duplicate")
    duplicate.click()
    expect(duplicate).to_have_attribute("aria-pressed", "false")
    assert shop.store.judgements() == []
    undo(page)
    expect(duplicate).to_have_attribute("aria-pressed", "true")


def test_a_rule_is_created_for_a_brand_with_dates_a_reason_and_a_preview(open_page: Open, shop: Shop) -> None:
    page = open_page(f"{BAG}?panel=rules")
    panel = page.get_by_role("complementary", name="Rules")
    panel.get_by_role("button", name="New rule").click()
    panel = page.get_by_role("complementary", name="New rule")
    panel.get_by_role("radio", name="Block").check(force=True)
    panel.get_by_role("radio", name="A brand").check(force=True)
    panel.get_by_role("combobox", name="What it moves: brand").fill("Velmadora")
    panel.get_by_role("radio", name="A category").last.check(force=True)
    expect(panel.get_by_role("combobox", name="Where: category")).to_have_value("Accessories > Handbags")
    expect(panel.locator(".sentence")).to_contain_text(
        "Never show everything by Velmadora next to products in Handbags"
    )
    expect(panel.get_by_role("list", name="With this rule").get_by_role("listitem")).to_have_count(12)
    assert shop.store.rules() == []  # a preview keeps nothing
    panel.get_by_role("button", name="A month").click()
    panel.get_by_role("textbox", name="Why").fill("No more deliveries")
    panel.get_by_role("button", name="Create rule").click()
    panel = page.get_by_role("complementary", name="Rules")
    expect(panel).to_contain_text("“No more deliveries”")
    expect(page.locator(".grid")).not_to_contain_text("Velmadora")
    (rule,) = shop.store.rules()
    assert 29 <= (rule.expires_at - datetime.now(UTC)).days <= 31


def test_a_changed_rule_has_a_history_with_authors(open_page: Open, shop: Shop) -> None:
    rule = shop.store.add_rule(
        Rule(
            action="boost", target="product", target_value="P000020", scope="product", scope_value="P000003"
        ),
        "maria",
    )
    page = open_page(f"{BAG}?panel=rules")
    panel = page.get_by_role("complementary", name="Rules")
    panel.get_by_role("button", name=re.compile("^Open: Show")).click()
    panel = page.get_by_role("complementary", name="Rule", exact=True)
    panel.get_by_role("slider", name="How strongly").fill("0.3")
    panel.get_by_label("Last day").fill("2099-12-24")
    panel.get_by_role("button", name="Save changes").click()
    expect(messages(page)).to_contain_text("The rule was changed")
    assert shop.store.rule(rule.id).strength == 0.3
    page.go_back()
    history = page.get_by_role("complementary").locator(".timeline")
    expect(history).to_contain_text("maria created it")
    expect(history).to_contain_text("local changed it")
    expect(history).to_contain_text("end: none → 24 Dec 2099")
    undo(page)
    expect(page.locator("#say")).to_have_text(re.compile("Undone"))
    assert shop.store.rule(rule.id).strength == 0.1
    assert shop.store.rule(rule.id).expires_at is None


def test_the_rules_page_lists_all_rules_and_ended_ones(open_page: Open, shop: Shop) -> None:
    now = datetime.now(UTC)
    shop.store.add_rule(
        Rule(action="bury", target="brand", target_value="Velmadora", starts_at=now + timedelta(days=3)),
        "ada",
    )
    gone = shop.store.add_rule(Rule(action="pin", target="product", target_value="P000011"), "ada")
    shop.store.retire_rule(gone.id, "ada")
    page = open_page("/rules")
    rows = page.get_by_role("main").get_by_role("listitem")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("Show everything by Velmadora clearly later everywhere")
    page.get_by_role("switch", name="Show ended rules").check()
    expect(page.locator(".rule.ended").first).to_contain_text("by ada")
    end = page.get_by_role("button", name=re.compile("^End: Show everything by Velmadora"))
    end.click()
    expect(end).to_have_count(0)
    undo(page)
    expect(end).to_be_visible()
    assert len(shop.store.rules()) == 1


def test_an_invalid_rule_is_reported_in_its_form(open_page: Open, watch: Any, shop: Shop) -> None:
    watch.expected.append("400")
    page = open_page(f"{BAG}?panel=rule&about=new:pin:P000003")
    panel = page.get_by_role("complementary", name="New rule")
    panel.get_by_role("button", name="Create rule").click()
    expect(panel.get_by_role("alert")).to_contain_text("moves a product among its own neighbours")
    assert shop.store.rules() == []


def test_a_second_click_before_the_first_shows_is_ignored(open_list: Open, shop: Shop) -> None:
    page = open_list()
    before = ids(page)
    late: list[Any] = []
    page.route(
        "**/v1/search", lambda route: late.append(route)
    )  # the list stays as it was until it is let through
    act(page, before[3], "Boost")
    expect(messages(page)).to_contain_text("Boosted:")
    press(page, before[3], "Boost")
    press(page, before[3], "Boost")
    page.unroute("**/v1/search")  # lets through what was held
    expect(page.locator(f".card[data-id={before[3]}]")).to_contain_text("Boosted")
    assert len(shop.store.rules()) == 1


def test_the_last_requested_list_of_rules_is_shown(open_page: Open, shop: Shop) -> None:
    gone = shop.store.add_rule(Rule(action="pin", target="product", target_value="P000011"), "ada")
    shop.store.retire_rule(gone.id, "ada")
    page = open_page("/rules")
    ended = page.get_by_role("switch", name="Show ended rules")
    expect(page.get_by_text("There are no active rules")).to_be_visible()
    late: list[Any] = []
    page.route("**/v1/rules?include_past=true*", lambda route: late.append(route))
    ended.check()
    ended.uncheck()
    with page.expect_response("**/v1/rules?include_past=true*"):
        late[0].continue_()
    page.wait_for_timeout(200)
    expect(page.get_by_text("There are no active rules")).to_be_visible()
    expect(page.locator(".rule.ended")).to_have_count(0)
