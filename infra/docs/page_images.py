"""Take the images of the page for the docs: each scene is played as a person would, then taken.

python -m infra.docs.page_images http://127.0.0.1:8000 docs/images    # of `make demo`'s shop, for the docs
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.serving.page.locators import settle

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PRODUCT = "/similar/P000003"
MOST_BYTES = 300_000
_TOUCH = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}


@dataclass(frozen=True)
class Scene:
    """One image."""

    name: str
    path: str
    play: Callable[[Any], None] = lambda page: None
    viewport: dict[str, int] = field(default_factory=lambda: DESK)
    context: dict[str, Any] = field(default_factory=dict)

    def take(self, page: Any, folder: Path, kept: str = "") -> Path:
        """Play the scene on an opened page and return the image taken of it."""
        root = "/".join(page.url.split("/")[:3])
        page.goto(root + self.path.format(kept=kept))
        settle(page)
        self.play(page)
        page.mouse.move(0, 0)
        settle(page)
        path = folder / f"page-{self.name}.png"
        page.screenshot(path=path)
        return path


def _act(page: Any, place: int, name: str) -> None:
    card = page.locator(".grid > .card").nth(place)
    card.hover()
    card.locator(".quick").get_by_role("button", name=name).click()
    settle(page)


def _why(page: Any) -> None:
    page.locator(".grid .why").nth(1).click()


def _rules(page: Any) -> None:
    _act(page, 4, "Pin")
    _act(page, 2, "Bury")
    _act(page, 3, "Block")
    page.reload()
    page.get_by_role("button", name="Show rules").click()
    page.wait_for_selector(".rule .what")


def _rule(page: Any) -> None:
    page.get_by_role("radio", name="Boost").check(force=True)
    page.get_by_role("radio", name="A brand").check(force=True)
    page.get_by_role("combobox", name="What it moves: brand").fill("Quillane")
    page.get_by_role("button", name="A month").click()
    page.get_by_role("textbox", name="Why").fill("Their spring campaign")
    page.wait_for_selector(".preview-row img")
    page.locator(".panel-body").evaluate("body => body.scrollTo(0, 9999)")


def _shelf(page: Any) -> None:
    for place in (0, 2, 3, 6):
        card = page.locator(".grid > .card").nth(place)
        card.hover()
        card.locator("[data-act=shelf]").click()
    page.get_by_role("button", name="Shelf, 4 products").click()


def _narrowed(page: Any) -> None:
    page.locator(".grid > .card .expand").first.click()
    page.wait_for_selector(".variants img")


SCENES = (
    Scene("start", "/"),
    Scene("similar", PRODUCT, _narrowed),
    Scene("dark", PRODUCT, _why, context={"color_scheme": "dark"}),
    Scene("why", PRODUCT, _why),
    Scene("rules", PRODUCT, _rules),
    Scene("rule", f"{PRODUCT}?panel=rule&about=new", _rule, viewport={"width": 1400, "height": 1000}),
    Scene("compare", f"{PRODUCT}?compare={{kept}}"),
    Scene("shelf", PRODUCT, _shelf),
    Scene("phone", PRODUCT, viewport=PHONE, context=_TOUCH),
)


def main(address: str, folder: str) -> None:
    """Take the images for the docs of the service at ``address``."""
    from playwright.sync_api import sync_playwright

    from tests.serving.page.conftest import CHROMIUM

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scene in SCENES:
            page = browser.new_page(viewport=scene.viewport, locale="en-GB", **scene.context)
            page.goto(address)
            kept = page.evaluate("fetch('/v1/status').then(r => r.json()).then(s => s.collections)")
            other = next((c["collection"] for c in kept if not c["live"]), "")
            if other or "{kept}" not in scene.path:
                shrink(scene.take(page, Path(folder), other))
            page.close()


def shrink(path: Path) -> None:
    """Make an image small enough for a repository: fewer shades, but those of the page as they are."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as taken:
        pixels = np.asarray(taken.convert("RGB"))
    packed = pixels @ np.array([1 << 16, 1 << 8, 1])
    colours, counts = np.unique(packed, return_counts=True)
    flat = np.isin(packed, colours[counts > packed.size / 500])
    for bits in (6, 5):
        coarse = pixels >> 8 - bits << 8 - bits | pixels >> bits
        Image.fromarray(np.where(flat[..., None], pixels, coarse)).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
