"""Two machines that share an object store and a Qdrant server, and a fault at the n-th call of one.

The store is fsspec's in-memory one with S3's conditional writes, the server qdrant-client's in-memory mode.
They keep what they have when a machine is "killed": an exception that nothing catches, and every later call
raises again. What a kill leaves in files is for ``syscalls``. Time is simulated: sleeping moves it, and the
machines' wall clocks are a day apart.
"""

import copy
import functools
import hashlib
import random
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from qdrant_client import QdrantClient

import recsys.index.server
import recsys.index.service
import recsys.workspace.lease
import recsys.workspace.store
from recsys import nightly
from recsys.config import Config
from recsys.errors import GuardError, RecsysError
from recsys.index import open_index
from recsys.workspace import Workspace
from tests.faults import fabricated
from tests.faults.campaign import IN_A_ROW, Campaign, disturb, seen
from tests.faults.fabricated import CONFIG, Answer, Looks
from tests.faults.stages import CHANGED, LATER, PER_ATTEMPT, TODAY, prepare, run_stage
from tests.faults.syscalls import Fault
from tests.index.conftest import SharedClient, http

_PAUSES = _, OVERTAKEN = "paused", "overtaken"
_OF_READS = ("killed before", "not done", *_PAUSES)
KINDS = (*_OF_READS, "killed after", "answer lost", "done twice", "done late")
""""Not done" and "answer lost" are errors of the connection. A call that is "done late" is one too, and takes
place two calls later. A machine that is "paused" sends the call once the other has done the same; one that is
"overtaken", once the other has done that and what comes next."""
_LATE = 2
_CONDITIONAL, _DELETES = {"pipe_file", "put_file"}, {"rm", "rm_file"}
_OF_STORE = _CONDITIONAL | _DELETES | {"cat_file", "find", "info", "ls", "modified"}
_SERVER_WRITES = {
    "batch_update_points", "create_collection", "create_payload_index", "delete", "delete_collection",
    "update_collection", "update_collection_aliases", "upsert",
}  # fmt: skip
OF_SERVER = _SERVER_WRITES | {
    "count", "get_aliases", "get_collection", "get_collections", "query_batch_points", "retrieve", "scroll"
}  # fmt: skip
_UNCONDITIONAL = _SERVER_WRITES | _DELETES
_MACHINES = ("ours", "other")
_NEXT: dict[str, tuple[Looks, str] | None] = {
    "publish": None, "refresh": (LATER, "e1"), "rollback": (TODAY, "e3"), "housekeeping": (TODAY, "e5"),
    "repair": (CHANGED, "e2"),
}  # fmt: skip
"""Stage → what is published next; after the publication of an encoder it is rolled back."""
STAGES = tuple(_NEXT)


class Killed(BaseException):
    """The end of a machine."""


class Cloud:
    """What the machines share: the store, the server and the time; it counts the calls of one of them."""

    def __init__(self, seed: int) -> None:
        self.store, self.client = Store(self), self.connect()
        self.calls: list[str] = []
        self.fault: Fault | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        """What the other machine does while this one is paused."""
        self._rng, self._now, self._ahead = random.Random(seed), 0.0, timedelta()
        self._late: list[tuple[int, Callable[[], object]]] = []
        self._depth, self._killed = 0, False

    def connect(self) -> QdrantClient:
        """Return the client of an empty server."""
        return Client(self)

    # -- time

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def now(self) -> datetime:
        """Return the time by the clock of the machine whose turn it is."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now) + self._ahead

    # -- calls

    @contextmanager
    def turn(self, machine: str, *, counted: bool = False) -> Iterator[None]:
        """Let a machine work; the calls of one that is ``counted`` can fail."""
        before = self._ahead, self._depth
        self._ahead, self._depth = timedelta(days=_MACHINES.index(machine)), 0 if counted else 1
        try:
            yield
        finally:
            (self._ahead, self._depth), self._killed = before, False

    def settle(self) -> None:
        """Let what is late take place."""
        self._do_late(lambda due: True)
        self.fault = None

    def call(self, name: str, service: Any, method: Callable[[], Any]) -> Any:
        """Do a call of ``service``, unless it is part of another; ``method`` does it without a fault."""
        if self._killed:
            raise Killed
        if self._depth:
            return method()
        self._now += self._rng.uniform(0.001, 0.2)
        self._do_late(lambda due: due <= len(self.calls))
        kind = self.fault.kind if self.fault and self.fault.at == len(self.calls) else ""
        self.calls.append(name)
        self._depth += 1
        try:
            return self.befall(kind, service, method)
        finally:
            self._depth -= 1

    def befall(self, kind: str, service: Any, method: Callable[[], Any]) -> Any:
        """Do a call that a fault of this kind befalls."""
        if kind == "killed before":
            self._kill()
        if kind == "not done":
            raise service.unavailable()
        if kind in _PAUSES:
            self.meanwhile()
        if kind == "done late":
            self._late.append((len(self.calls) + _LATE, method))
            raise service.timed_out()
        answer = method()
        if kind == "done twice":
            answer = method()
        if kind == "killed after":
            self._kill()
        if kind == "answer lost":
            raise service.timed_out()
        return answer

    def _kill(self) -> None:
        self._killed = True
        raise Killed

    def _do_late(self, is_due: Callable[[int], bool]) -> None:
        due = [method for at, method in self._late if is_due(at)]
        self._late = [(at, method) for at, method in self._late if not is_due(at)]
        self._depth += 1
        for method in due:
            with suppress(Exception):  # nobody hears of it
                method()
        self._depth -= 1

    # -- what is kept

    def save(self) -> Any:
        """Return all that store and server hold."""
        local = self.client._client
        files = {path: (file.getvalue(), file.modified) for path, file in self.store.store.items()}
        return copy.deepcopy((local.collections, local.aliases)), files

    def load(self, saved: Any) -> None:
        """Let them hold what was saved; nobody has called yet."""
        local, (collections, files) = self.client._client, saved
        local.collections, local.aliases = copy.deepcopy(collections)
        self.store.store.clear()
        for path, (data, modified) in files.items():
            self.store.store[path] = file = MemoryFile(self.store, path, data)
            file.modified = modified
        self.calls, self._late, self.fault = [], [], None


class Service:
    """Sends its calls through the cloud."""

    cloud: Cloud

    def __getattribute__(self, name: str) -> Any:
        method = super().__getattribute__(name)
        if name not in OF_SERVER and name not in _OF_STORE:
            return method

        @functools.wraps(method)
        def call(*given: Any, **named: Any) -> Any:
            return self.cloud.call(name, self, lambda: method(*given, **named))

        return call


class Client(Service, SharedClient):
    """A Qdrant server."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        super().__init__(":memory:")

    def create_collection(self, collection_name: str, *given: Any, **named: Any) -> bool:
        """Refuse, as a server does and the in-memory mode does not, what is there."""
        if QdrantClient.collection_exists(self, collection_name):
            raise http(409, "Collection already exists!")
        return QdrantClient.create_collection(self, collection_name, *given, **named)

    def unavailable(self) -> Exception:
        return http(503)

    def timed_out(self) -> Exception:
        return http(504)


