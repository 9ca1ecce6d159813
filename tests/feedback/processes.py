"""What the tests of the store run in processes of their own; they start from a fork server."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import sqlalchemy as sa

from recsys.feedback.database import Database, rules
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore

_DEADLINE_S = 120.0


class Worker:
    """A process at work, and the line to it."""

    def __init__(self, work: Callable[..., None], *given: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self.line, theirs = context.Pipe()
        self.process: ForkServerProcess = context.Process(target=work, args=(theirs, *given))
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        """What it sends next."""
        assert self.line.poll(_DEADLINE_S), "the process gave no answer"
        return self.line.recv()

    def end(self) -> None:
        """Wait until it is done."""
        self.process.join(_DEADLINE_S)
        assert self.process.exitcode == 0

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.join(_DEADLINE_S)


def open_it(line: Connection, url: str) -> None:
    """Open the store, as soon as told to, and say what there is."""
    line.send("ready")
    line.recv()
    store = FeedbackStore(Database(url))
    line.send(len(store.audit()))
    store.close()


def write(line: Connection, url: str, author: str, rule: int, times: int) -> None:
    """Judge, and change one and the same rule, again and again."""
    store = FeedbackStore(Database(url))
    line.send("ready")
    line.recv()
    for i in range(times):
        store.judge(f"{i}", "x", "similar", author)
        store.change_rule(rule, author, reason=f"{author} {i}")
    line.send("done")
    store.close()


def write_until_killed(line: Connection, url: str) -> None:
    """Add rule after rule; each id is sent once ``add_rule`` has answered."""
    store = FeedbackStore(Database(url))
    line.send("ready")
    while True:
        line.send(store.add_rule(Rule(action="pin", target="product", target_value="P1"), "Maria").id)


def stop_in_the_middle(line: Connection, url: str, rule: int) -> None:
    """Change the rule's row, and stay there without a commit."""
    database = Database(url)
    with database.writing() as connection:
        connection.execute(sa.update(rules).where(rules.c.id == rule).values(reason="half"))
        line.send("in the middle")
        time.sleep(_DEADLINE_S)
