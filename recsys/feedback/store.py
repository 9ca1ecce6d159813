"""The feedback store: rules and judgements, and who changed what.

    with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
        rule = store.add_rule(Rule(action="pin", target="product", target_value="P1"), "Maria")
        store.active_rules(datetime.now(UTC))

Nothing is ever removed: rules are retired, judgements withdrawn, and the audit trail keeps every step.
Whether somebody may do something is the caller's question.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from pydantic import Field

from recsys.config import Config
from recsys.errors import ConfigError, InputError, NotFoundError
from recsys.feedback.database import Database, audit, judgements, rules
from recsys.feedback.judgements import Judgement, Label
from recsys.feedback.rule_cache import RuleCache
from recsys.feedback.rules import RULE_FIELDS, Rule, StoredRule
from recsys.feedback.validation import Author, Context, ProductId, Text, checked
from recsys.workspace import Workspace

FILE = "search.db"

_IF_ANY = Field(exclude_if=lambda id: id is None)  # a change is of a rule or of a judgement

S = TypeVar("S", StoredRule, Judgement)


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One change: who did what, when, and what it was before and after."""

    id: int
    at: datetime
    author: str
    action: str
    """``rule.add``, ``rule.change``, ``rule.retire``, ``rule.restore``, ``judgement.add``,
    ``judgement.change``, ``judgement.withdraw``."""
    rule_id: Annotated[int | None, _IF_ANY]
    judgement_id: Annotated[int | None, _IF_ANY]
    before: Mapping[str, Any] | None
    """The row's values as JSON (times as ISO 8601); ``None`` if there was no row."""
    after: Mapping[str, Any] | None
    note: str
    """Why, if a reason was given."""


