"""A Qdrant server as the index, over qdrant-client.

Does not know: what is published when; that is :mod:`recsys.index.run`.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from qdrant_client import QdrantClient
from qdrant_client import models as api

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError, ConfigError
from recsys.index import server_models as models
from recsys.index.base import BUILDING, READY, CollectionInfo, Metadata
from recsys.index.server_calls import call
from recsys.index.server_collection import ServerCollection, ServerWriter

OLDEST_SERVER = (1, 16)
"""The first version that keeps collection metadata."""

R = TypeVar("R")


def connect(config: IndexConfig) -> QdrantClient:
    """Connect to ``config.url`` and check the server's version."""
    client = QdrantClient(
        url=config.url,
        api_key=config.api_key,
        prefer_grpc=config.prefer_grpc,
        grpc_port=config.grpc_port,
        timeout=config.timeout_s,
        check_compatibility=False,  # checked here, with an error instead of a warning from a thread
    )
    version = call(client.info, retries=config.retries).version
    if tuple(int(part) for part in version.split("-")[0].split(".")[:2]) < OLDEST_SERVER:
        raise ConfigError(
            f"The Qdrant server at {config.url} is version {version}.",
            fix="Use version {}.{} or later: older ones keep no collection metadata.".format(*OLDEST_SERVER),
        )
    return client


class ServerIndex:
    """Collections of a Qdrant server. See :class:`recsys.index.base.VectorIndex`."""

    def __init__(self, client: QdrantClient, config: IndexConfig) -> None:
        self._client = client
        self.config = config
        self.alias = config.alias
        self._opening = threading.Lock()
        self._opened: dict[str | None, tuple[float, ServerCollection]] = {}

    def _call(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        return call(function, *arguments, retries=self.config.retries, **named)

    def collections(self) -> list[CollectionInfo]:
        """Return this alias's collections, the live one first, then the last published first."""
        live = self._live_name()
        names = [c.name for c in self._call(self._client.get_collections).collections]
        found = [self._info(n, live=n == live) for n in names if n.startswith(f"{self.alias}__")]
        return sorted(
            (c for c in found if c is not None),
            key=lambda c: (c.live, c.metadata.published_at, c.metadata.created_at),
            reverse=True,
        )

    def live(self) -> CollectionInfo | None:
        """Return the collection the alias names, or ``None``."""
        name = self._live_name()
        return self._info(name, live=True) if name else None

    def _live_name(self) -> str | None:
        aliases = self._call(self._client.get_aliases).aliases
        return next((a.collection_name for a in aliases if a.alias_name == self.alias), None)

    def _metadata(self, name: str) -> Metadata | None:
        if not self._call(self._client.collection_exists, name):
            return None
        values = self._call(self._client.get_collection, name).config.metadata
        return Metadata.from_json(values) if values and "encoder" in values else None

    def _info(self, name: str, *, live: bool) -> CollectionInfo | None:
        metadata = self._metadata(name)
        if metadata is None:
            return None
        count = self._call(self._client.count, name, exact=True).count
        return CollectionInfo(name=name, metadata=metadata, num_points=count, live=live)

    def open(self, name: str | None = None) -> ServerCollection:
        """Open a collection; what is known of it is asked for again after ``follow_s`` seconds."""
        known = self._opened.get(name)
        if known is not None and time.monotonic() - known[0] < self.config.follow_s:
            return known[1]
        with self._opening:
            asked_at = time.monotonic()
            actual = name or self._live_name()
            if actual is None:
                raise ArtifactError(
                    f"Nothing was published under the alias {self.alias!r} yet.",
                    fix="Run `recsys publish`, or the nightly DAG.",
                )
            metadata = self._metadata(actual)
            if metadata is None or metadata.state != READY:
                raise ArtifactError(
                    f"There is no published collection {actual!r}.",
                    fix="recsys status lists the collections there are.",
                )
            collection = ServerCollection(self._client, actual, metadata, self.config)
            self._opened[name] = (asked_at, collection)
            return collection

    def build(self, name: str, metadata: Metadata) -> ServerWriter:
        """Begin a new collection, or resume its unfinished build."""
        existing = self._metadata(name)
        if existing is not None and existing.state == READY:
            raise ArtifactError(f"{name!r} is already built.", fix="Open it for changes instead.")
        if existing is None or not existing.resumes(metadata):
            existing = metadata.but(state=BUILDING)
            self._call(self._client.delete_collection, name)
            settings = models.collection_settings(self.config, metadata.dim)
            self._call(self._client.create_collection, name, metadata=existing.to_json(), **settings)
        writer = ServerWriter(self._client, name, existing, self.config)
        writer.prepare()
        return writer

    def change(self, name: str, *, pending: str) -> ServerWriter:
        """Open a collection for changes, which readers see as they are made."""
        metadata = self._metadata(name)
        if metadata is None or metadata.state != READY:
            raise ArtifactError(f"There is no collection {name!r} to change.", fix="Build it first.")
        writer = ServerWriter(self._client, name, metadata, self.config)
        writer.prepare()
        writer.describe(metadata.but(pending=pending))
        return writer

    def describe(self, name: str, metadata: Metadata) -> None:
        """Replace what a collection says of itself."""
        self._call(self._client.update_collection, name, metadata=metadata.to_json())
        self._opened.clear()

    def switch(self, name: str) -> None:
        """Point the alias at ``name``, in one request."""
        metadata = self._metadata(name)
        if metadata is None or metadata.state != READY:
            raise ArtifactError(f"There is no published collection {name!r}.", fix="Finish its build first.")
        create = api.CreateAliasOperation(
            create_alias=api.CreateAlias(collection_name=name, alias_name=self.alias)
        )
        delete = api.DeleteAliasOperation(delete_alias=api.DeleteAlias(alias_name=self.alias))
        operations = [delete, create] if self._live_name() else [create]
        self._call(self._client.update_collection_aliases, change_aliases_operations=operations)
        self._opened.clear()

    def drop(self, name: str) -> None:
        """Delete a collection that is not live."""
        if name == self._live_name():
            raise ArtifactError(f"{name!r} is live.", fix="Switch the alias to another collection first.")
        self._opened.pop(name, None)
        self._call(self._client.delete_collection, name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
