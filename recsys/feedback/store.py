"""Rules and judgements: what people said, what is in force, and who changed what.

    with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
        rule = store.add_rule(Rule(action="pin", target="product", target_value="P1"), "Maria")
        store.active_rules(datetime.now(UTC))

Nothing is ever removed: rules are retired, judgements withdrawn, and the trail keeps every step. Whether
somebody may do something is the caller's question.

What the feedback store answers with: plain values.

Judgements: what each person says of two products. The half of the store that training learns from.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from recsys.config import Config
from recsys.errors import ConfigError, InputError
from recsys.feedback import validation
from recsys.feedback.audit import record, values_of
from recsys.feedback.database import Database, audit, judgements, rules
from recsys.feedback.records import RULE_FIELDS, AuditEntry, Judgement, StoredRule
from recsys.feedback.rule_cache import RuleCache
from recsys.feedback.rules import Rule
from recsys.workspace import Workspace

logger = logging.getLogger(__name__)


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
        first, second = validation.pair(left_id, right_id)
        validation.text(author, "author", most=validation.MAX_AUTHOR, least=1)
        values: dict[str, Any] = {"label": validation.label(label), "context": validation.context(context)}
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
        validation.text(author, "author", most=validation.MAX_AUTHOR, least=1)
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
            .limit(validation.number(limit, "limit"))
            .offset(validation.number(offset, "offset"))
        )
        if product_id is not None:
            validation.text(product_id, "product_id", most=validation.MAX_ID)
            query = query.where(
                sa.or_(judgements.c.left_id == product_id, judgements.c.right_id == product_id)
            )
        if author is not None:
            query = query.where(
                judgements.c.author == validation.text(author, "author", most=validation.MAX_AUTHOR)
            )
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
    query = sa.select(judgements).where(judgements.c.id == validation.row_id(id, "judgement"))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise validation.missing("judgement", id)
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


FILE = "search.db"


def url_of(config: Config, workspace: Workspace) -> str:
    """Return the SQLAlchemy URL of the store; raises :class:`ConfigError` where it has nowhere to be."""
    if config.search.database:
        return config.search.database
    if not workspace.is_local:
        raise ConfigError(
            f"Rules and judgements need a database, and the workspace {workspace.root} is no local folder.",
            fix="Set search.database or RECSYS_DATABASE_URL, such as postgresql+psycopg://user@host/recsys.",
        )
    return f"sqlite:///{file_of(workspace)}"


def file_of(workspace: Workspace) -> Path:
    """Return where SQLite's file is, or would be, in a local workspace."""
    return Path(workspace.local).resolve() / FILE


