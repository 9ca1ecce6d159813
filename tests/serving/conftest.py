"""A published shop behind the HTTP service: one per session of tests, asked in process."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from recsys.config import Config
from recsys.feedback.store import FeedbackStore
from recsys.search.live_index import LiveIndex
from recsys.serving.app import create_app
from recsys.serving.auth import key_digest
from recsys.workspace import Workspace
from tests.search import shops

KEYS = {"rita": "read", "maria": "merchandise", "nils": "merchandise", "ada": "admin"}
"""Names and roles; the key of each is ``key-<name>``."""
BOUNDS = {"min_side": 1, "max_pixels": 1_000_000, "max_bytes": 1_000_000}
"""Of images."""


@dataclass(frozen=True)
class Shop:
    """What an application is made over."""

    config: Config
    workspace: Workspace
    live: LiveIndex
    store: FeedbackStore
    old: str
    """A kept collection, of another encoder."""

    def app(
        self,
        *,
        keys: Mapping[str, str] | None = None,
        limits: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
        **search: Any,
    ) -> FastAPI:
        """Return an application with other settings on top; ``keys`` are names and roles."""
        if keys:
            search["keys"] = [
                {"name": name, "role": role, "sha256": key_digest(f"key-{name}"), **limits.get(name, {})}
                for name, role in keys.items()
            ]
        values = self.config.model_dump()
        values["search"] |= search
        return create_app(Config.model_validate(values), self.workspace, live=self.live, store=self.store)


@contextlib.contextmanager
def open_shop(folder: Path, text_model: Path) -> Iterator[Shop]:
    """Publish the shop under two encoders, of which the second is live."""
    values = shops.settings(text_model).model_dump()
    values["catalog"]["images"] |= BOUNDS
    config = Config.model_validate(values)
    workspace = Workspace(folder)
    old = shops.publish(config, workspace)
    shops.publish(config, workspace, seed=1)
    live = LiveIndex(config, workspace)
    live.start()
    live.view().prepare()
    with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
        yield Shop(config, workspace, live, store, old)
    live.close()


@pytest.fixture(scope="session")
def shop(text_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), text_model) as opened:
        yield opened


@pytest.fixture(scope="session")
def client(shop: Shop) -> Iterator[TestClient]:
    """A program that asks a service without keys."""
    with TestClient(shop.app(), base_url="http://localhost") as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_rules_stay(shop: Shop) -> Iterator[None]:
    """Let no test's rules act on another's answers."""
    yield
    for rule in shop.store.rules(limit=500):
        shop.store.retire_rule(rule.id, "the tests")


Client = Callable[..., TestClient]


@pytest.fixture(scope="session")
def keyed_app(shop: Shop) -> FastAPI:
    return shop.app(keys=KEYS)


@pytest.fixture
def as_(keyed_app: FastAPI) -> Iterator[Client]:
    """Make a program that asks with somebody's key; with nobody's by default."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "") -> TestClient:
            headers = {"Authorization": f"Bearer key-{name}"} if name else {}
            opened = TestClient(keyed_app, base_url="http://localhost", headers=headers)
            return stack.enter_context(opened)

        yield make
