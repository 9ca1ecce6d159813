"""The products found: what a card shows, sliders, filters, leaning, addresses that are shared."""

import re
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import PHONE, Open, Shop
from tests.serving.page.looks import BAG, cards, ids, settled
from tests.serving.page.scenes import until


def test_a_product_and_its_neighbours_are_shown(open_page: Open) -> None:
    page = open_page(BAG)
    expect(page.get_by_role("heading", level=1)).to_have_text("Larkmoss & Sons Dune cross-body bag, charcoal")
    asked = page.get_by_role("region", name="What you look for")
    for words in ("Accessories", "Handbags", "Larkmoss & Sons", "$161.90", "In stock", "P000003"):
        expect(asked).to_contain_text(words)
    first = cards(page).first
    expect(first).to_contain_text(re.compile(r"\$\d"))
    expect(first).to_contain_text(re.compile(r"\d+% (nearly equal|very alike|alike|somewhat alike)"))
    expect(first.get_by_role("img", name=re.compile("Looks alike .*described alike"))).to_be_visible()
    assert "P000003" not in ids(page)
    link = asked.get_by_role("link", name="Open in the shop")
    assert link.get_attribute("href") == "https://shop.example/p/p000003"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_everything_the_feed_says_is_a_click_away(open_page: Open) -> None:
    page = open_page(BAG)
    page.get_by_role("button", name="All details, and the image in large").click()
    sheet = page.get_by_role("dialog", name="Larkmoss & Sons Dune cross-body bag, charcoal")
    for words in (
        "Accessories > Handbags",
        "vegan leather",
        "$161.90",
        "In stock",
        "G000003",
        "CollectionDune",
    ):
        expect(sheet).to_contain_text(words)
    image = sheet.get_by_role("img")
    until(page, "document.querySelector('.large img').naturalWidth > 0")
    assert image.bounding_box()["width"] > 400
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    expect(page.get_by_role("button", name="All details, and the image in large")).to_be_focused()


def test_a_sale_price_stands_before_the_old_one_struck_through(open_page: Open) -> None:
    page = open_page("/similar/P000002")
    price = page.get_by_role("region", name="What you look for").locator(".price")
    expect(price.locator("ins")).to_have_text("$45.49")
    expect(price.locator("s")).to_have_text("$64.99")


def test_images_are_right_sized_and_wait_until_they_are_needed(open_page: Open) -> None:
    page = open_page("/similar/P000003?variants=all")
    expect(cards(page)).to_have_count(36)
    images = page.locator(".card img")
    said = images.evaluate_all(
        "all => all.map(i => [i.loading, i.srcset.split(',').length, i.sizes.length > 0, i.width > 0,"
        " i.getAttribute('width'), i.getAttribute('height')])"
    )
    assert {s[0] for s in said[:5]} == {"eager"}
    assert {s[0] for s in said[8:]} == {"lazy"}
    assert all(s[1:] == [4, True, True, "320", "320"] for s in said)
    until(page, "document.querySelector('.card img').complete")
    chosen = images.first.evaluate("i => [i.currentSrc, i.getBoundingClientRect().width, devicePixelRatio]")
    width = int(chosen[0].rpartition("w=")[2])
    assert chosen[1] * chosen[2] <= width <= 640
    shift = page.evaluate(
        "() => new Promise(done => new PerformanceObserver((list) => done(list.getEntries()"
        ".filter((e) => !e.hadRecentInput).reduce((s, e) => s + e.value, 0)))"
        ".observe({type: 'layout-shift', buffered: true}) || setTimeout(() => done(0), 800))"
    )
    assert shift < 0.1


def test_a_product_without_a_image_has_a_stand_in(open_page: Open, shop: Shop) -> None:
    without = next(
        r["id"] for batch in shop.live.view().snapshot.batches(["id", "images"])
        for r in batch.to_pylist() if not r["images"]
    )  # fmt: skip
    page = open_page(f"/similar/{without}?looks=0")
    expect(page.locator(".portrait .empty-image")).to_be_visible()
    expect(page.locator(".portrait")).to_contain_text("No image")
    expect(cards(page).first).to_be_visible()
    other = ids(page)[0]
    page.goto(page.url.replace(without, other).replace("looks=0", "looks=0&variants=all"))
    expect(cards(page).first).to_be_visible()
    assert (
        page.locator("img").evaluate_all("all => all.filter(i => i.complete && !i.naturalWidth).length") == 0
    )


def test_a_image_that_cannot_be_had_leaves_no_hole(open_page: Open, watch: Any) -> None:
    watch.expected.append("404")
    page = open_page("/")
    page.route("**/images/**", lambda route: route.fulfill(status=404, body=""))
    page.goto(page.url + "similar/P000003")
    expect(cards(page).first.locator(".empty-image")).to_be_visible()
    assert page.locator(".card:nth-child(-n+4) img").count() == 0