class Store(Service, MemoryFileSystem):
    """An object store that speaks S3's conditions."""

    protocol = ("memory", "s3")
    cachable = False

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(global_store=False)
        self.cloud = cloud

    def mkdir(self, path: str, create_parents: bool = True, **named: Any) -> None:
        """Do nothing: an object store has no folders."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing."""

    def info(self, path: str, **named: Any) -> dict[str, Any]:
        """Return a file's size, and what its ETag is."""
        found: dict[str, Any] = super().info(path, **named)
        file = self.store.get(self._strip_protocol(path))
        return found | ({} if file is None else {"ETag": hashlib.md5(file.getvalue()).hexdigest()})

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **named: Any) -> dict[str, str]:
        """Write a file: by ``mode="create"`` where there is none, by ``IfMatch`` where that is its tag."""
        if mode == "create" and self.exists(path):
            raise FileExistsError(path)
        if "IfMatch" in named and self.info(path)["ETag"] != named["IfMatch"]:
            raise FileExistsError(path)
        super().pipe_file(path, value)
        self.store[self._strip_protocol(path)].modified = self.cloud.now()
        return {"ETag": self.info(path)["ETag"]}

    def put_file(self, lpath: str, rpath: str, **named: Any) -> None:
        """Write a file."""
        super().put_file(lpath, rpath, **named)
        self.store[self._strip_protocol(rpath)].modified = self.cloud.now()

    def unavailable(self) -> Exception:
        return ConnectionError("the store cannot be reached")

    def timed_out(self) -> Exception:
        return TimeoutError("the store did not answer")


