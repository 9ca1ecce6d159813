"""The rules in force, kept in memory and looked at anew when something changed.

Does not know: how rules are written.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from recsys.errors import TransientError
from recsys.feedback.database import Database, revision, rules
from recsys.feedback.records import StoredRule

logger = logging.getLogger(__name__)

_EVERY_S = 1.0
"""Between two looks for what other processes changed."""


@dataclass(frozen=True)
class _Seen:
    rules: tuple[StoredRule, ...]
    """Neither retired nor expired when they were read, oldest first."""
    revision: int
    writes: int
    """Changes that this process had made before they were read."""
    looked_at: float


class RuleCache:
    """Answers without the database, but for one look a second; one thread looks, the others go on."""

    def __init__(self, database: Database) -> None:
        """Watch ``database``; the first question reads the rules."""
        self._database = database
        self._lock = threading.Lock()
        self._writes = 0
        self._counting = threading.Lock()
        self._seen: _Seen | None = None

    def changed(self) -> None:
        """Say that this process changed something, after it was committed."""
        with self._counting:
            self._writes += 1

    def rules(self, now: datetime) -> tuple[StoredRule, ...]:
        """Return the rules in force at ``now``."""
        seen = self._seen
        if seen is None or seen.writes != self._writes:
            with self._lock:
                seen = self._seen
                if seen is None or seen.writes != self._writes:
                    seen = self._look(now)
        elif time.monotonic() - seen.looked_at > _EVERY_S and self._lock.acquire(blocking=False):
            try:
                seen = self._look(now)
            finally:
                self._lock.release()
        return tuple(rule for rule in seen.rules if rule.active(now))

    def _look(self, now: datetime) -> _Seen:
        """Read the revision, and the rules where it moved; the caller holds the lock."""
        seen, writes = self._seen, self._writes
        try:
            with self._database.reading() as connection:
                number = int(connection.execute(sa.select(revision.c.number)).scalar_one())
                if seen is None or number != seen.revision:
                    found = self._read(connection, now)
                else:
                    found = tuple(r for r in seen.rules if r.expires_at is None or r.expires_at > now)
        except TransientError as error:
            if seen is None:
                raise
            logger.warning("the rules in force may be out of date: %s", error.message)
            number, found = -1, seen.rules
        self._seen = _Seen(found, number, writes, time.monotonic())
        return self._seen

    @staticmethod
    def _read(connection: sa.Connection, now: datetime) -> tuple[StoredRule, ...]:
        query = (
            sa.select(rules)
            .order_by(rules.c.id)
            .where(
                rules.c.retired_at.is_(None), sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > now)
            )
        )
        return tuple(StoredRule(**row) for row in connection.execute(query).mappings())
