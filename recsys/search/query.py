"""What a search asks for, and what it returns: plain values that ranking, the HTTP API and the CLI share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recsys.errors import InputError
from recsys.index.filters import Filter

MAX_DEPTH = 1000
"""``offset + limit`` at most: products further down are similar in name only."""
MAX_EXAMPLES = 50
"""Most products liked, and most products disliked."""
MAX_IMAGES = 8
MAX_TEXT = 500
"""Characters of text."""


@dataclass(frozen=True, kw_only=True)
class SearchQuery:
    """Any mix of products, text and images. Raises :class:`InputError` for values out of range."""

    like: tuple[str, ...] = ()
    """Ids of products to be near to; the result leaves them out."""
    unlike: tuple[str, ...] = ()
    """Ids of products to be far from; the result leaves them out."""
    text: str | None = None
    images: tuple[bytes, ...] = ()
    """Image files' bytes."""
    image_weight: float | None = None
    """w in [0, 1] of ``w · image + (1 − w) · text``; ``None`` chooses it by what the query gives."""
    filter: Filter = ()
    diversity: float = 0.0
    """0 ranks by similarity alone; towards 1, products like those already listed come later (MMR)."""
    collapse_variants: bool = True
    """Return one product of each item group, the best, with its variants' ids."""
    limit: int = 24
    offset: int = 0
    explain: bool = False
    """Return the shared attributes, the rules that acted and the order without them."""
    apply_rules: bool = True
    collection: str | None = None
    """A kept collection to search instead of the live one."""

    def __post_init__(self) -> None:
        if not (self.like or self.text or self.images):
            raise InputError(
                "The search says nothing to look for.",
                fix="Give text, an image or a product to be like; `unlike` alone is no direction.",
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
                f"The search has {len(self.images)} images and {len(self.text or '')} characters of text.",
                fix=f"Give at most {MAX_IMAGES} images and {MAX_TEXT} characters.",
            )

    @property
    def product_id(self) -> str | None:
        """The product whose neighbours are wanted, where that is the whole query; rules can name it."""
        return self.like[0] if len(self.like) == 1 and not self.text and not self.images else None


@dataclass(frozen=True, kw_only=True)
class RuleEffect:
    """A rule that acted on one product."""

    rule_id: int
    action: str
    reason: str
    author: str
    shift: float = 0.0
    """Added to the score for ranking (boost, bury); ``ResultItem.score`` stays the similarity."""


@dataclass(frozen=True, kw_only=True)
class ResultItem:
    """One product of a result."""

    id: str
    score: float
    """``w · image_score + (1 − w) · text_score``: the similarity, whatever rules did to the order."""
    image_score: float
    """Cosine of the image vectors, in [-1, 1]; of the text vector where a product has no image."""
    text_score: float
    """Cosine of the text vectors, in [-1, 1]; of the image vector where a product has no text."""
    payload: Mapping[str, Any]
    """As docs/index-contract.md describes it."""
    variants: tuple[str, ...] = ()
    """Ids of the variants collapsed under it, best first."""
    pinned: bool = False
    effects: tuple[RuleEffect, ...] = ()
    """Rules that acted on it (if explained)."""
    rank_without_rules: int | None = None
    """Its place from 0 had no rule acted (if explained); ``None`` where it is not among the candidates."""
    shared: tuple[tuple[str, str], ...] = ()
    """Columns and values it shares with every liked product (if explained)."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found; all of it comes from one collection and its one encoder."""

    items: tuple[ResultItem, ...]
    image_weight: float
    """The weight that was used."""
    collection: str
    encoder: str
    snapshot: str
    next_offset: int | None
    """Offset of the next page; ``None`` at the end."""
    effects: tuple[RuleEffect, ...] = ()
    """Every rule that acted on a candidate, those that blocked one included (if explained)."""
    without_rules: tuple[str, ...] = ()
    """Ids in the order that would be shown had no rule acted (if explained)."""
    blocked: tuple[str, ...] = ()
    """Ids that rules took out of ``without_rules`` (if explained)."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """``prepare``: reading examples and encoding; ``find``: candidates and ranking."""
