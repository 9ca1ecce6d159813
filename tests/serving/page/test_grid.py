"""The products found: what a card shows, sliders, filters, steering, addresses that are shared."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import PHONE, Open
from tests.serving.page.locators import BAG, cards, ids, settled, until


def test_a_product_and_its_neighbours_are_shown(open_list: Open) -> None:
    page = open_list()
    expect(page.get_by_role("heading", level=1)).to_have_text("Larkmoss & Sons Dune cross-body bag, charcoal")
    query = page.get_by_role("region", name="What you look for")
    for words in ("Accessories", "Handbags", "Larkmoss & Sons", "$161.90", "In stock", "P000003"):
        expect(query).to_contain_text(words)
    first = cards(page).first
    expect(first).to_contain_text(re.compile(r"\$\d"))
    expect(first).to_contain_text(re.compile(r"\d+% "))
    expect(first.get_by_role("img", name=re.compile("Looks alike .*described alike"))).to_be_visible()
    assert "P000003" not in ids(page)
    link = query.get_by_role("link", name="Open in the shop")
    assert link.get_attribute("href") == "https://shop.example/p/p000003"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_details_open_in_a_dialog_and_the_focus_returns(open_page: Open) -> None:
    page = open_page(BAG)
    opener = page.get_by_role("button", name="All details, and the image in large")
    opener.click()
    sheet = page.get_by_role("dialog", name="Larkmoss & Sons Dune cross-body bag, charcoal")
    for words in ("Accessories > Handbags", "vegan leather", "$161.90", "G000003", "CollectionDune"):
        expect(sheet).to_contain_text(words)
    until(page, "document.querySelector('.large img').naturalWidth > 0")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(opener).to_be_focused()


def test_images_are_sized_to_fit_and_lazy_without_layout_shift(open_page: Open) -> None:
    page = open_page(f"{BAG}?variants=all")
    expect(cards(page)).to_have_count(36)
    images = page.locator(".card img")
    loading = images.evaluate_all("all => all.map(i => i.loading)")
    assert set(loading[:5]) == {"eager"}
    assert set(loading[8:]) == {"lazy"}
    until(page, "document.querySelector('.card img').complete")
    chosen = images.first.evaluate("i => [i.currentSrc, i.getBoundingClientRect().width, devicePixelRatio]")
    assert chosen[1] * chosen[2] <= int(chosen[0].rpartition("w=")[2]) <= 640
    shift = page.evaluate(
        "() => new Promise(done => new PerformanceObserver((list) => done(list.getEntries()"
        ".filter((e) => !e.hadRecentInput).reduce((s, e) => s + e.value, 0)))"
        ".observe({type: 'layout-shift', buffered: true}) || setTimeout(() => done(0), 800))"
    )
    assert shift < 0.1


def test_an_image_that_does_not_load_gets_a_placeholder(open_page: Open, watch: Any) -> None:
    watch.expected.append("404")
    page = open_page("/")
    page.route("**/images/**", lambda route: route.fulfill(status=404, body=""))
    page.goto(page.url + "similar/P000003")
    expect(cards(page).first.locator(".empty-image")).to_be_visible()
    assert page.locator(".card:nth-child(-n+4) img").count() == 0


def test_the_slider_between_looks_and_words_changes_the_order(open_list: Open) -> None:
    page = open_list()
    slider = page.get_by_role("slider", name="What counts")
    expect(slider).to_have_attribute("aria-valuetext", "50% looks, 50% words")
    before = ids(page)
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "0% looks, 100% words")
    page.wait_for_url("**looks=0*")
    settled(page)
    assert ids(page) != before
    assert page.evaluate("document.activeElement.id") == "looks"
    page.go_back()
    expect(slider).to_have_attribute("aria-valuetext", "50% looks, 50% words")
    settled(page)
    assert ids(page) == before


def test_dragging_a_slider_is_one_step_back(open_list: Open) -> None:
    page = open_list()
    box = page.get_by_role("slider", name="What counts").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.4, 0.3, 0.2, 0.1):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
    page.mouse.up()
    page.wait_for_url("**looks=90*")
    page.go_back()
    page.wait_for_url(re.compile("P000003$"))


def test_variety_and_added_words_change_the_order_until_removed(open_list: Open) -> None:
    page = open_list()
    before = ids(page)
    page.get_by_role("slider", name="Variety").fill("1")
    page.wait_for_url("**variety=100*")
    settled(page)
    assert ids(page)[0] == before[0]
    assert ids(page) != before
    page.get_by_role("button", name="Reset sliders").click()
    settled(page)
    assert ids(page) == before
    page.get_by_role("textbox", name="Add words to this search").fill("red")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=red*")
    settled(page)
    assert ids(page) != before
    page.get_by_role("button", name="Remove the words red").click()
    settled(page)
    assert ids(page) == before


def test_filters_narrow_the_list_and_are_removed_by_chips(open_list: Open) -> None:
    page = open_list()
    brand = page.get_by_role("region", name="Filters").locator("[data-column=brand]")
    row = brand.locator("label").first
    name, count = row.locator("span").first.inner_text(), int(row.locator(".number").inner_text())
    row.get_by_role("checkbox").check()
    page.wait_for_url("**in.brand=*")
    settled(page)
    shown = cards(page).evaluate_all("all => all.map(c => c.querySelector('.meta').textContent)")
    assert 0 < len(shown) <= count
    assert all(words.startswith(name) for words in shown)
    brand.get_by_role("checkbox").nth(1).check()
    chips = page.get_by_role("group", name="Filters that are on")
    removers = chips.get_by_role("button", name=re.compile("^Remove the filter"))
    expect(removers).to_have_count(2)
    chips.get_by_role("button", name=f"Remove the filter {name}").click()
    expect(removers).to_have_count(1)
    page.go_back()
    expect(removers).to_have_count(2)
    chips.get_by_role("button", name="Clear all").click()
    expect(chips).to_have_count(0)
    assert "in.brand" not in page.url


def test_a_category_holds_everything_below_it(open_page: Open) -> None:
    page = open_page(BAG)
    tree = page.locator("[data-column=product_type]")
    expect(tree.get_by_role("button", name="Handbags")).to_be_visible()  # open where the product is
    tree.get_by_role("button", name="Accessories", exact=False).first.click()
    page.wait_for_url("**in.product_type=Accessories*")
    settled(page)
    count = int(tree.locator("button[aria-pressed=true] .number").inner_text())
    page.get_by_role("switch", name="Group variants").click()
    settled(page)
    expect(cards(page)).to_have_count(min(36, count - 1))  # all but the product itself


def test_prices_stock_and_custom_attributes_are_filters_too(open_page: Open) -> None:
    page = open_page(BAG)
    page.get_by_role("spinbutton", name="Highest price").fill("40")
    page.keyboard.press("Enter")
    page.wait_for_url("**price=-40*")
    settled(page)
    prices = cards(page).evaluate_all(
        "all => all.map(c => c.querySelector('.price s') ?? c.querySelector('.price span'))"
        ".map(n => parseFloat(n.textContent.slice(1)))"
    )
    assert 0 < max(prices) <= 40
    page.locator("[data-column=availability]").get_by_role("checkbox", name="In stock").check()
    settled(page)
    assert "Sold out" not in page.locator(".grid").inner_text()
    page.get_by_role("button", name="Clear all").click()
    handle = page.get_by_role("slider", name="Highest price, slider")
    handle.fill("60")  # as the keys do
    page.wait_for_url("**price=-60*")
    page.get_by_text("Collection", exact=True).click()
    page.locator("[data-column='attributes.collection']").get_by_role("checkbox").first.check()
    page.wait_for_url("**in.attributes.collection=*")


def test_more_and_less_like_this_steer_the_search(open_list: Open) -> None:
    page = open_list(f"{BAG}?variants=all")
    before = ids(page)
    steering = page.get_by_role("group", name="What steers the search")
    for id, label, part in ((before[4], "More", "like"), (before[0], "Less", "unlike")):
        card = page.locator(f".card[data-id={id}]")
        card.hover()
        card.get_by_role("button", name=re.compile(f"^{label} like this")).click()
        page.wait_for_url(re.compile(rf"[?&]{part}={id}"))
        settled(page)
        assert id not in ids(page)
    expect(steering.locator(".chip")).to_have_count(2)
    page.get_by_role("button", name="Undo").last.click()
    expect(steering.locator(".chip")).to_have_count(1)
    steering.get_by_role("button", name=re.compile("^Remove “more like”")).click()
    settled(page)
    assert ids(page) == before


def test_variants_are_grouped_and_shown_on_demand(open_list: Open) -> None:
    page = open_list()
    grouped = len(ids(page))
    toggle = page.get_by_role("button", name=re.compile(r"^\d+ more variants?$")).first
    many = int(toggle.inner_text().split()[0])
    toggle.click()
    card = page.locator(".card", has=page.locator("[aria-expanded=true]"))
    links = card.get_by_role("list", name="Variants").get_by_role("link")
    expect(links).to_have_count(many)
    assert links.first.get_attribute("aria-label")
    toggle.click()
    expect(links.first).to_be_hidden()
    page.get_by_role("switch", name="Group variants").click()
    page.wait_for_url("**variants=all*")
    settled(page)
    assert len(ids(page)) >= grouped


def test_a_url_shows_another_person_the_same_list(open_page: Open, open_list: Open) -> None:
    page = open_list(f"{BAG}?looks=80&variety=50&in.availability=in_stock")
    cards(page).nth(2).hover()
    cards(page).nth(2).get_by_role("button", name=re.compile("^Why")).click()
    expect(page.get_by_role("complementary")).to_be_visible()
    other = open_list("/" + page.url.split("/", 3)[3])
    settled(other)
    assert ids(other) == ids(page)
    expect(other.get_by_role("slider", name="What counts")).to_have_value("0.2")
    expect(other.get_by_role("checkbox", name="In stock")).to_be_checked()
    expect(other.get_by_role("complementary", name="Why is it here?")).to_be_visible()


def test_scrolling_loads_more_and_going_back_returns_to_the_same_place(open_page: Open) -> None:
    page = open_page(f"{BAG}?variants=all")
    expect(cards(page)).to_have_count(36)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(72)
    assert len(set(ids(page))) == 72
    fiftieth = cards(page).nth(50)
    fiftieth.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    where, title = page.evaluate("scrollY"), fiftieth.locator(".title").inner_text()
    fiftieth.get_by_role("link", name=title).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    until(page, "scrollY === 0")
    page.go_back()
    expect(cards(page)).to_have_count(72)
    until(page, f"Math.abs(scrollY - {where}) < 150")


def test_everything_is_reachable_on_a_phone(open_list: Open) -> None:
    page = open_list(f"{BAG}?panel=rules", viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.goto(page.url.split("?")[0])
    page.get_by_role("button", name="Fine-tune").tap()
    expect(page.get_by_role("slider", name="Variety")).to_be_visible()
    page.get_by_role("button", name="Filters").tap()
    dialog = page.get_by_role("dialog", name="Filters")
    dialog.get_by_role("checkbox", name="In stock").check()
    dialog.get_by_role("button", name="Show products").tap()
    expect(page.get_by_role("button", name="Filters (1)")).to_be_visible()
    cards(page).first.get_by_role("button", name=re.compile("^What can be done")).tap()
    panel = page.get_by_role("complementary", name="Why is it here?")
    panel.get_by_role("button", name="Less like this").tap()
    expect(panel).to_be_hidden()
    page.wait_for_url("**unlike=*")