def test_the_slider_between_looks_and_words_changes_the_order(open_page: Open) -> None:
    page = open_page(BAG)
    slider = page.get_by_role("slider", name="What counts")
    expect(slider).to_have_attribute("aria-valuetext", "50% looks, 50% words")
    expect(cards(page).first).to_be_visible()
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
    page.get_by_role("button", name="Sliders as usual").is_disabled()


def test_dragging_a_slider_is_one_step_back(open_page: Open) -> None:
    page = open_page(BAG)
    slider = page.get_by_role("slider", name="What counts")
    expect(cards(page).first).to_be_visible()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.4, 0.3, 0.2, 0.1):
        page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
        page.wait_for_timeout(150)
    page.mouse.up()
    page.wait_for_url("**looks=90*")
    page.go_back()
    page.wait_for_url(re.compile("P000003$"))
    expect(slider).to_have_attribute("aria-valuetext", "50% looks, 50% words")


def test_variety_brings_other_kinds_forward(open_page: Open) -> None:
    page = open_page(BAG)
    expect(cards(page).first).to_be_visible()
    before = ids(page)
    page.get_by_role("slider", name="Variety").fill("1")
    page.wait_for_url("**variety=100*")
    settled(page)
    assert ids(page)[0] == before[0]
    assert ids(page) != before
    page.get_by_role("button", name="Sliders as usual").click()
    settled(page)
    assert ids(page) == before


def test_filters_narrow_with_counts_and_come_off_as_chips(open_page: Open) -> None:
    page = open_page(BAG)
    filters = page.get_by_role("region", name="Filters")
    brand = filters.locator("[data-column=brand]")
    row = brand.locator("label").first
    name, count = row.locator("span").first.inner_text(), int(row.locator(".number").inner_text())
    row.get_by_role("checkbox").check()
    page.wait_for_url("**in.brand=*")
    settled(page)
    shown = cards(page).evaluate_all("all => all.map(c => c.querySelector('.meta').textContent)")
    assert shown
    assert all(words.startswith(name) for words in shown)
    assert len(shown) <= count
    assert page.evaluate("document.activeElement.dataset.value") == name
    brand.get_by_role("checkbox").nth(1).check()
    chips = page.get_by_role("group", name="Filters that are on")
    expect(chips.get_by_role("button", name=re.compile("^Without the filter"))).to_have_count(2)
    chips.get_by_role("button", name=f"Without the filter {name}").click()
    expect(chips.get_by_role("button", name=re.compile("^Without"))).to_have_count(1)
    page.go_back()
    expect(chips.get_by_role("button", name=re.compile("^Without"))).to_have_count(2)
    chips.get_by_role("button", name="Clear all").click()
    expect(chips).to_have_count(0)
    assert "in.brand" not in page.url


def test_a_category_holds_everything_below_it(open_page: Open) -> None:
    page = open_page(BAG)
    tree = page.locator("[data-column=product_type]")
    handbags = tree.get_by_role("button", name="Handbags")
    expect(handbags).to_be_visible()  # open where the product is
    tree.get_by_role("button", name="Accessories", exact=False).first.click()
    page.wait_for_url("**in.product_type=Accessories*")
    settled(page)
    count = int(tree.locator("button[aria-pressed=true] .number").inner_text())
    page.get_by_role("switch", name="Collapse variants").click()
    settled(page)
    expect(cards(page)).to_have_count(count - 1)  # all but the product itself
    handbags.click()
    page.wait_for_url("**Handbags*")
    handbags.click()
    page.wait_for_url(lambda url: "product_type" not in url)


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
    assert prices
    assert max(prices) <= 40
    expect(page.get_by_role("group", name="Filters that are on")).to_contain_text("Up to $40.00")
    page.locator("[data-column=availability]").get_by_role("checkbox", name="In stock").check()
    settled(page)
    assert "Sold out" not in page.locator(".grid").inner_text()
    page.get_by_role("button", name="Clear all").click()
    page.get_by_text("Collection", exact=True).click()
    page.locator("[data-column='attributes.collection']").get_by_role("checkbox").first.check()
    page.wait_for_url("**in.attributes.collection=*")
    expect(cards(page).first).to_be_visible()