class RemoteCampaign(Campaign):
    """The trials of one stage over store and server; for a process of its own: it replaces functions."""

    def __init__(self, name: str, folder: Path, cloud: Cloud | None = None) -> None:
        """Run the stage undisturbed; the machines' own files are in ``folder``."""
        super().__init__(name)
        self._folder, self._cloud = folder, cloud or Cloud(seed=0)
        self._config = Config(index=CONFIG.index.model_copy(update={"url": "http://shared"}))
        fabricated.use()
        self._simulate()
        self._before: Any = None
        self._restore()
        self._start = self._ask()
        self._restore()
        self._run("ours", counted=True)
        self._calls, self._end = self._cloud.calls, self._ask()
        self._made = self._artifacts()
        self._meanwhile("other", OVERTAKEN)
        self._run_again()
        self._overtaken = self._ask(), self._artifacts()
        self.num_operations = len(self._calls)

    def kinds(self, at: int) -> Sequence[str]:
        kinds = KINDS if self._calls[at] in _UNCONDITIONAL | _CONDITIONAL else _OF_READS
        # without a condition, what is sent before a pause is carried out after it, whoever has the lease
        sent = {*self._calls[at : at + 1], *_DELETES.intersection(self._calls[at + 1 : at + 2])}
        return kinds if sent.isdisjoint(_UNCONDITIONAL) else [k for k in kinds if k != OVERTAKEN]

    def sort(self, at: int) -> str:
        return self._calls[at]

    def trial(self, faults: deque[Fault]) -> None:
        self._restore()
        came: list[str] = []
        done = overtaken = False
        while faults and len(came) < IN_A_ROW and not done and not overtaken:
            if came and faults[0].kind == OVERTAKEN:
                break  # after a fault, other calls are made than those that it was meant for
            fault = self._cloud.fault = faults.popleft()
            machine, other = _MACHINES[:: 1 if fault.at % 2 else -1]
            self._cloud.calls = []
            self._cloud.meanwhile = functools.partial(self._meanwhile, other, fault.kind)
            with suppress(Killed, RecsysError, OSError):
                self._run(machine, counted=True)
                done = True
            if fault.at < len(self._cloud.calls):
                overtaken = fault.kind == OVERTAKEN
                self.counts[fault.kind] += 1
                came.append(f"{fault.kind} at {fault.at}, {self._cloud.calls[fault.at]}, of {machine}")
        self._cloud.settle()
        what = f"{self.name}: {came}"
        found, (end, made) = self._ask(), self._overtaken if overtaken else (self._end, self._made)
        complete = [seen(end)] if overtaken else [seen(self._start), seen(end)]
        # a request that was sent before a pause is carried out after it, whoever has the lease
        is_outdated = any(line.startswith(_PAUSES) and " update_collection," in line for line in came)
        if is_outdated or self._is_unfinished():  # a small change shows as it is made
            rows = [row for answer in (self._start, end) for row in answer["products"].items()]
            assert all(row in rows for row in found["products"].items()), f"{what}: readers saw {found}"
        else:
            assert seen(found) in complete, f"{what}: readers saw {found}"
        self._run_again()
        if is_outdated or self._is_unfinished():
            with self._cloud.turn("ours"):
                self._publish("ours", found["encoder"].partition("/")[2], refresh=True)
        assert seen(self._ask()) == seen(end), f"{what}: then run again it left {self._ask()}"
        left = self._artifacts()
        assert left == made, f"{what}: then run again it left {left}, instead of {made}"

    def _simulate(self) -> None:
        cloud = self._cloud

        class WallClock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return cloud.now()

        recsys.index.server.connect = lambda config: cloud.client  # type: ignore[assignment]
        for module in (recsys.index.server, recsys.workspace.lease):
            module.time = cloud  # type: ignore[attr-defined]
        for module in (recsys.workspace.store, recsys.index.service):
            module.datetime = WallClock  # type: ignore[attr-defined]

    def _workspace(self, machine: str) -> Workspace:
        workspace = Workspace("memory://bucket/workspace", cache=self._folder / machine)
        workspace._fs = self._cloud.store
        return workspace

    def _restore(self) -> None:
        if self._before is None:
            with self._cloud.turn("ours"):
                prepare(self._config, self._workspace("ours"), self.name)
            self._before = self._cloud.save()
        self._cloud.load(self._before)
        for machine in _MACHINES:
            shutil.rmtree(self._folder / machine, ignore_errors=True)

    def _run(self, machine: str, *, counted: bool = False) -> None:
        with self._cloud.turn(machine, counted=counted):
            run_stage(self._config, self._workspace(machine), self.name, self._cloud.now())

    def _run_again(self) -> None:
        with suppress(GuardError):  # the encoder may be on hold since
            self._run("ours")

    def _meanwhile(self, machine: str, kind: str) -> None:
        self._run(machine)
        if kind == OVERTAKEN:
            self._go_on(machine)

    def _go_on(self, machine: str) -> None:
        with self._cloud.turn(machine):
            if (night := _NEXT[self.name]) is None:
                nightly.rollback(self._config, self._workspace(machine))
            else:
                fabricated.ingest(self._workspace(machine), *night)
                self._publish(machine, night[1], refresh=self.name == "refresh")

    def _publish(self, machine: str, encoder: str, *, refresh: bool = False) -> None:
        fabricated.publish(self._config, self._workspace(machine), encoder, refresh=refresh)

    def _is_unfinished(self) -> bool:
        with self._cloud.turn("other"), closing(open_index(self._config, self._workspace("reader"))) as index:
            live = index.live()
            return live is None or bool(live.metadata.pending)

    def _ask(self) -> Answer:
        with self._cloud.turn("other"):
            answer = fabricated.ask(self._config, self._workspace("reader"))
        assert isinstance(answer, dict), answer
        return answer

    def _artifacts(self) -> tuple[list[str], int]:
        with self._cloud.turn("other"):
            refs = self._workspace("reader").refs()
            kept = [ref for ref in refs if ref.partition("/")[0] not in PER_ATTEMPT]
            return kept, len(self._cloud.client.get_collections().collections)


def disturb_remotely(number: int) -> dict[str, Any]:
    """Return stage → what :func:`disturb` found with so many faults of store and server."""
    return {name: disturb(RemoteCampaign, name, seed=0, number=number) for name in STAGES}
