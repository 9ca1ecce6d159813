"""Engines for the index's tests: Qdrant Edge, and a Qdrant server or qdrant-client's in-memory mode."""

import json
import os
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from recsys.config import Config, IndexConfig
from recsys.index import VectorIndex, open_index
from recsys.workspace import Workspace
from tests.index import qdrant

SERVER_URL, GRPC_PORT = qdrant.server() or (None, 0)
_MEMORY = Path("/dev/shm")


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A temporary folder in memory, where the system has such a place."""
    if not os.access(_MEMORY, os.W_OK):
        yield tmp_path
        return
    # an engine that was just let go may still write while its folder is removed
    with tempfile.TemporaryDirectory(dir=_MEMORY, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def workspace(fast_path: Path) -> Workspace:
    return Workspace(fast_path / "workspace")


class SharedClient(QdrantClient):
    """Outlives the indexes that use it: in-memory data dies with its client."""

    def close(self, **kwargs: object) -> None:
        pass

    def get_collection(self, collection_name: str, **kwargs: Any) -> Any:
        with _missing():
            return super().get_collection(collection_name, **kwargs)

    def count(self, collection_name: str, *arguments: Any, **named: Any) -> Any:
        with _missing():
            return super().count(collection_name, *arguments, **named)

    def scroll(self, collection_name: str, *arguments: Any, **named: Any) -> Any:
        with _missing():
            return super().scroll(collection_name, *arguments, **named)


def http(status: int, text: str = "what the server said") -> UnexpectedResponse:
    """Return the failure of a server that answers with ``status``."""
    return UnexpectedResponse(status, "reason", json.dumps({"status": text}).encode(), httpx.Headers())


@contextmanager
def _missing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise http(404, str(error)) from error


@pytest.fixture(params=["edge", "server"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def index_settings(engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """Settings that select the engine; an alias of its own keeps tests apart on a shared server."""
    alias = f"test-{uuid.uuid4().hex[:10]}"
    if engine == "edge":
        yield {"alias": alias}
    elif SERVER_URL:
        yield {"alias": alias, "url": SERVER_URL, "grpc_port": GRPC_PORT}
        _clean(alias)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client = SharedClient(":memory:")
            monkeypatch.setattr("recsys.index.server.connect", lambda config: client)
            yield {"alias": alias, "url": "http://in-memory"}


def _clean(alias: str) -> None:
    client = QdrantClient(url=SERVER_URL, prefer_grpc=True, grpc_port=GRPC_PORT)
    for collection in client.get_collections().collections:
        if collection.name.startswith(alias):
            client.delete_collection(collection.name)
    client.close()


@pytest.fixture
def make_config(index_settings: dict[str, object]) -> Callable[..., Config]:
    """Make a configuration of the engine with other index settings on top."""

    def make(**settings: object) -> Config:
        return Config(index=IndexConfig(**{**index_settings, **settings}))

    return make


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config()


@pytest.fixture
def index(config: Config, workspace: Workspace) -> Iterator[VectorIndex]:
    opened = open_index(config, workspace)
    yield opened
    opened.close()
