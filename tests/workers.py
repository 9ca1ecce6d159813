"""Work in a process of its own, to be raced or killed; processes start from a fork server."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

_DEADLINE_S = 120.0
_PRELOAD = ["tests.feedback.processes", "tests.index.processes", "recsys.index.edge"]
"""Imported once by the fork server, so that a kill costs milliseconds."""


class Worker:
    """A process that runs ``work(line, *arguments)``; ``line`` is a connection to it."""

    def __init__(self, work: Callable[..., None], *arguments: Any) -> None:
        """Start it and wait until it sends "ready"."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        self.line, theirs = context.Pipe()
        self.process: ForkServerProcess = context.Process(target=work, args=(theirs, *arguments))
        self.process.start()
        theirs.close()
        assert self.receive() == "ready"

    def receive(self) -> Any:
        """Return what it sends next."""
        assert self.line.poll(_DEADLINE_S), "the process gave no answer"
        return self.line.recv()

    def result(self) -> Any:
        """Return what it sends next, once it has ended."""
        answer = self.receive()
        self.process.join(_DEADLINE_S)
        assert self.process.exitcode == 0
        return answer

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.join(_DEADLINE_S)