def test_the_handles_of_the_price_can_be_moved_by_keys(open_page: Open) -> None:
    page = open_page(BAG)
    handle = page.get_by_role("slider", name="Highest price, slider")
    expect(handle).to_be_visible()
    highest = int(handle.get_attribute("max"))
    handle.fill(str(highest // 2))
    page.wait_for_url(f"**price=-{highest // 2}*")
    expect(page.get_by_role("spinbutton", name="Highest price")).to_have_value(str(highest // 2))


def test_filters_that_leave_nothing_say_so(open_page: Open) -> None:
    page = open_page(f"{BAG}?price=1-2")
    expect(page.get_by_role("heading", name="Nothing passes these filters")).to_be_visible()
    page.get_by_role("button", name="Clear all filters").click()
    expect(cards(page).first).to_be_visible()


def test_more_and_less_like_this_lean_the_search(open_page: Open) -> None:
    page = open_page(f"{BAG}?variants=all")
    expect(cards(page).first).to_be_visible()
    before = ids(page)
    liked, unliked = before[4], before[0]
    cards(page).nth(4).hover()
    cards(page).nth(4).get_by_role("button", name=re.compile("^More like this")).click()
    expect(page.get_by_role("region", name="Messages").get_by_text("Looking for more like")).to_be_visible()
    page.wait_for_url(f"**like={liked}*")
    settled(page)
    assert liked not in ids(page)
    page.locator(f"[data-id={unliked}]").hover()
    page.locator(f"[data-id={unliked}]").get_by_role("button", name=re.compile("^Less like this")).click()
    page.wait_for_url(f"**unlike={unliked}*")
    settled(page)
    assert unliked not in ids(page)
    leaning = page.get_by_role("group", name="What the search leans on")
    expect(leaning.locator(".chip")).to_have_count(2)
    page.get_by_role("button", name="Undo").last.click()
    expect(leaning.locator(".chip")).to_have_count(1)
    leaning.get_by_role("button", name=re.compile("^No longer more like")).click()
    settled(page)
    assert ids(page) == before


def test_words_are_added_to_a_product(open_page: Open) -> None:
    page = open_page(BAG)
    expect(cards(page).first).to_be_visible()
    before = ids(page)
    page.get_by_role("textbox", name="Add words to this search").fill("red")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=red*")
    settled(page)
    assert ids(page) != before
    page.get_by_role("button", name="Without the words red").click()
    settled(page)
    assert ids(page) == before


def test_variants_are_collapsed_and_listed(open_page: Open) -> None:
    page = open_page(BAG)
    expect(cards(page).first).to_be_visible()
    collapsed = len(ids(page))
    toggle = page.get_by_role("button", name=re.compile(r"^\d+ more variants?$")).first
    many = int(toggle.inner_text().split()[0])
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    card = page.locator(".card", has=page.locator("[aria-expanded=true]"))
    links = card.get_by_role("list", name="Variants").get_by_role("link")
    expect(links).to_have_count(many)
    assert links.first.get_attribute("aria-label")
    toggle.click()
    expect(links.first).to_be_hidden()
    page.get_by_role("switch", name="Collapse variants").click()
    page.wait_for_url("**variants=all*")
    expect(page.get_by_role("button", name=re.compile("more variant"))).to_have_count(0)
    assert len(ids(page)) >= collapsed


def test_an_address_shows_another_person_the_same(open_page: Open) -> None:
    page = open_page(BAG)
    page.get_by_role("slider", name="What counts").fill("0.2")
    page.get_by_role("slider", name="Variety").fill("0.5")
    page.locator("[data-column=availability]").get_by_role("checkbox", name="In stock").check()
    page.wait_for_url("**in.availability=in_stock*")
    settled(page)
    cards(page).nth(2).hover()
    cards(page).nth(2).get_by_role("button", name=re.compile("^Why")).click()
    expect(page.get_by_role("complementary")).to_be_visible()
    other = open_page(page.url.split("/", 3)[3].join(["/", ""]))
    expect(cards(other).first).to_be_visible()
    settled(other)
    assert ids(other) == ids(page)
    expect(other.get_by_role("slider", name="What counts")).to_have_value("0.2")
    expect(other.get_by_role("checkbox", name="In stock")).to_be_checked()
    expect(other.get_by_role("complementary", name="Why is it here?")).to_be_visible()


def test_back_leads_to_the_same_place_in_the_list(open_page: Open) -> None:
    page = open_page("/similar/P000003?variants=all")
    expect(cards(page)).to_have_count(36)
    page.mouse.wheel(0, 20_000)
    expect(cards(page)).to_have_count(72)
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
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def test_a_phone_has_everything_in_reach(open_page: Open) -> None:
    page = open_page(BAG, viewport=PHONE, has_touch=True, is_mobile=True)
    expect(cards(page).first).to_be_visible()
    for path in ("", "?panel=rules", "?panel=shelf"):
        page.goto(page.url.split("?")[0] + path)
        expect(cards(page).first).to_be_visible()
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
