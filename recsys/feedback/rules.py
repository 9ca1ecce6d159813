"""Rules of merchandisers: pin, block, boost and bury, for one product, a category or everywhere.

scope    which searches it acts on: those about a product, those in a category, all
target   what is moved: a product, or all of a category or brand
action   pin: to the front; block: never; boost, bury: as if more, or less, similar by ``strength``
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from recsys.errors import InputError
from recsys.feedback.validation import Moment, Text, input_error
from recsys.index.filters import SEPARATOR, AnyOf, Ids, ancestors, category, levels
from recsys.workspace.product import MAX_ID_LENGTH

Action = Literal["pin", "block", "boost", "bury"]
Scope = Literal["product", "category", "everywhere"]
Target = Literal["product", "category", "brand"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. Raises :class:`InputError` that names a value that is wrong or does not fit another."""

    action: Action
    target: Target
    target_value: Text
    """Product id, category path (``Home > Lamps``, everything below included) or brand."""
    scope: Scope = "everywhere"
    scope_value: Text = ""
    """Product id or category path; empty for ``everywhere``."""
    strength: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Of boost and bury: added to, or taken from, the similarity when ranking. Scores of neighbours differ
    by about 0.1."""
    position: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Of pin: where among the pins, from 0; equal ones in order of age."""
    starts_at: Moment | None = None
    """UTC; ``None`` is now."""
    expires_at: Moment | None = None
    """UTC; ``None`` is never."""
    reason: Text = ""
    author: str = ""
    id: int = 0
    """0 until it is stored."""

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(values)
        except ValidationError as error:
            raise input_error(error) from None

    def __post_init__(self) -> None:
        if not self.target_value.strip():
            raise InputError(f"The rule names no {self.target}.", fix="Give target_value.")
        if (self.scope == "everywhere") != (not self.scope_value.strip()):
            raise InputError(
                f"The rule's scope is {self.scope} with the value {self.scope_value!r}.",
                fix="A product or category scope names which; everywhere names nothing.",
            )
        for kind, value in ((self.target, self.target_value), (self.scope, self.scope_value)):
            if kind == "product" and len(value) > MAX_ID_LENGTH:
                raise InputError(
                    f"The product id {value:.40}… has {len(value)} characters.",
                    fix=f"Give one of at most {MAX_ID_LENGTH}.",
                )
        if self.action == "pin" and self.target != "product":
            raise InputError(
                f"The pin names a whole {self.target}.", fix="Pin products; boost a category or brand."
            )
        if self.scope == self.target == "product" and self.scope_value == self.target_value:
            raise InputError(
                "The rule moves a product among its own neighbours, where it never is.",
                fix="Give another target, or another scope.",
            )
        if self.starts_at and self.expires_at and self.starts_at >= self.expires_at:
            raise InputError("The rule expires before it starts.", fix="Correct starts_at or expires_at.")

    def active(self, now: datetime) -> bool:
        """Tell whether the rule has started and has not expired at ``now`` (UTC)."""
        return (self.starts_at is None or self.starts_at <= now) and (
            self.expires_at is None or now < self.expires_at
        )

    def applies(self, subject: "Subject") -> bool:
        """Tell whether the rule acts on searches about ``subject``."""
        if self.scope == "product":
            return self.scope_value == subject.product_id
        if self.scope == "category":
            return _path(self.scope_value) in subject.categories
        return True

    def moves(self, product_id: str, payload: Mapping[str, Any]) -> bool:
        """Tell whether the rule moves this product."""
        if self.target == "product":
            return product_id == self.target_value
        if self.target == "category":
            return _path(self.target_value) in payload.get("product_type", ())
        return bool(payload.get("brand") == self.target_value)

    @property
    def condition(self) -> AnyOf | Ids:
        """The filter that finds what the rule moves."""
        if self.target == "product":
            return Ids((self.target_value,))
        if self.target == "category":
            return category(self.target_value)
        return AnyOf("brand", (self.target_value,))

    @property
    def shift(self) -> float:
        """What is added to the score for ranking: above 0 for boost, below for bury, else 0."""
        return {"boost": self.strength, "bury": -self.strength}.get(self.action, 0.0)


RULE_FIELDS = tuple(f.name for f in fields(Rule) if f.name not in ("id", "author"))
"""What can be changed about a rule."""


@dataclass(frozen=True, kw_only=True)
class StoredRule(Rule):
    """A rule as it is kept: ``id`` identifies it, ``author`` made it. Times are UTC."""

    created_at: datetime
    changed_at: datetime
    retired_at: datetime | None = None
    """``None``: it was not retired, though it may have expired."""
    retired_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a search is about, as far as rules care."""

    product_id: str | None = None
    categories: frozenset[str] = frozenset()
    """Category paths, ancestors included: of the product, or of the filter that narrows a search."""

    @classmethod
    def of(cls, product_id: str | None, paths: Iterable[str]) -> "Subject":
        """Describe a search by its product and by category paths; their ancestors are added."""
        return cls(product_id=product_id, categories=frozenset(a for path in paths for a in ancestors(path)))


def _path(value: str) -> str:
    return SEPARATOR.join(levels(value))