class FeedbackStore(Judgements):
    """The store, over one database. Thread-safe; several processes may have it open."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] | None = None) -> None:
        """Keep things in ``database``, stamped by ``clock`` (default: now, in UTC)."""
        super().__init__(database, clock or (lambda: datetime.now(UTC)))
        self._rule_cache = RuleCache(database)

    @classmethod
    def open(cls, config: Config, workspace: Workspace) -> "FeedbackStore":
        """Open the store that the configuration names, its schema brought up to date.

        SQLite lives in the workspace's folder; search.database names another place. Raises
        :class:`ConfigError` where there is no such place and :class:`TransientError` where it is silent.
        """
        return cls(Database(url_of(config, workspace)))

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    # -- rules -----------------------------------------------------------------------------------

    def rules(
        self,
        *,
        at: datetime | None = None,
        include_past: bool = False,
        product_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[StoredRule]:
        """Return rules, newest first: those in force or to come, and with ``include_past`` all others too.

        ``at`` asks for those that were, are or will be in force then. ``product_id`` for those made for that
        product's page or about it.
        """
        query = sa.select(rules).order_by(rules.c.id.desc())
        query = query.limit(validation.number(limit, "limit")).offset(validation.number(offset, "offset"))
        if at is not None:
            then = validation.moment(at, "at")
            query = query.where(
                rules.c.created_at <= then,
                sa.or_(rules.c.retired_at.is_(None), rules.c.retired_at > then),
                sa.or_(rules.c.starts_at.is_(None), rules.c.starts_at <= then),
                sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > then),
            )
        elif not include_past:
            query = query.where(
                rules.c.retired_at.is_(None),
                sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > self._clock()),
            )
        if product_id is not None:
            validation.text(product_id, "product_id", most=validation.MAX_ID)
            target = sa.and_(rules.c.target == "product", rules.c.target_value == product_id)
            scope = sa.and_(rules.c.scope == "product", rules.c.scope_value == product_id)
            query = query.where(sa.or_(target, scope))
        with self._database.reading() as connection:
            return [StoredRule(**row) for row in connection.execute(query).mappings()]

    def active_rules(self, now: datetime) -> tuple[Rule, ...]:
        """Return the rules in force at ``now`` (UTC), oldest first.

        Kept in memory: what this process changed shows at once, what another did within a second. Where the
        database falls silent, what was in force before goes on being so, and the log says it.
        """
        return self._rule_cache.rules(now)

    def rule(self, id: int) -> StoredRule:
        """Return one rule, whatever became of it; raises :class:`NotFoundError`."""
        with self._database.reading() as connection:
            return _rule(connection, id)

    def add_rule(self, rule: Rule, author: str) -> StoredRule:
        """Keep a new rule of ``author``; raises :class:`InputError` for what no database keeps."""
        validation.text(author, "author", most=validation.MAX_AUTHOR, least=1)
        values = _kept(rule)
        with self._changing_rules() as connection:
            now = self._clock()
            values |= {"author": author, "created_at": now, "changed_at": now}
            made = connection.execute(sa.insert(rules).values(values).returning(rules.c.id)).scalar_one()
            stored = _rule(connection, made)
            record(connection, now, author, "rule.add", rule_id=made, after=values_of(stored))
        return stored

    def change_rule(self, id: int, author: str, **changes: Any) -> StoredRule:
        """Change a rule's values; it stays its maker's. Retired rules are restored first.

        Raises :class:`NotFoundError`, and :class:`InputError` for values that do not fit together.
        """
        unknown = sorted(changes.keys() - set(RULE_FIELDS))
        if unknown:
            raise InputError(
                f"{', '.join(unknown)} of a rule cannot be changed.", fix=f"Change {', '.join(RULE_FIELDS)}."
            )
        for name in changes.keys() & {"starts_at", "expires_at"}:
            changes[name] = validation.moment(changes[name], name)

        def change(before: StoredRule, _now: datetime) -> Mapping[str, Any]:
            if before.retired_at is not None:
                raise InputError(f"Rule {id} is retired.", fix="Restore it, then change it.")
            return _kept(replace(before, **changes))

        return self._change(id, author, "rule.change", change)

    def retire_rule(self, id: int, author: str, reason: str = "") -> StoredRule:
        """Take a rule out of force; a retired one stays as it is. Raises :class:`NotFoundError`."""

        def change(before: StoredRule, now: datetime) -> Mapping[str, Any]:
            return {} if before.retired_at else {"retired_at": now, "retired_by": author}

        return self._change(id, author, "rule.retire", change, reason)

    def restore_rule(self, id: int, author: str) -> StoredRule:
        """Undo the retirement of a rule; one that is not retired stays as it is."""
        nobody = {"retired_at": None, "retired_by": None}
        return self._change(id, author, "rule.restore", lambda _before, _now: nobody)

    def _change(
        self,
        id: int,
        author: str,
        action: str,
        change: Callable[[StoredRule, datetime], Mapping[str, Any]],
        note: str = "",
    ) -> StoredRule:
        """Write what ``change`` says of the rule as it is now, and the trail's entry, if that is news."""
        validation.text(author, "author", most=validation.MAX_AUTHOR, least=1)
        validation.text(note, "reason")
        with self._changing_rules() as connection:
            before, now = _rule(connection, id), self._clock()
            values = {k: v for k, v in change(before, now).items() if getattr(before, k) != v}
            if not values:
                return before
            connection.execute(sa.update(rules).where(rules.c.id == id).values(values | {"changed_at": now}))
            after = _rule(connection, id)
            record(
                connection, now, author, action, rule_id=id,
                before=values_of(before), after=values_of(after), note=note,
            )  # fmt: skip
        return after

    @contextlib.contextmanager
    def _changing_rules(self) -> Iterator[sa.Connection]:
        with self._database.writing() as connection:
            yield connection
        self._rule_cache.changed()

    # -- the trail -------------------------------------------------------------------------------

    def audit(
        self,
        *,
        rule_id: int | None = None,
        judgement_id: int | None = None,
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[AuditEntry]:
        """Return the trail, newest first: of everything, or of one rule or judgement.

        ``before_id`` goes on after the last entry of the answer before.
        """
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(validation.number(limit, "limit"))
        if rule_id is not None:
            query = query.where(audit.c.rule_id == validation.row_id(rule_id, "rule"))
        if judgement_id is not None:
            query = query.where(audit.c.judgement_id == validation.row_id(judgement_id, "judgement"))
        if before_id is not None:
            query = query.where(audit.c.id < validation.number(before_id, "before_id"))
        with self._database.reading() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]


def _rule(connection: sa.Connection, id: int) -> StoredRule:
    """Return the rule as it is in this transaction; raises :class:`NotFoundError`."""
    query = sa.select(rules).where(rules.c.id == validation.row_id(id, "rule"))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise validation.missing("rule", id)
    return StoredRule(**row)


def _kept(rule: Rule) -> dict[str, Any]:
    """Return a rule's values as a row holds them; raises :class:`InputError`."""
    values = {name: getattr(rule, name) for name in RULE_FIELDS}
    for name in ("target_value", "scope_value", "reason"):
        is_id = name != "reason" and getattr(rule, name.removesuffix("_value")) == "product"
        validation.text(values[name], name, most=validation.MAX_ID if is_id else validation.MAX_TEXT)
    values["strength"] = float(rule.strength)
    validation.number(rule.position, "position", most=1_000_000)
    for name in ("starts_at", "expires_at"):
        values[name] = validation.moment(values[name], name)
    return values
