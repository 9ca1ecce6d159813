"""Rules of merchandisers: pin, block, boost and bury, for one product, a category or everywhere.

    scope    what the question is about: a product's page, a category, anything
    target   what is moved: a product, or all of a category or brand
    action   pin: to the front; block: never; boost, bury: as if more, or less, similar by ``strength``

Does not know: where rules are kept; how answers are ranked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from recsys.errors import InputError
from recsys.index.filters import SEPARATOR, AnyOf, Ids, ancestors, levels

Action = Literal["pin", "block", "boost", "bury"]
Scope = Literal["product", "category", "everywhere"]
Target = Literal["product", "category", "brand"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule. Raises :class:`InputError` that says what does not fit together."""

    action: Action
    target: Target
    target_value: str
    """Product id, category path (``Home > Lamps``, everything below included) or brand."""
    scope: Scope = "everywhere"
    scope_value: str = ""
    """Product id or category path; empty for ``everywhere``."""
    strength: float = 0.1
    """Of boost and bury: added to, taken from, the similarity when ranking; above 0, at most 1."""
    position: int = 0
    """Of pin: where among the pins, from 0; equal ones go by age."""
    starts_at: datetime | None = None
    """UTC; ``None`` is now."""
    expires_at: datetime | None = None
    """UTC; ``None`` is never."""
    reason: str = ""
    author: str = ""
    id: int = 0
    """0 until it is stored."""

    def __post_init__(self) -> None:
        for name, kind in (("action", Action), ("scope", Scope), ("target", Target)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise InputError(
                    f"The rule's {name} is {value!r}.", fix=f"Use one of {', '.join(get_args(kind))}."
                )
        if not self.target_value.strip():
            raise InputError(f"The rule names no {self.target}.", fix="Give target_value.")
        if (self.scope == "everywhere") != (not self.scope_value.strip()):
            raise InputError(
                f"The rule's scope is {self.scope} with the value {self.scope_value!r}.",
                fix="A product or category scope names which; everywhere names nothing.",
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
        if not 0 < self.strength <= 1:
            raise InputError(
                f"The rule's strength is {self.strength}.",
                fix="Use a number above 0, at most 1; scores of neighbours differ by about 0.1.",
            )
        if self.starts_at and self.expires_at and self.starts_at >= self.expires_at:
            raise InputError("The rule expires before it starts.", fix="Correct starts_at or expires_at.")

    def active(self, now: datetime) -> bool:
        """Tell whether the rule is in force at ``now`` (UTC)."""
        return (self.starts_at is None or self.starts_at <= now) and (
            self.expires_at is None or now < self.expires_at
        )

    def applies(self, subject: "Subject") -> bool:
        """Tell whether the rule is for questions about ``subject``."""
        if self.scope == "product":
            return self.scope_value == subject.product_id
        if self.scope == "category":
            return _path(self.scope_value) in subject.categories
        return True

    def moves(self, product_id: str, payload: Mapping[str, Any]) -> bool:
        """Tell whether the rule is about this product."""
        if self.target == "product":
            return product_id == self.target_value
        if self.target == "category":
            return _path(self.target_value) in payload.get("product_type", ())
        return bool(payload.get("brand") == self.target_value)

    @property
    def condition(self) -> AnyOf | Ids:
        """The filter that finds what the rule is about."""
        if self.target == "product":
            return Ids((self.target_value,))
        if self.target == "category":
            return AnyOf("product_type", (_path(self.target_value),))
        return AnyOf("brand", (self.target_value,))

    @property
    def shift(self) -> float:
        """What is added to the score for ranking."""
        return {"boost": self.strength, "bury": -self.strength}.get(self.action, 0.0)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a question is about, as far as rules care."""

    product_id: str | None = None
    categories: frozenset[str] = frozenset()
    """Category paths, ancestors included: of the product, or of the filter that narrows a search."""

    @classmethod
    def of(cls, product_id: str | None, paths: Iterable[str]) -> "Subject":
        """Describe a question by its product and by category paths, whose ancestors are added."""
        return cls(product_id=product_id, categories=frozenset(a for path in paths for a in ancestors(path)))


def _path(value: str) -> str:
    return SEPARATOR.join(levels(value))
