"""Stages with a fault at each of their operations, and again without.

    found = disturb("publish", seed=0, number=20)       # {"operations", "faults", "spoiled"}

After some faults a reader who comes finds what was live before, or what the stage makes live; and the stage,
run again, leaves what an undisturbed run leaves.
"""

import os
import random
import re
import shutil
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.dataset  # noqa: F401 (here, so that no fork has to)

import recsys.index.edge  # noqa: F401 (as well)
from recsys.index.edge_files import copy_sparse
from tests.faults import fabricated
from tests.faults.stages import STAGES, state
from tests.faults.syscalls import KINDS, Ending, Fault, run

IN_A_ROW = 3
"""Faults before a run without one: the second and third are of a run that goes on after a fault."""
_MEMORY = Path("/dev/shm")
_ENGINE = re.compile(r"(g\d+|readers)/.*/")
"""What lies within a generation: many folders that are alike."""
_VARIABLE = re.compile(r"[0-9a-f]{8,}|\d+")


class Campaign(ABC):
    """The trials of one stage."""

    num_operations: int
    """Of an undisturbed run."""

    def __init__(self, name: str) -> None:
        self.name, self.counts = name, Counter[str]()

    @abstractmethod
    def kinds(self, at: int) -> Sequence[str]:
        """Return the kinds of faults that can befall an operation."""

    @abstractmethod
    def sort(self, at: int) -> str:
        """Return what is the same of operations that are alike."""

    @abstractmethod
    def trial(self, faults: deque[Fault]) -> None:
        """Run the stage with the next of ``faults``, and the next, until it is done or :data:`IN_A_ROW`
        came; then without. Take them from ``faults`` and count those that came.

        Raises ``AssertionError`` for what they spoiled.
        """

    def close(self) -> None:
        """Let go what it holds besides its folder."""
        return

    def faults(self, *, seed: int) -> Iterator[Fault]:
        """Yield every fault there can be, at operations of each sort in turn, in an order from ``seed``."""
        rng = random.Random(seed)
        sorts: dict[tuple[str, str], list[Fault]] = {}
        for at in range(self.num_operations):
            for kind in self.kinds(at):
                sorts.setdefault((self.sort(at), kind), []).append(Fault(at, kind))
        left = list(sorts.values())
        for faults in left:
            rng.shuffle(faults)
        while left:
            rng.shuffle(left)
            yield from (faults.pop() for faults in left)
            left = [faults for faults in left if faults]


class FileCampaign(Campaign):
    """Faults of file operations. Its process must not use an engine by itself: see ``syscalls``."""

    def __init__(self, name: str, folder: Path) -> None:
        """Prepare the stage in ``folder`` and run it undisturbed; raises ``AssertionError`` if that fails."""
        super().__init__(name)
        self._stage, self._before, self._home = STAGES[name], folder / "before", folder / "home"
        fabricated.use()
        self._state = partial(state, ask=self._stage.ask)
        self._stage.load()
        (self._home / "workspace").mkdir(parents=True)
        self._done(self._stage.prepare)
        self._home.rename(self._before)
        self._restore()
        self._start = self._done(self._state).value
        self._restore()
        self._operations = self._done(self._stage.run, watched=True).operations
        self._end = self._done(self._state).value
        assert not isinstance(self._end["answer"], str), self._end["answer"]
        self.num_operations = len(self._operations)

    def kinds(self, at: int) -> Sequence[str]:
        return [kind for kind in KINDS if self._operations[at].can(kind)]

    def sort(self, at: int) -> str:
        found = self._operations[at]
        path = _ENGINE.sub(r"\1/…/", found.path)
        return f"{found.name} {_VARIABLE.sub('', path)}"

    def trial(self, faults: deque[Fault]) -> None:
        self._restore()
        came: list[str] = []
        ending = Ending()
        while faults and len(came) < IN_A_ROW and ending.how != "returned":
            fault = faults.popleft()
            ending = run(partial(self._stage.run, self._home), self._home / "workspace", fault)
            assert ending.how != "died", f"{self.name}: {fault}, {ending.fault}, after {came}"
            if ending.fault is not None:  # it does not come where fewer operations are left
                self.counts[fault.kind] += 1
                said = str(ending.value).strip().rpartition("\n")[2]
                came.append(f"{fault.kind} at {fault.at}, {ending.fault}: {ending.how} {said}")
        what = f"{self.name}: {came}"
        found, after = self._done(self._recover, what).value
        allowed = [seen(s["answer"]) for s in (self._start, self._end)]
        assert seen(found) in allowed, f"{what}: then readers saw {found}"
        differs = {k: (after[k], v) for k, v in self._end.items() if seen(after[k]) != seen(v)}
        assert not differs, f"{what}: then run again it left, instead of what it should: {differs}"

    def _recover(self, home: Path) -> tuple[Any, dict[str, Any]]:
        found = self._state(home)["answer"]
        self._stage.run(home)
        return found, self._state(home)

    def _done(
        self, work: Callable[[Path], Any], after: str = "undisturbed", *, watched: bool = False
    ) -> Ending:
        ending = run(partial(work, self._home), self._home / "workspace", watched=watched)
        assert ending.how == "returned", f"{self.name}, {after}: it {ending.how}: {ending.value}"
        return ending

    def _restore(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.copytree(self._before, self._home, copy_function=_copy)


def disturb(
    make: Callable[[str, Path], Campaign],
    name: str,
    *,
    seed: int,
    number: int | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Try ``number`` faults of a stage, or every one until ``seconds`` are over, in this process.

    Preparing the stage does not count, so that each has its turn.

    Return the number of ``operations``, of ``faults`` by kind, and what was ``spoiled``.
    """
    with TemporaryDirectory(dir=in_memory(), ignore_cleanup_errors=True) as folder:
        campaign, spoiled = make(name, Path(folder)), []
        deadline = None if seconds is None else time.monotonic() + seconds
        faults = deque(islice(campaign.faults(seed=seed), number))
        while faults and (deadline is None or time.monotonic() < deadline):
            try:
                campaign.trial(faults)
            except AssertionError as error:
                spoiled.append(str(error))
            except Exception:  # noqa: BLE001 (any is what is looked for)
                spoiled.append(traceback.format_exc())
        campaign.close()
        return {
            "operations": campaign.num_operations, "faults": dict(campaign.counts), "spoiled": spoiled
        }  # fmt: skip


def in_memory() -> Path | None:
    """Return a folder in memory for temporary ones, ``None`` where the system has no such place."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


def seen(value: Any) -> Any:
    """Return an answer without the collection's name, which is never the same."""
    return {k: v for k, v in value.items() if k != "collection"} if isinstance(value, dict) else value


def _copy(source: str, target: str) -> None:
    copy_sparse(Path(source), Path(target))
    shutil.copystat(source, target)
