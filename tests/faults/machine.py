"""Nights, refreshes, rollbacks, lifts and housekeeping in any order, crashing anywhere, with a reader.

Every operation runs in a fork, with a fault at one of its file operations or none; a reader asks all the
while. After each the history of all that was done and answered is checked.
"""

import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from recsys import nightly
from recsys.index import open_index, rollback
from recsys.workspace import Workspace
from recsys.workspace.holds import holds
from tests.faults import fabricated
from tests.faults.campaign import in_memory
from tests.faults.fabricated import CONFIG, Answer, Looks
from tests.faults.history import Begins, Ends, Held, History, Ingested, Seen, Shown, violations
from tests.faults.syscalls import KINDS, Fault, run

_EDITS = st.lists(
    st.tuples(st.sampled_from(["drop", "add", "price", "look"]), st.integers(0, 30)), min_size=1, max_size=4
)
_REFUSALS = ("GuardError", "InputError")
"""What an operation without a fault may raise: an encoder on hold, no collection to go back to."""


class Reader:
    """A process that reads the live collection all the while."""

    def __init__(self, folder: Path) -> None:
        self._line, theirs = Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _read(theirs, folder)
            finally:
                os._exit(0)
        theirs.close()

    def answers(self) -> list[Answer | str]:
        """Return each other answer since the last call, and one that it asks for now."""
        self._line.send("now")
        return list(self._line.recv())

    def close(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGKILL)
        self._line.close()
        os.waitpid(self._pid, 0)


def _read(line: Connection, folder: Path) -> None:
    with closing(open_index(CONFIG, Workspace(folder))) as index:
        seen: list[Answer | str] = []
        while True:
            asked = line.poll(0.02)
            answer = fabricated.answer_of(index)
            seen += [answer] if asked or seen[-1:] != [answer] else []
            if asked:
                line.recv()
                line.send(seen)
                seen = []


def _faults(most: int = 500) -> st.SearchStrategy[Fault | None]:
    at = st.integers(0, min(most, 40)) | st.integers(0, most)  # many operations are few calls
    fault = st.builds(Fault, at=at, kind=st.sampled_from(KINDS))
    return fault | fault | fault | st.none()


