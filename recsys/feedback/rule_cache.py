"""The active rules in memory, read again when something changed."""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from recsys.errors import DamagedError, TransientError
from recsys.feedback.database import Database, revision, rules
from recsys.feedback.rules import StoredRule

logger = logging.getLogger(__name__)

_POLL_INTERVAL_S = 1.0
"""Between two looks for what other processes changed."""


@dataclass(frozen=True)
class _Cached:
    rules: tuple[StoredRule, ...]
    """Neither retired nor expired when they were read, oldest first."""
    revision: int
    version: object
    """:attr:`RuleCache._version` when they were read."""
    read_at: float


class RuleCache:
    """Asks the database once a second at most; one thread asks, the others use what they have."""

    def __init__(self, database: Database) -> None:
        """Cache the rules of ``database``; the first call of :meth:`active` reads them."""
        self._database = database
        self._lock = threading.Lock()
        self._version = object()
        self._cached: _Cached | None = None
        self.problem = ""
        """Why the rules could not be read when they were last to be, and what to do; empty if they could."""

    def invalidate(self) -> None:
        """Read again before the next use; called after a change of this process was committed."""
        self._version = object()

    def active(self, now: datetime) -> tuple[StoredRule, ...]:
        """Return the rules that are active at ``now``: those read last where there is a :attr:`problem`."""
        cached = self._cached
        if cached is None or cached.version is not self._version:
            with self._lock:
                cached = self._cached
                if cached is None or cached.version is not self._version:
                    cached = self._read(now)
        elif time.monotonic() - cached.read_at > _POLL_INTERVAL_S and self._lock.acquire(blocking=False):
            try:
                cached = self._read(now)
            finally:
                self._lock.release()
        return tuple(rule for rule in cached.rules if rule.active(now))

    def _read(self, now: datetime) -> _Cached:
        """Read the revision, and the rules if it changed; the caller holds the lock."""
        cached, version = self._cached, self._version
        try:
            with self._database.reading() as connection:
                number = int(connection.execute(sa.select(revision.c.number)).scalar_one())
                if cached is not None and number == cached.revision:
                    found = tuple(r for r in cached.rules if r.expires_at is None or r.expires_at > now)
                else:
                    unexpired = sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > now)
                    query = sa.select(rules).where(rules.c.retired_at.is_(None), unexpired)
                    rows = connection.execute(query.order_by(rules.c.id)).mappings()
                    found = tuple(StoredRule(**row) for row in rows)
            self.problem = ""
        except (TransientError, DamagedError) as error:
            number, found = -1, () if cached is None else cached.rules
            what = "the rules that act may be out of date" if found else "no rule acts"
            self.problem = f"{what[0].upper()}{what[1:]}: {error.message}"
            logger.warning("%s: %s", what, error)
        self._cached = _Cached(found, number, version, time.monotonic())
        return self._cached
