"""What can be asked, and what is answered: plain values that ranking, the HTTP API and tests share.

Does not know: engines, models, HTTP, the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from recsys.errors import InputError
from recsys.index.filters import Filter

MAX_DEPTH = 1000
"""``offset + limit`` at most: deeper answers are similar in name only."""
MAX_EXAMPLES = 50
"""Products liked, and disliked, at most; and images, :data:`MAX_IMAGES`."""
MAX_IMAGES = 8
MAX_TEXT = 500
"""Characters of words."""


@dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """One question: any mix of products, words and images. Raises :class:`InputError` where it is none."""

    like: tuple[str, ...] = ()
    """Product ids to be near to; they are not answered themselves."""
    unlike: tuple[str, ...] = ()
    """Product ids to be far from; they are not answered themselves."""
    text: str | None = None
    images: tuple[bytes, ...] = ()
    """Image files' bytes."""
    image_weight: float | None = None
    """w in [0, 1] of ``w · image + (1 − w) · text``; ``None`` lets the kind of question decide."""
    filter: Filter = ()
    diversity: float = 0.0
    """0 ranks by similarity alone; towards 1, products like those already listed come later (MMR)."""
    collapse_variants: bool = True
    """Show one product of each item group, the best, with a count."""
    limit: int = 24
    offset: int = 0
    explain: bool = False
    """Answer the shared attributes, the rules that acted and what would have ranked without them."""
    apply_rules: bool = True
    collection: str | None = None
    """A kept collection to ask instead of the live one."""

    def __post_init__(self) -> None:
        if not (self.like or self.text or self.images):
            raise InputError(
                "The search says nothing to look for.",
                fix="Give words, an image or a product to be like; `unlike` alone is no direction.",
            )
        if not (0 <= self.diversity <= 1) or not (self.image_weight is None or 0 <= self.image_weight <= 1):
            raise InputError(
                f"diversity is {self.diversity}, image_weight {self.image_weight}.",
                fix="Both are numbers from 0 to 1.",
            )
        if self.limit < 1 or self.offset < 0 or self.limit + self.offset > MAX_DEPTH:
            raise InputError(
                f"limit is {self.limit} and offset {self.offset}.",
                fix=f"limit is at least 1, offset at least 0, and together they are at most {MAX_DEPTH:,}.",
            )
        if len(self.like) > MAX_EXAMPLES or len(self.unlike) > MAX_EXAMPLES:
            raise InputError(
                f"{len(self.like)} products are liked and {len(self.unlike)} disliked.",
                fix=f"Give at most {MAX_EXAMPLES} of each.",
            )
        if len(self.images) > MAX_IMAGES or len(self.text or "") > MAX_TEXT:
            raise InputError(
                f"The search has {len(self.images)} images and {len(self.text or '')} characters of words.",
                fix=f"Give at most {MAX_IMAGES} images and {MAX_TEXT} characters.",
            )

    @property
    def product_id(self) -> str | None:
        """The one product this asks about, if it is that kind of question: rules can be made for it."""
        return self.like[0] if len(self.like) == 1 and not self.text and not self.images else None


@dataclass(frozen=True, kw_only=True)
class RuleEffect:
    """A rule that acted on one answer."""

    rule_id: int
    action: str
    reason: str
    author: str
    shift: float = 0.0
    """Added to the score for ranking (boost, bury); the score that is shown stays the similarity."""


@dataclass(frozen=True, kw_only=True)
class ResultItem:
    """One product of an answer."""

    id: str
    score: float
    """``w · image_score + (1 − w) · text_score``: similarity, whatever the order came of."""
    image_score: float
    text_score: float
    payload: Mapping[str, Any]
    """As docs/index-contract.md promises it."""
    variants: tuple[str, ...] = ()
    """Ids of the other variants collapsed under it, best first."""
    pinned: bool = False
    effects: tuple[RuleEffect, ...] = ()
    rank_without_rules: int | None = None
    """Where it would have stood, from 0, among what was looked at; ``None``: nowhere there (or not asked)."""
    shared: tuple[tuple[str, str], ...] = ()
    """Columns and values it shares with every product that was liked (if explained)."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What was found, and by what; every part comes from one collection and its one encoder."""

    items: tuple[ResultItem, ...]
    image_weight: float
    """The weight that was used."""
    collection: str
    encoder: str
    snapshot: str
    next_offset: int | None
    """Where to go on; ``None`` at the end."""
    effects: tuple[RuleEffect, ...] = ()
    """Every rule that acted on what was looked at, blocked products included."""
    without_rules: tuple[str, ...] = ()
    """Ids in the order that would have been shown had no rule acted (if explained)."""
    blocked: tuple[str, ...] = ()
    """Ids that rules took out of what would have been shown (if explained)."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    def timed(self, timings_ms: Mapping[str, float]) -> Self:
        """Return the same answer with what it took."""
        return replace(self, timings_ms=timings_ms)