class FeedbackStore:
    """The store, over one database. Thread-safe; several processes may have it open.

    Every method raises :class:`InputError` for an argument that :mod:`recsys.feedback.validation` refuses.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rule_cache = RuleCache(database)

    @classmethod
    def open(cls, config: Config, workspace: Workspace, *, must_answer: bool = True) -> "FeedbackStore":
        """Open the store that the configuration names, its schema brought up to date.

        SQLite lives in the workspace's folder; ``search.database`` names another place. Raises
        :class:`ConfigError` if there is no such place and, where the store ``must_answer`` now,
        :class:`TransientError` if it does not and :class:`DamagedError` if it cannot be read.
        """
        return cls(Database(database_url(config, workspace), must_answer=must_answer))

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    # -- rules -----------------------------------------------------------------------------------

    @checked
    def add_rule(self, rule: Rule, author: Author) -> StoredRule:
        """Keep a new rule of ``author``."""
        values = {name: getattr(rule, name) for name in RULE_FIELDS}
        time = now()
        made = StoredRule(**values, author=author, created_at=time, changed_at=time)
        with self._changing_rules() as connection:
            return _save(connection, None, made, author, "add")

    @checked
    def change_rule(self, id: int, author: Author, **changes: Any) -> StoredRule:
        """Change a rule's values; its author stays. A retired rule has to be restored first.

        Raises :class:`NotFoundError`.
        """
        unknown = sorted(changes.keys() - set(RULE_FIELDS))
        if unknown:
            raise InputError(
                f"{', '.join(unknown)} of a rule cannot be changed.", fix=f"Change {', '.join(RULE_FIELDS)}."
            )
        with self._changing_rules() as connection:
            before = _get(connection, rules, StoredRule, id)
            if before.retired_at is not None:
                raise InputError(f"Rule {id} is retired.", fix="Restore it, then change it.")
            return _save(connection, before, replace(before, **changes), author, "change")

    @checked
    def retire_rule(self, id: int, author: Author, reason: Text = "") -> StoredRule:
        """Take a rule out of effect; a retired one stays as it is. Raises :class:`NotFoundError`."""
        with self._changing_rules() as connection:
            before = _get(connection, rules, StoredRule, id)
            if before.retired_at is not None:
                return before
            after = replace(before, retired_at=now(), retired_by=author)
            return _save(connection, before, after, author, "retire", reason)

    @checked
    def restore_rule(self, id: int, author: Author) -> StoredRule:
        """Undo the retirement of a rule; one that is not retired stays as it is."""
        with self._changing_rules() as connection:
            before = _get(connection, rules, StoredRule, id)
            return _save(
                connection, before, replace(before, retired_at=None, retired_by=None), author, "restore"
            )

    @contextlib.contextmanager
    def _changing_rules(self) -> Iterator[sa.Connection]:
        with self._database.writing() as connection:
            yield connection
        self._rule_cache.invalidate()

    def rule(self, id: int) -> StoredRule:
        """Return one rule, retired or expired or not; raises :class:`NotFoundError`."""
        with self._database.reading() as connection:
            return _get(connection, rules, StoredRule, id)

    @checked
    def rules(
        self,
        *,
        include_past: bool = False,
        product_id: ProductId | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[StoredRule]:
        """Return rules, newest first: active and coming ones, and with ``include_past`` all others too.

        ``product_id`` asks for those made for that product's page or about it.
        """
        query = sa.select(rules).order_by(rules.c.id.desc()).limit(limit).offset(offset)
        if not include_past:
            query = query.where(
                rules.c.retired_at.is_(None),
                sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > now()),
            )
        if product_id is not None:
            target = sa.and_(rules.c.target == "product", rules.c.target_value == product_id)
            scope = sa.and_(rules.c.scope == "product", rules.c.scope_value == product_id)
            query = query.where(sa.or_(target, scope))
        with self._database.reading() as connection:
            return [StoredRule(**row) for row in connection.execute(query).mappings()]

    def active_rules(self, now: datetime) -> tuple[StoredRule, ...]:
        """Return the rules that are active at ``now`` (UTC), oldest first.

        Kept in memory: what this process changed shows at once, what another did within a second. If the
        database does not answer or is damaged, the rules read last stay active, and :attr:`rules_problem`
        and the log say so.
        """
        return self._rule_cache.active(now)

    @property
    def rules_problem(self) -> str:
        """Why the rules that :meth:`active_rules` returned last may not be those that are kept, or empty."""
        return self._rule_cache.problem

    # -- judgements ------------------------------------------------------------------------------

    @checked
    def judge(
        self,
        left_id: ProductId,
        right_id: ProductId,
        label: Label,
        author: Author,
        *,
        context: Context | None = None,
    ) -> Judgement:
        """Keep what ``author`` says of two products: ``similar``, ``not_similar`` or ``duplicate``.

        There is one judgement per unordered pair and author: judging again replaces it, and ``replaced``
        of the result is the label before, so that it can be undone. The same label again changes nothing.
        """
        if left_id == right_id:
            raise InputError(f"{left_id} is judged against itself.", fix="Give two different products.")
        first, second = sorted((left_id, right_id))
        with self._database.writing() as connection:
            query = sa.select(judgements).filter_by(left_id=first, right_id=second, author=author)
            row = connection.execute(query).mappings().one_or_none()
            time = now()
            if row is None:
                made = Judgement(
                    id=0, left_id=first, right_id=second, label=label, author=author, context=context,
                    created_at=time, changed_at=time,
                )  # fmt: skip
                return _save(connection, None, made, author, "add")
            before = Judgement(**row)
            replaced = None if before.withdrawn_at else before.label
            if replaced == label:
                return replace(before, replaced=replaced)
            after = replace(before, label=label, context=context, withdrawn_at=None, replaced=replaced)
            return _save(connection, before, after, author, "change")

    @checked
    def withdraw(self, id: int, author: Author) -> Judgement:
        """Take a judgement back, in the name of ``author``; a withdrawn one stays as it is.

        Raises :class:`NotFoundError`.
        """
        with self._database.writing() as connection:
            before = _get(connection, judgements, Judgement, id)
            if before.withdrawn_at is not None:
                return before
            return _save(connection, before, replace(before, withdrawn_at=now()), author, "withdraw")

    def judgement(self, id: int) -> Judgement:
        """Return one judgement, withdrawn or not; raises :class:`NotFoundError`."""
        with self._database.reading() as connection:
            return _get(connection, judgements, Judgement, id)

    @checked
    def judgements(
        self,
        *,
        product_id: ProductId | None = None,
        author: Author | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Judgement]:
        """Return judgements that were not withdrawn, newest first: all, or a product's or an author's."""
        columns = judgements.c
        query = sa.select(judgements).where(columns.withdrawn_at.is_(None)).limit(limit).offset(offset)
        if product_id is not None:
            query = query.where(sa.or_(columns.left_id == product_id, columns.right_id == product_id))
        if author is not None:
            query = query.where(columns.author == author)
        query = query.order_by(columns.changed_at.desc(), columns.id.desc())
        with self._database.reading() as connection:
            return [Judgement(**row) for row in connection.execute(query).mappings()]

    def all_judgements(self) -> list[Judgement]:
        """Return every judgement that was not withdrawn, by pair, as of one moment."""
        order = (judgements.c.left_id, judgements.c.right_id, judgements.c.id)
        query = sa.select(judgements).where(judgements.c.withdrawn_at.is_(None)).order_by(*order)
        with self._database.reading() as connection:
            return [Judgement(**row) for row in connection.execute(query).mappings()]

    # -- audit trail -----------------------------------------------------------------------------

    def audit(
        self, *, rule_id: int | None = None, limit: int = 100, before_id: int | None = None
    ) -> list[AuditEntry]:
        """Return audit entries, newest first: all, or those of one rule.

        ``before_id`` continues after the last entry of the previous page.
        """
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if rule_id is not None:
            query = query.where(audit.c.rule_id == rule_id)
        if before_id is not None:
            query = query.where(audit.c.id < before_id)
        with self._database.reading() as connection:
            return [AuditEntry(**row) for row in connection.execute(query).mappings()]


def now() -> datetime:
    """Return the time in UTC: the stamp of every change."""
    return datetime.now(UTC)


def database_url(config: Config, workspace: Workspace) -> str:
    """Return the SQLAlchemy URL of the store; raises :class:`ConfigError` if it has no place."""
    if config.search.database:
        return config.search.database
    if not workspace.is_local:
        raise ConfigError(
            f"Rules and judgements need a database, and the workspace {workspace.root} is no local folder.",
            fix="Set search.database or RECSYS_DATABASE_URL, such as postgresql+psycopg://user@host/recsys.",
        )
    return f"sqlite:///{sqlite_file(workspace)}"


def sqlite_file(workspace: Workspace) -> Path:
    """Return where SQLite's file is, or would be, in a local workspace."""
    return Path(workspace.local).resolve() / FILE