class Shop(RuleBasedStateMachine):
    """A workspace with an index, and what happened to it."""

    counts: ClassVar[Counter[str]] = Counter()
    """Of faults, by operation and kind, over all examples."""
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=in_memory())) / "workspace"
        self.folder.mkdir()
        self.workspace = Workspace(self.folder)
        self.history: History = []
        self.looks: Looks = {f"p{i:02d}": (i, 5.0 + i) for i in range(12)}
        self.live: Shown = ("encoders/e0", "")
        self.published = ["e0"]
        self.night: tuple[str, str] | None = None
        self.reader = Reader(self.folder)
        self._ingest("e0")
        self.refresh(None)

    def teardown(self) -> None:
        """Nothing is in the way of the next refresh, and it shows the newest catalog."""
        try:
            self.refresh(None)
            assert self.live[1] == self.newest
        finally:
            self.reader.close()
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    @rule(edits=_EDITS)
    def catalog_changes(self, edits: list[tuple[str, int]]) -> None:
        """A feed arrives, and is embedded under the encoder in service."""
        for what, number in edits:
            id = f"p{number:02d}"
            if what == "drop" and len(self.looks) > 4:
                self.looks = {i: row for i, row in self.looks.items() if i != id}
            elif what == "add":
                self.looks = {**self.looks, id: (number, 5.0 + number)}
            elif id in self.looks:
                look, price = self.looks[id]
                changed = (look, price + 1) if what == "price" else (look + 100, price)
                self.looks = {**self.looks, id: changed}
        self._ingest(self.live[0].partition("/")[2])

    @rule(fault=_faults())
    def refresh(self, fault: Fault | None) -> None:
        """The newest catalog under the encoder in service."""
        encoder = self.live[0]
        work = partial(_publish, self.workspace, encoder, self.newest, refresh=True)
        self._operate(work, fault, Begins("refresh", {(encoder, self.newest)}))

    @rule(earlier=st.none() | st.integers(0, 9))
    def night_begins(self, earlier: int | None) -> None:
        """A night takes the newest catalog, and trains an encoder or chooses an earlier one."""
        if earlier is None:
            self.published.append(f"e{len(set(self.published))}")
        name = self.published[-1 if earlier is None else earlier % len(self.published)]
        self.night = (f"encoders/{name}", self.newest)
        self._ingest(name)

    @precondition(lambda self: self.night is not None)
    @rule(fault=_faults())
    def night_publishes(self, fault: Fault | None) -> None:
        """The night's catalog, or what was refreshed since, under the night's encoder."""
        assert self.night is not None
        encoder, snapshot = self.night
        work = partial(_publish, self.workspace, encoder, snapshot)
        begins = Begins("publish", {(encoder, snapshot), (encoder, self.newest)})
        if self._operate(work, fault, begins) != "crashed":
            self.night = None

    @rule(fault=_faults())
    def roll_back(self, fault: Fault | None) -> None:
        """A person goes back to the encoder before."""
        may_show = {(f"encoders/{name}", self.newest) for name in self.published}
        self._operate(partial(_roll_back, self.workspace), fault, Begins("rollback", may_show, holds=True))

    @precondition(lambda self: holds(self.workspace))
    @rule(which=st.integers(0, 9), fault=_faults(most=8))
    def lift(self, which: int, fault: Fault | None) -> None:
        """A person lifts a hold."""
        held = sorted(holds(self.workspace))
        encoder = held[which % len(held)]
        self._operate(
            partial(rollback.lift, self.workspace, encoder), fault, Begins("lift", may_free=encoder)
        )

    @rule(days=st.sampled_from([0, 10, 40]), fault=_faults())
    def housekeeping(self, days: int, fault: Fault | None) -> None:
        """Some days later, what nothing needs is deleted; a night that began is long over."""
        self.night = self.night if days == 0 else None
        self._operate(partial(_housekeeping, self.workspace, days), fault, Begins("housekeeping"))

    @rule()
    def reader_restarts(self) -> None:
        """Another reader comes."""
        self.reader.close()
        self.reader = Reader(self.folder)

    def _ingest(self, encoder: str) -> None:
        work = partial(fabricated.ingest, self.workspace, self.looks, encoder)
        ending = run(work, self.folder, watched=False)
        assert ending.how == "returned", ending.value
        self.newest = ending.value
        self.history.append(Ingested(self.newest, self.looks))

    def _operate(self, work: Callable[[], Any], fault: Fault | None, begins: Begins) -> str:
        """Run an operation, note what happened, and check it all; return how it ended."""
        Shop.steps += 1
        ending = run(work, self.folder, fault, watched=fault is not None)
        if ending.fault is not None and fault is not None:
            Shop.counts[f"{begins.what}: {fault.kind}"] += 1
        *meanwhile, now = self.reader.answers()
        end = Ends("done", tuple(ending.value) if ending.value else None)
        if ending.how != "returned":
            end = Ends("refused" if ending.fault is None else "crashed")
            error = str(ending.value).strip().rpartition("\n")[2] if ending.how == "raised" else ""
            refused = any(name in str(ending.value) for name in _REFUSALS)
            assert ending.fault is not None or refused, f"{begins.what}: {error}: {ending}"
            assert ending.how != "died", ending
        self.history += [begins, *map(Seen, meanwhile), end, Seen(now)]
        self.history.append(Held(set(holds(self.workspace))))
        found = violations(self.history)
        assert not found, f"{found}\nafter {begins.what}, {fault} at {ending.fault}: {ending.value}"
        assert isinstance(now, dict)
        self.live = (now["encoder"], now["snapshot"])
        return end.how


def _publish(workspace: Workspace, encoder: str, snapshot: str, *, refresh: bool = False) -> Shown | None:
    embeddings = fabricated.embedded(workspace, snapshot, encoder)
    manifest = nightly.publish(CONFIG, workspace, snapshot, embeddings, refresh=refresh)
    return _shown(manifest.info)


def _roll_back(workspace: Workspace) -> Shown | None:
    return _shown(nightly.rollback(CONFIG, workspace).info)


def _shown(info: dict[str, Any]) -> Shown | None:
    return None if info["action"] == "nothing" else (info["encoder"], info["snapshot"])


def _housekeeping(workspace: Workspace, days: int) -> None:
    now = datetime.now(UTC) + timedelta(days=days)
    nightly.housekeeping(CONFIG, workspace, delete=True, now=now)


def interleave(examples: int, steps: int, seed: int | None = None) -> dict[str, Any]:
    """Let the machine run in this process; without a ``seed`` it always does the same.

    Return the number of ``steps`` taken and of ``faults`` by operation and kind; raises what it finds.
    """
    fabricated.use()
    Shop.counts.clear()
    Shop.steps = 0
    quiet = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=seed is None,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    machine = Shop if seed is None else hypothesis.seed(seed)(Shop)
    run_state_machine_as_test(machine, settings=quiet)
    return {"steps": Shop.steps, "faults": dict(Shop.counts)}


def interleave_for(seconds: float, seed: int) -> dict[str, Any]:
    """Let the machine run with one seed after the other until ``seconds`` are over.

    Return what :func:`interleave` does, and what was ``spoiled``.
    """
    deadline, steps, faults, spoiled = time.monotonic() + seconds, 0, Counter[str](), []
    while time.monotonic() < deadline:
        seed += 1
        try:
            interleave(5, 25, seed)
        except Exception:  # noqa: BLE001 (any is what is looked for)
            spoiled.append(f"seed {seed}: {traceback.format_exc()}")
        steps, faults = steps + Shop.steps, faults + Shop.counts
    return {"steps": steps, "faults": dict(faults), "spoiled": spoiled}
