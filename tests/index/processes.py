"""What the tests run in processes of their own: a publisher to kill, readers that watch.

They start from a fork server that has imported everything, so that a kill costs milliseconds.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from recsys.config import Config, IndexConfig
from recsys.index import open_index
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import similar

_DEADLINE_S = 120.0


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "recsys.index.edge"])
    return context


class Worker:
    """A process that has begun its work."""

    def __init__(self, work: Any, root: str, settings: dict[str, object], *rest: str) -> None:
        context = _context()
        self._results, theirs = context.Pipe(duplex=False)
        self.process: ForkServerProcess = context.Process(target=work, args=(theirs, root, settings, *rest))
        self.process.start()
        theirs.close()
        assert self._receive() == "started"

    def _receive(self) -> Any:
        assert self._results.poll(_DEADLINE_S), "the process gave no answer"
        return self._results.recv()

    def result(self) -> Any:
        """Wait for what the work sends, and for its end."""
        answer = self._receive()
        self.process.join(_DEADLINE_S)
        assert self.process.exitcode == 0
        return answer

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.join(_DEADLINE_S)


def publish(
    results: Connection, root: str, settings: dict[str, object], snapshot: str, embeddings: str
) -> None:
    """Publish; send the manifest's info."""
    results.send("started")
    results.send(run(_config(settings), Workspace(root), snapshot, embeddings).info)


def watch(results: Connection, root: str, settings: dict[str, object], stop: str) -> None:
    """Read everything again and again until the file ``stop`` is there; send each state seen."""
    index = open_index(_config(settings), Workspace(root))
    results.send("started")
    seen: list[dict[str, Any]] = []
    stopping = False
    while not stopping:
        stopping = Path(stop).exists()  # looked at first: one more look follows
        state = _look(index.open())
        if not seen or seen[-1] != state:
            seen.append(state)
        time.sleep(0.001)
    results.send(seen)
    index.close()


def _look(collection: Any) -> dict[str, Any]:
    titles: dict[str, int] = {}
    ids = []
    for record in collection.records(["title"]):
        ids.append(record.id)
        titles[record.payload["title"]] = titles.get(record.payload["title"], 0) + 1
    neighbours = similar(collection, ids[0], limit=5)
    return {
        "titles": titles,
        "snapshot": collection.metadata.snapshot,
        "encoder": collection.metadata.encoder,
        "neighbours": len(neighbours),
        "neighbour_titles": sorted({n.payload["title"] for n in neighbours}),
    }


def _config(settings: dict[str, object]) -> Config:
    return Config(index=IndexConfig.model_validate(settings))
