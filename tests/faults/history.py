"""What happened to an index, in order, and what must hold of it whatever happened.

    history = History()
    history += Ingested("snapshots/a", {"p1": (1, 5.0)})
    history += Begins("publish", may_show={("encoders/e1", "snapshots/a")})
    history += Seen(answer)                  # by any reader, at any moment
    history += Ends("done", shows=("encoders/e1", "snapshots/a"))
    history += Held({"encoders/e2"})
    assert not violations(history)

The place in the list is the clock. Operations come one after the other; a crashed one may have done what it
began or not, and the first answer after it decides.
"""

from dataclasses import dataclass, field
from typing import Literal

from tests.faults.fabricated import Answer, Looks

Shown = tuple[str, str]
"""Encoder and snapshot of a collection."""


@dataclass(frozen=True)
class Ingested:
    """A snapshot became the catalog's newest."""

    snapshot: str
    products: Looks


@dataclass(frozen=True)
class Begins:
    """An operation begins."""

    what: str
    may_show: set[Shown] = field(default_factory=set)
    """What readers may find by it, besides what they found before."""
    may_free: str | None = None
    """The encoder that may be on hold no more by it."""
    holds: bool = False
    """Whether it puts the encoder that it leaves on hold."""


@dataclass(frozen=True)
class Ends:
    """The operation that began last has ended."""

    how: Literal["done", "refused", "crashed"]
    shows: Shown | None = None
    """What it says that readers find now, if it is done and says so."""


@dataclass(frozen=True)
class Seen:
    """A reader asked for everything: see :func:`tests.faults.fabricated.look`."""

    answer: Answer | str


@dataclass(frozen=True)
class Held:
    """The encoders on hold, as they were found while nothing ran."""

    encoders: set[str]


Event = Ingested | Begins | Ends | Seen | Held
History = list[Event]


def violations(history: History) -> list[str]:
    """Return what must not be, each with its place in the history:

    an answer that is not one collection of one encoder's vectors and one snapshot's products; one that shows
    what nothing published, or what was live before; one of an older catalog than an earlier answer's; an
    encoder that comes back while it is on hold, a hold that is gone, a rollback without one.
    """
    check = _Check()
    for at, event in enumerate(history):
        check.at = at
        match event:
            case Ingested(snapshot, products):
                check.newest += 1
                check.catalogs[snapshot] = (check.newest, products)
            case Begins():
                check.begin(event)
            case Ends():
                check.end(event)
            case Held(encoders):
                check.held_are(encoders)
            case Seen(str() as reason):
                if check.live:
                    check.say(f"no answer: {reason}")
            case Seen(dict() as answer):
                check.answered(answer)
    return check.found


class _Check:
    """What is known at one place of the history."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.at, self.newest, self.shown_until = 0, 0, 0
        self.catalogs: dict[str, tuple[int, Looks]] = {}
        self.possible: set[Shown] = set()
        self.before: set[Shown] = set()
        self.live: Shown | None = None
        """What the last answer showed."""
        self.running: Begins | None = None
        self.last: Begins | None = None
        self.left: str | None = None
        """The encoder that was live when the last operation began."""
        self.held: set[str] = set()
        self.freed: set[str] = set()
        """What may have left the hold since :attr:`held` was found."""

    def say(self, what: str) -> None:
        self.found.append(f"{self.at}: {what}")

    def begin(self, event: Begins) -> None:
        self.running = self.last = event
        self.before, self.left = self.possible, self.live[0] if self.live else None
        self.possible = self.possible | event.may_show
        self.freed |= {event.may_free or ""}

    def end(self, event: Ends) -> None:
        assert self.running is not None, "an operation ends that began"
        if event.how == "refused":
            self.possible = self.before
        elif event.shows is not None:
            if event.shows not in self.possible:
                self.say(f"{self.running.what} says that it shows {event.shows}, not {self.possible}")
            self.possible = {event.shows}
        self.running = None

    def held_are(self, encoders: set[str]) -> None:
        if lost := self.held - self.freed - encoders:
            self.say(f"on hold no more, and nobody lifted it: {lost}")
        moved = self.last and self.last.holds and self.live and self.left not in (None, self.live[0])
        if moved and self.left not in encoders:
            self.say(f"rolled back from {self.left}, which is not on hold")
        self.held, self.freed = encoders, set()

    def answered(self, answer: Answer) -> None:
        shown = (answer["encoder"], answer["snapshot"])
        number, products = self.catalogs.get(shown[1], (0, {}))
        if {id: tuple(row) for id, row in answer["products"].items()} != products:
            self.say(f"{answer['collection']} does not hold the products of {shown[1]}")
        if answer["wrong"]:
            self.say(f"{answer['collection']} holds vectors that are not {shown[0]}'s: {answer['wrong']}")
        if answer["found"] != sorted(answer["products"]):
            self.say(f"{answer['collection']}: a search finds {answer['found']}")
        if shown not in self.possible:
            self.say(f"readers see {shown}; it could only be {self.possible}")
        if number < self.shown_until:
            self.say(f"readers see {shown[1]} again, which is older than what they saw")
        if self.live and shown[0] != self.live[0] and shown[0] in self.held - self.freed:
            self.say(f"{shown[0]} is live again and on hold")
        if self.running is None or shown not in self.before:
            self.possible = {shown}
        self.live, self.shown_until = shown, max(number, self.shown_until)
