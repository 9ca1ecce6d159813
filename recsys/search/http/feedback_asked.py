"""Rules and judgements as they are sent.

Does not know: where they are kept.
"""

from typing import Annotated, Any, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from recsys.search.feedback.records import Label
from recsys.search.http.asked import WHOLE, Asked, SearchBody
from recsys.search.rules import Action, Rule, Scope, Target

MAX_ID = 250
"""Characters of a product id that something is said of; the store keeps 1,000 bytes."""
MAX_VALUE = 500
"""Characters of a category path, a brand, a reason."""
_TEXT = r"^[^\x00]*$"
_SAYS = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""Some text that is not blank; NUL is not kept by every database."""

KnownId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=_SAYS)]
Value = Annotated[str, StringConstraints(min_length=1, max_length=MAX_VALUE, pattern=_SAYS)]
Text = Annotated[str, StringConstraints(max_length=MAX_VALUE, pattern=_TEXT)]
Strength = Annotated[float, Field(gt=0, le=1)]
Position = Annotated[int, Field(ge=0, le=1_000_000), WHOLE]
RowId = Annotated[int, Field(ge=1, le=2**31 - 1)]

_UNSENT: Any = Field(default_factory=lambda: None)


def _what_fits(schema: dict[str, Any]) -> None:
    """Say in JSON Schema what :class:`recsys.search.rules.Rule` refuses."""
    known = {"type": "string", "pattern": _SAYS}
    product = {"maxLength": MAX_ID}
    schema["allOf"] = [
        {
            "oneOf": [
                {"properties": {"scope": {"const": "everywhere"}, "scope_value": {"const": ""}}},
                {
                    "properties": {"scope": {"const": "category"}, "scope_value": known},
                    "required": ["scope", "scope_value"],
                },
                {
                    "properties": {"scope": {"const": "product"}, "scope_value": {**known, **product}},
                    "required": ["scope", "scope_value"],
                },
            ]
        },
        {
            "oneOf": [
                {"properties": {"target": {"const": "product"}, "target_value": product}},
                {
                    "properties": {
                        "target": {"enum": ["category", "brand"]},
                        "action": {"enum": ["block", "boost", "bury"]},
                    }
                },
            ]
        },
    ]


class RuleBody(Asked):
    """A rule to be made; its author is whoever sends it."""

    model_config = ConfigDict(json_schema_extra=_what_fits)

    action: Action
    """``pin`` to the front, ``block``, ``boost`` or ``bury``: rank as if more, or less, similar."""
    target: Target
    """What is moved."""
    target_value: Value
    """Product id, category path (everything below included) or brand."""
    scope: Scope = "everywhere"
    """Which questions it acts on."""
    scope_value: Text = ""
    """Product id or category path; empty for ``everywhere``."""
    strength: Strength = 0.1
    """Of boost and bury: added to, or taken from, the similarity when ranking."""
    position: Position = 0
    """Of pin: where among the pins, from 0."""
    starts_at: AwareDatetime | None = None
    """With a time zone; left out, now."""
    expires_at: AwareDatetime | None = None
    """With a time zone; left out, never."""
    reason: Text = ""

    @model_validator(mode="after")
    def _ids_are_ids(self) -> Self:
        for kind, value in ((self.target, self.target_value), (self.scope, self.scope_value)):
            if kind == "product" and len(value) > MAX_ID:
                raise ValueError(f"a product id has at most {MAX_ID} characters")
        return self

    def rule(self, author: str) -> Rule:
        """Return the rule; raises :class:`~recsys.errors.InputError`."""
        return Rule(**dict(self), author=author)


class RuleChanges(Asked):
    """What is to change of a rule; what is left out stays."""

    action: Action = _UNSENT
    target: Target = _UNSENT
    target_value: Value = _UNSENT
    scope: Scope = _UNSENT
    scope_value: Text = _UNSENT
    strength: Strength = _UNSENT
    position: Position = _UNSENT
    starts_at: AwareDatetime | None = _UNSENT
    """``null``: at once."""
    expires_at: AwareDatetime | None = _UNSENT
    """``null``: never."""
    reason: Text = _UNSENT

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class PreviewBody(Asked):
    """A rule that is not made yet, and a question to try it on."""

    rule: RuleBody
    query: SearchBody


class JudgementBody(Asked):
    """What somebody says of two products."""

    left_id: KnownId
    right_id: KnownId
    label: Label
    context: dict[str, Any] | None = None
    """What was on the screen: the question, the rank; at most 20,000 bytes."""


class Page(Asked):
    """A part of a list."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class RulesPage(Page):
    """Which rules to list."""

    product_id: KnownId | None = Field(None, description="For this product's page, or about it.")
    include_past: bool = Field(False, description="Those retired or expired as well.")


class JudgementsPage(Page):
    """Which judgements to list."""

    product_id: KnownId | None = Field(None, description="Of this product.")
    mine: bool = Field(False, description="Only those of whoever asks.")


class AuditPage(Asked):
    """Which part of the trail."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    before_id: RowId | None = Field(None, description="Go on after the last entry of the answer before.")
