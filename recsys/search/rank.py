"""From candidates to an order: rules, collapsing of variants, diversity. Arrays and plain values only.

    C = candidates, D = dimensions of one half; vectors are ``[C, 2 * D]`` unit, weighted by image and text

Does not know: where candidates come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.feedback.rules import Rule
from recsys.search.query import RuleEffect
from recsys.workspace.embeddings import halves

Float32 = NDArray[np.float32]


class ScoredProduct(NamedTuple):
    """A product that may be answered."""

    id: str
    score: float
    image_score: float
    text_score: float
    vector: Float32
    """``[2 * D]``, unit norm, as stored."""
    payload: Mapping[str, Any]

    @property
    def group(self) -> str:
        """What its variants share."""
        group = self.payload.get("item_group_id")
        return f"group {group}" if group else f"product {self.id}"


class RankedProduct(NamedTuple):
    """A candidate in its place."""

    candidate: ScoredProduct
    adjusted: float
    """Score, shifted by rules."""
    effects: tuple[RuleEffect, ...]
    pin: int | None
    """Its place among the pins."""
    variants: list[ScoredProduct]
    """Collapsed under it, best first."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The whole order of what was looked at, and what rules took out of it."""

    order: list[RankedProduct]
    blocked: list[tuple[ScoredProduct, RuleEffect]]


def rank(
    candidates: Sequence[ScoredProduct],
    rules: Sequence[Rule] = (),
    *,
    collapse_variants: bool,
    diversity: float = 0.0,
    among: int = 200,
    count: int | None = None,
    image_weight: float = 0.5,
) -> Ranking:
    """Return the order of ``candidates``: pins, then by shifted score, variants collapsed, diversified.

    ``rules`` are those that apply to the question. Diversity chooses among the first ``among`` products
    after collapsing, as far as the first ``count`` (by default all); those after keep their order. Equal
    inputs give equal orders, however they come.
    """
    moved: list[RankedProduct] = []
    blocked: list[tuple[ScoredProduct, RuleEffect]] = []
    pins = [rule for rule in rules if rule.action == "pin"]
    pins.sort(key=lambda rule: (rule.position, rule.id))
    for candidate in candidates:
        acting = [rule for rule in rules if rule.moves(candidate.id, candidate.payload)]
        block = next((rule for rule in acting if rule.action == "block"), None)
        if block is not None:
            blocked.append((candidate, _effect(block)))
            continue
        pin = next((i for i, rule in enumerate(pins) if rule in acting), None)
        moved.append(
            RankedProduct(
                candidate=candidate,
                adjusted=candidate.score + sum(rule.shift for rule in acting),
                effects=tuple(_effect(rule) for rule in acting),
                pin=pin,
                variants=[],
            )
        )
    moved.sort(key=lambda r: (r.pin is None, r.pin or 0, -r.adjusted, r.candidate.id))
    order = collapse(moved) if collapse_variants else moved
    if diversity > 0:
        order = _diversify(order, diversity, (among, count or among), image_weight)
    return Ranking(order=order, blocked=blocked)


def collapse(ranked: Sequence[RankedProduct]) -> list[RankedProduct]:
    """Keep the first of each item group, the others under it; each pin stays, whatever its group."""
    first: dict[str, RankedProduct] = {}
    order: list[RankedProduct] = []
    for one in ranked:
        leader = first.get(one.candidate.group)
        if leader is None or one.pin is not None:
            first.setdefault(one.candidate.group, one)
            order.append(one)
        else:
            leader.variants.append(one.candidate)
    return order


def mmr(relevance: Float32, vectors: Float32, *, diversity: float, count: int) -> list[int]:
    """Return ``count`` indices by maximal marginal relevance (Carbonell and Goldstein, 1998, equation 1).

    ``relevance`` is ``[C]``, ``vectors`` ``[C, E]`` of unit norm. Each step takes the candidate with the
    greatest ``(1 - diversity) * relevance - diversity * its greatest similarity to those taken``; the first
    is the most relevant. Ties go to the earlier candidate.
    """
    count = min(count, len(relevance))
    if count == 0:
        return []
    gain = (1 - diversity) * relevance
    alike = vectors @ vectors.T  # [C, C]
    nearest = np.full(len(relevance), -np.inf, np.float32)
    taken = [int(np.argmax(relevance))]
    free = np.ones(len(relevance), np.bool_)
    while len(taken) < count:
        free[taken[-1]] = False
        nearest = np.maximum(nearest, alike[taken[-1]])
        taken.append(int(np.argmax(np.where(free, gain - diversity * nearest, -np.inf))))
    return taken


def _diversify(
    order: list[RankedProduct], diversity: float, sizes: tuple[int, int], image_weight: float
) -> list[RankedProduct]:
    among, count = sizes
    pins = [r for r in order if r.pin is not None]
    others = [r for r in order if r.pin is None]
    pool, rest = others[:among], others[among:]
    if not pool:
        return order
    stored = np.stack([r.candidate.vector for r in pool])
    weights = np.sqrt(np.array([image_weight, 1 - image_weight], np.float32))
    weighted = halves(stored) * weights[:, None]  # dot products of two: w·cos + (1 − w)·cos
    vectors = weighted.reshape(len(pool), -1)
    relevance = np.array([r.adjusted for r in pool], np.float32)
    picks = mmr(relevance, vectors, diversity=diversity, count=count)
    left = sorted(set(range(len(pool))) - set(picks))
    return [*pins, *(pool[i] for i in [*picks, *left]), *rest]


def _effect(rule: Rule) -> RuleEffect:
    return RuleEffect(
        rule_id=rule.id, action=rule.action, reason=rule.reason, author=rule.author, shift=rule.shift
    )
