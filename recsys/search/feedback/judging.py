"""Judgements: what each person says of two products. The half of the store that training learns from.

Does not know: rules; what is made of judgements.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from recsys.search.feedback import checks
from recsys.search.feedback.database import Database
from recsys.search.feedback.records import Judgement
from recsys.search.feedback.tables import judgements
from recsys.search.feedback.trail import record, values_of


class Judgements:
    """One current judgement per unordered pair and author: judging again replaces, the trail keeps all."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        """Keep judgements in ``database``, stamped by ``clock`` (UTC)."""
        self._database, self._clock = database, clock

    def judge(
        self,
        left_id: str,
        right_id: str,
        label: str,
        author: str,
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Judgement:
        """Keep what ``author`` says of two products: ``similar``, ``not_similar`` or ``duplicate``.

        The answer's ``replaced`` is what the author had said before, so that it can be undone. Saying the
        same again changes nothing. Raises :class:`InputError`.
        """
        first, second = checks.pair(left_id, right_id)
        checks.text(author, "author", most=checks.MAX_AUTHOR, least=1)
        values: dict[str, Any] = {"label": checks.label(label), "context": checks.context(context)}
        key = {"left_id": first, "right_id": second, "author": author}
        with self._database.writing() as connection:
            before, now = _by_key(connection, key), self._clock()
            if before is None:
                row = key | values | {"created_at": now, "changed_at": now}
                statement = sa.insert(judgements).values(row).returning(judgements.c.id)
                stored = _one(connection, connection.execute(statement).scalar_one())
                _record(connection, now, author, "judgement.add", (None, stored))
                return stored
            said = None if before.withdrawn_at else before.label
            if said == label:
                return replace(before, replaced=said)
            _update(connection, before.id, values | {"withdrawn_at": None, "changed_at": now})
            stored = _one(connection, before.id)
            _record(connection, now, author, "judgement.change", (before, stored))
            return replace(stored, replaced=said)

    def withdraw(self, id: int, author: str) -> Judgement:
        """Take a judgement back, in the name of ``author``; one taken back stays so.

        Raises :class:`NotFoundError`.
        """
        checks.text(author, "author", most=checks.MAX_AUTHOR, least=1)
        with self._database.writing() as connection:
            before, now = _one(connection, id), self._clock()
            if before.withdrawn_at is not None:
                return before
            _update(connection, id, {"withdrawn_at": now, "changed_at": now})
            stored = _one(connection, id)
            _record(connection, now, author, "judgement.withdraw", (before, stored))
            return stored

    def judgement(self, id: int) -> Judgement:
        """Return one judgement, withdrawn or not; raises :class:`NotFoundError`."""
        with self._database.reading() as connection:
            return _one(connection, id)

    def judgements(
        self, *, product_id: str | None = None, author: str | None = None, limit: int = 100, offset: int = 0
    ) -> list[Judgement]:
        """Return judgements that stand, the last said first: all, or those of a product or an author."""
        query = (
            sa.select(judgements)
            .where(judgements.c.withdrawn_at.is_(None))
            .order_by(judgements.c.changed_at.desc(), judgements.c.id.desc())
            .limit(checks.number(limit, "limit"))
            .offset(checks.number(offset, "offset"))
        )
        if product_id is not None:
            checks.text(product_id, "product_id", most=checks.MAX_ID)
            query = query.where(
                sa.or_(judgements.c.left_id == product_id, judgements.c.right_id == product_id)
            )
        if author is not None:
            query = query.where(judgements.c.author == checks.text(author, "author", most=checks.MAX_AUTHOR))
        with self._database.reading() as connection:
            return [Judgement(**row) for row in connection.execute(query).mappings()]

    def all_judgements(self) -> list[Judgement]:
        """Return every judgement that stands, by pair, as of one moment."""
        order = (judgements.c.left_id, judgements.c.right_id, judgements.c.id)
        query = sa.select(judgements).where(judgements.c.withdrawn_at.is_(None)).order_by(*order)
        with self._database.reading() as connection:
            return [Judgement(**row) for row in connection.execute(query).mappings()]


def _by_key(connection: sa.Connection, key: Mapping[str, str]) -> Judgement | None:
    query = sa.select(judgements).where(*(judgements.c[name] == value for name, value in key.items()))
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Judgement(**row)


def _one(connection: sa.Connection, id: int) -> Judgement:
    query = sa.select(judgements).where(judgements.c.id == checks.row_id(id, "judgement"))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise checks.missing("judgement", id)
    return Judgement(**row)


def _update(connection: sa.Connection, id: int, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(judgements).where(judgements.c.id == id).values(dict(values)))


def _record(
    connection: sa.Connection,
    now: datetime,
    author: str,
    action: str,
    change: tuple[Judgement | None, Judgement],
) -> None:
    before, after = change
    record(
        connection, now, author, action, judgement_id=after.id,
        before=values_of(before) if before else None, after=values_of(after),
    )  # fmt: skip
