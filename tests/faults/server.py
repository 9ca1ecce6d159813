"""A Qdrant server that fails at the n-th call: before it, after it, or by doing it twice.

The server is qdrant-client's in-memory mode and keeps what it has when the caller is "killed": an exception
that nothing catches, so that a ``finally`` still runs. What a kill leaves in files is for ``syscalls``.
"""

import shutil
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from qdrant_client import QdrantClient

from recsys import nightly
from recsys.config import Config
from recsys.errors import RecsysError
from recsys.index import server
from recsys.workspace import Workspace
from tests.faults import fabricated
from tests.faults.campaign import IN_A_ROW, Campaign, disturb, seen
from tests.faults.fabricated import CONFIG, Answer, Looks
from tests.faults.stages import CHANGED, LATER, TODAY
from tests.faults.syscalls import Fault
from tests.index.conftest import SharedClient
from tests.index.test_server_calls import http

KINDS = ("killed before", "killed after", "answer lost", "not done", "done twice")
CALLS = {
    "batch_update_points", "collection_exists", "count", "create_collection", "create_payload_index",
    "delete", "delete_collection", "get_aliases", "get_collection", "get_collections",
    "query_batch_points", "retrieve", "scroll", "update_collection", "update_collection_aliases", "upsert",
}  # fmt: skip
_NIGHTS: dict[str, list[tuple[Looks, str]]] = {
    "publish": [(TODAY, "e1"), (CHANGED, "e2")],
    "refresh": [(TODAY, "e1"), (CHANGED, "e1")],
    "rollback": [(TODAY, "e1"), (CHANGED, "e2"), (LATER, "e2")],
}
STAGES = tuple(_NIGHTS)


class Killed(BaseException):
    """The end of the process."""


class FaultyClient(SharedClient):
    """Counts calls; one of them fails."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.calls: list[str] = []
        self.fault: Fault | None = None

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        return _failing(self, name, method) if name in CALLS else method


def _failing(client: FaultyClient, name: str, method: Any) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        kind = client.fault.kind if client.fault and client.fault.at == len(client.calls) else ""
        client.calls.append(name)
        if kind == "killed before":
            raise Killed
        if kind == "not done":
            raise http(503)
        # as a server does, and the in-memory mode does not
        if name == "create_collection" and QdrantClient.collection_exists(client, arguments[0]):
            raise http(409, "Collection already exists!")
        answer = method(*arguments, **named)
        if kind == "done twice" and name != "create_collection":
            answer = method(*arguments, **named)
        if kind == "killed after":
            raise Killed
        if kind == "answer lost":
            raise http(504)
        return answer

    return call


class ServerCampaign(Campaign):
    """The trials of one stage over a server; for a process of its own, which makes up its encoders."""

    def __init__(self, name: str, folder: Path) -> None:
        """Run the stage undisturbed in ``folder``."""
        super().__init__(name)
        self._folder = folder / "workspace"
        self._config = Config(index=CONFIG.index.model_copy(update={"url": "http://in-memory"}))
        fabricated.use()
        server.connect = lambda config: self._client  # type: ignore[assignment]
        server.time = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: None)  # type: ignore[assignment]
        self._prepare()
        self._start = self._ask()
        self._client.calls = []
        self._run()
        self._calls, self._end = self._client.calls, self._ask()
        self.num_operations = len(self._calls)

    def kinds(self, at: int) -> Sequence[str]:
        return KINDS

    def sort(self, at: int) -> str:
        return self._calls[at]

    def trial(self, faults: deque[Fault]) -> None:
        self._prepare()
        came: list[str] = []
        done = False
        while faults and len(came) < IN_A_ROW and not done:
            fault = faults.popleft()
            self._client.calls, self._client.fault = [], fault
            with suppress(Killed, RecsysError):
                self._run()
                done = True
            if fault.at < len(self._client.calls):
                self.counts[fault.kind] += 1
                came.append(f"{fault.kind} at {fault.at}, {self._client.calls[fault.at]}")
        self._client.fault = None
        what = f"{self.name}: {came}"
        found = self._ask()
        if self.name == "refresh":  # a small change shows as it is made
            rows = [row for answer in (self._start, self._end) for row in answer["products"].items()]
            assert all(row in rows for row in found["products"].items()), f"{what}: readers saw {found}"
        else:
            assert seen(found) in (seen(self._start), seen(self._end)), f"{what}: readers saw {found}"
        self._run()
        assert seen(self._ask()) == seen(self._end), f"{what}: then run again it left {self._ask()}"
        names = [c.name for c in self._client.get_collections().collections]
        assert len(names) == len({encoder for _, encoder in _NIGHTS[self.name]}), f"{what}: {names}"

    def _prepare(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._client, self._workspace = FaultyClient(), Workspace(self._folder)
        *before, (last, encoder) = _NIGHTS[self.name]
        for looks, name in before:
            fabricated.ingest(self._workspace, looks, name)
            fabricated.publish(self._config, self._workspace, name)
        fabricated.ingest(self._workspace, last, encoder)
        if self.name == "rollback":
            fabricated.publish(self._config, self._workspace, encoder)

    def _run(self) -> None:
        if self.name == "rollback":
            nightly.rollback_once(self._config, self._workspace, "rollback", None, as_it_was=False)
        else:
            encoder, refresh = _NIGHTS[self.name][-1][1], self.name == "refresh"
            fabricated.publish(self._config, self._workspace, encoder, refresh=refresh)

    def _ask(self) -> Answer:
        answer = fabricated.ask(self._config, self._workspace)
        assert isinstance(answer, dict), answer
        return answer


def disturb_servers(number: int) -> dict[str, Any]:
    """Return stage → what :func:`disturb` found with so many faults of a server."""
    return {name: disturb(ServerCampaign, name, seed=0, number=number) for name in STAGES}
