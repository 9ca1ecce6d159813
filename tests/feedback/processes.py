"""What the tests of the store run in processes of their own."""

import time
from multiprocessing.connection import Connection

import sqlalchemy as sa

from recsys.feedback.database import Database, rules
from recsys.feedback.rules import Rule
from recsys.feedback.store import FeedbackStore


def open_it(line: Connection, url: str) -> None:
    """Open the store, as soon as told to, and say what there is."""
    line.send("ready")
    line.recv()
    line.send(len(FeedbackStore(Database(url)).audit()))


def write(line: Connection, url: str, author: str, rule: int, times: int) -> None:
    """Judge, and change one and the same rule, again and again."""
    store = FeedbackStore(Database(url))
    line.send("ready")
    line.recv()
    for i in range(times):
        store.judge(f"{i}", "x", "similar", author)
        store.change_rule(rule, author, reason=f"{author} {i}")
    line.send("done")


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
        line.send("ready")
        time.sleep(120)
