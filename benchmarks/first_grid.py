"""From following a link to the first row of images on the merchandiser's page, in a real browser.

    python -m benchmarks.first_grid [--config conf/demo.toml] [--repeats 10]

Over a published workspace, by default what `make demo` left; the service is a process of its own, the
browser another, on the same machine. ``first visit`` is a browser that has nothing; ``return`` has the page's
files, and the images that it has seen.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import benchmark, summary

_READY = """() => new Promise((done) => {
  const look = () => {
    const shown = [...document.querySelectorAll('.grid:not(.waiting) .card img, .tile img')]
      .filter((i) => i.getBoundingClientRect().top < innerHeight * 0.6);
    if (shown.length && shown.every((i) => i.complete && i.naturalWidth)) done(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""


@contextmanager
def service(config: str) -> Iterator[str]:
    """Serve what ``config`` names; yields the address."""
    command = [str(Path(sys.executable).with_name("recsys")), "--config", config, "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        found = next(m for line in process.stdout if (m := re.search(r"http://[\d.:]+\d", line)))
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


def time_views(browser: Any, address: str, paths: list[str], repeats: int) -> dict[str, Any]:
    """Return milliseconds from navigation to images, per kind of visit and of view."""
    taken: dict[str, list[float]] = {}
    for _ in range(repeats):
        for name, path in zip(("start", "product", "words"), paths, strict=True):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            for visit in ("first visit", "return"):
                page = context.new_page()
                page.goto(address + path, wait_until="commit")
                taken.setdefault(f"{name}, {visit}", []).append(page.evaluate(_READY))
                page.close()
            context.close()
    return {name: {k: round(v, 1) for k, v in summary(times).items()} for name, times in taken.items()}


def measure(config: str, repeats: int) -> dict[str, Any]:
    """Serve what ``config`` names and visit three views with a browser."""
    from playwright.sync_api import sync_playwright

    chromium = next(p for n in ("chromium", "google-chrome") if (p := shutil.which(n)))
    with service(config) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".tile a")
        product = page.locator(".tile a").first.get_attribute("href")
        page.goto(f"{address}/search?q=something+blue")  # the encoder is loaded before anything is measured
        page.wait_for_selector(".grid:not(.waiting) .card", timeout=120_000)
        times = time_views(browser, address, ["/", product, "/search?q=something+blue"], repeats)
        page.goto(address + product)
        page.wait_for_selector(".grid:not(.waiting) .card")
        sent = page.evaluate(
            "performance.getEntriesByType('resource').filter(r => r.name.includes('/static/'))"
            ".reduce((s, r) => s + r.encodedBodySize, 0)"
        )
        browser.close()
    worst = max(v["median"] for v in times.values())
    return {"milliseconds": times, "worst_median_ms": worst, "page_bytes": sent, "goal_ms": 1000}


if __name__ == "__main__":
    benchmark("first_grid", measure, __doc__, config="conf/demo.toml", repeats=10)