def has_database(config: Config, workspace: Workspace) -> bool:
    """Tell whether there is a database to read; without one there are no rules and no judgements."""
    return bool(config.search.database) or (workspace.is_local and sqlite_file(workspace).is_file())


def active_rules(config: Config, workspace: Workspace) -> tuple[Rule, ...]:
    """Return the rules that are active now; no database is made to find none."""
    if not has_database(config, workspace):
        return ()
    with contextlib.closing(FeedbackStore.open(config, workspace, must_answer=False)) as store:
        return store.active_rules(datetime.now(UTC))


def _get(connection: sa.Connection, table: sa.Table, kind: type[S], id: int) -> S:
    row = connection.execute(sa.select(table).where(table.c.id == id)).mappings().one_or_none()
    if row is None:
        what = kind.__name__.removeprefix("Stored").lower()
        raise NotFoundError(f"There is no {what} {id}.", fix=f"List the {what}s; an id never changes.")
    return kind(**row)


def _save(
    connection: sa.Connection, before: S | None, after: S, author: str, action: str, note: str = ""
) -> S:
    """Insert or update a row and add the audit entry, unless nothing changed."""
    if after == before:
        return after
    what, table = ("rule", rules) if isinstance(after, StoredRule) else ("judgement", judgements)
    if before is not None:
        after = replace(after, changed_at=now())
    values = {c.name: getattr(after, c.name) for c in table.columns if c.name != "id"}
    if before is None:
        insert = sa.insert(table).values(values).returning(table.c.id)
        after = replace(after, id=connection.execute(insert).scalar_one())
    else:
        connection.execute(sa.update(table).where(table.c.id == after.id).values(values))
    entry = {"at": after.changed_at, "author": author, "action": f"{what}.{action}", "note": note}
    entry |= {f"{what}_id": after.id, "before": _as_json(before), "after": _as_json(after)}
    connection.execute(sa.insert(audit).values(entry))
    return after


def _as_json(stored: StoredRule | Judgement | None) -> dict[str, Any] | None:
    """Return a row's values as JSON, times as ISO 8601."""
    if stored is None:
        return None
    values = {f.name: getattr(stored, f.name) for f in fields(stored) if f.name not in ("id", "replaced")}
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}
