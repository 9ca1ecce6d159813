"""Searching by a photograph: chosen, dropped, pasted, taken, shared."""

import base64
import json
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.serving.page.conftest import PHONE, Open
from tests.serving.page.locators import BAG, cards, until

GIVE = """([name, kind, data, event]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name, { type: kind }));
  const options = { bubbles: true, cancelable: true };
  const arrives = event === "paste"
    ? new ClipboardEvent("paste", { ...options, clipboardData: held })
    : new DragEvent(event, { ...options, dataTransfer: held });
  document.body.dispatchEvent(arrives);
}"""


def give(page: Any, file: Path, event: str, kind: str = "image/jpeg") -> None:
    """Let a file arrive as the browser would bring it."""
    data = base64.b64encode(file.read_bytes()).decode()
    page.evaluate(GIVE, [file.name, kind, data, event])


def finds(page: Any) -> None:
    """A photograph is searched by and shown."""
    expect(page.get_by_role("heading", level=1)).to_have_text("What looks alike")
    expect(cards(page).first).to_be_visible()
    until(page, "document.querySelector('.portrait img').naturalWidth > 0")


def test_a_photograph_is_chosen(open_page: Open, photo: Path) -> None:
    page = open_page("/")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="By a photograph Drop").click()
    chooser.value.set_files(photo)
    finds(page)
    page.get_by_role("slider", name="What counts").fill("0")  # looks alone: it is found among all others
    expect(page.locator(".card").first).to_have_attribute("data-id", photo.stem)
    page.reload()
    finds(page)  # it stayed on this device


def test_a_photograph_is_dropped_anywhere(open_page: Open, photo: Path) -> None:
    page = open_page(BAG)
    give(page, photo, "dragenter")
    expect(page.get_by_text("Drop the photograph to find what looks alike")).to_be_visible()
    give(page, photo, "drop")
    finds(page)
    expect(page.locator(".drop")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dune cross-body bag")


def test_a_phone_takes_a_photograph(open_page: Open, photo: Path) -> None:
    page = open_page("/", viewport=PHONE, has_touch=True, is_mobile=True)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photograph").tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(photo)
    finds(page)


def test_a_photograph_is_sent_small_and_without_metadata(
    open_page: Open, tmp_path: Path, photo: Path
) -> None:
    from PIL import Image

    large = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by the camera
    exif[0x010F] = "a maker who may give somebody away"
    with Image.open(photo) as image:
        image.resize((3000, 2000)).save(large, exif=exif)
    page = open_page("/")
    sent: list[str] = []
    page.on("request", lambda r: sent.append(r.post_data or "") if r.url.endswith("/v1/search") else None)
    expect(page.locator(".tile").first).to_be_visible()
    give(page, large, "paste")
    expect(cards(page).first).to_be_visible()
    data = json.loads(sent[-1])["images"][0]
    jpeg = base64.b64decode(data.partition(",")[2])
    assert b"may give somebody away" not in jpeg
    (tmp_path / "sent.jpg").write_bytes(jpeg)
    with Image.open(tmp_path / "sent.jpg") as image:
        assert image.height == 640  # upright
        assert image.width == 427
        assert not image.getexif()


def test_a_file_that_is_not_an_image_is_refused(open_list: Open, tmp_path: Path) -> None:
    text = tmp_path / "list.txt"
    text.write_text("no image")
    page = open_list()
    give(page, text, "drop", "text/plain")
    expect(page.get_by_role("region", name="Messages").get_by_text("That is not an image.")).to_be_visible()
    give(page, text, "drop", "image/jpeg")
    expect(
        page.get_by_role("region", name="Messages").get_by_text("cannot be read as an image")
    ).to_be_visible()
    assert page.url.endswith(BAG)


def test_a_copied_link_includes_the_photograph(open_page: Open, photo: Path, site: str) -> None:
    page = open_page("/", permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator(".tile").first).to_be_visible()
    give(page, photo, "paste")
    finds(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("region", name="Messages").get_by_text("The link was copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{site}/search?photo=")
    other = open_page(link.removeprefix(site))
    finds(other)
    assert "#" not in other.url
    bare = open_page(link.removeprefix(site).partition("#")[0])  # the address bar's, on another device
    expect(bare.get_by_role("heading", level=1)).to_have_text("The photograph is not on this device")
