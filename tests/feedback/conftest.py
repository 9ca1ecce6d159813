"""Every test of the store runs on SQLite and on PostgreSQL, each time in a database of its own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recsys.feedback.database import Database
from recsys.feedback.store import FeedbackStore
from tests.feedback.cluster import Cluster, binaries, cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with cluster(programs) as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/search.db"
    running: Cluster = request.getfixturevalue("postgresql")
    return running.database()


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 7, 1, tzinfo=UTC)

    def forward(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The store's clock."""
    made = Clock()
    monkeypatch.setattr("recsys.feedback.store.now", lambda: made.now)
    return made


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], FeedbackStore]]:
    """Opens the same database again and again, as several processes would."""
    stores: list[FeedbackStore] = []

    def another() -> FeedbackStore:
        stores.append(FeedbackStore(Database(url)))
        return stores[-1]

    yield another
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], FeedbackStore], clock: Clock) -> FeedbackStore:
    """A store whose clock the test moves."""
    return opened()
