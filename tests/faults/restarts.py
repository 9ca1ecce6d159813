"""Stages over a real Qdrant server that is killed and started again at the n-th call."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grpc import RpcError
from qdrant_client import QdrantClient

from tests.faults.campaign import disturb
from tests.faults.remote import OF_SERVER, STAGES, Cloud, RemoteCampaign, Service
from tests.index.conftest import SharedClient, http
from tests.index.qdrant import Node

_READY_S = 60.0
KINDS = ("server killed before", "server killed after")


class _Client(Service, SharedClient):
    def __init__(self, cloud: Cloud, node: Node) -> None:
        self.cloud = cloud
        super().__init__(url=node.url, grpc_port=node.grpc_port, prefer_grpc=True, timeout=30)


class _RestartingCloud(Cloud):
    def __init__(self, folder: Path) -> None:
        self.node = Node(folder)
        super().__init__(seed=0)

    def connect(self) -> QdrantClient:
        return _Client(self, self.node)

    def save(self) -> Any:
        """Return nothing: what a server holds is made again."""

    def load(self, saved: Any) -> None:
        self.calls, self.fault = [], None

    def befall(self, kind: str, service: Any, method: Callable[[], Any]) -> Any:
        if kind == "server killed before":
            self._restart()
        answer = method()
        if kind == "server killed after":
            self._restart()
            raise http(504)
        return answer

    def empty(self) -> None:
        """Delete what server and store hold."""
        for collection in QdrantClient.get_collections(self.client).collections:
            QdrantClient.delete_collection(self.client, collection.name)
        self.store.store.clear()

    def _restart(self) -> None:
        """Kill the server and start it again; the time a client waits before it connects again passes too."""
        self.node.kill()
        self.node.start()
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                QdrantClient.get_collections(self.client)
            except RpcError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


class RestartCampaign(RemoteCampaign):
    """The trials of one stage over a server of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        """Start the server in ``folder`` and run the stage undisturbed."""
        self._server = _RestartingCloud(folder / "qdrant")
        super().__init__(name, folder, self._server)

    def kinds(self, at: int) -> Sequence[str]:
        return KINDS if self._calls[at] in OF_SERVER else ()

    def _restore(self) -> None:
        self._server.empty()
        super()._restore()

    def close(self) -> None:
        """Stop the server."""
        self._server.node.kill()


def disturb_servers(number: int) -> dict[str, Any]:
    """Return stage → what :func:`disturb` found with so many restarts of a server."""
    return {name: disturb(RestartCampaign, name, seed=0, number=number) for name in STAGES}
