"""From candidates to an order: rules, collapsed variants, diversity. Arrays and plain values only.

C = candidates, D = dimensions of one half; a stored vector is ``[2 * D]``, unit norm
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recsys.feedback.rules import Rule
from recsys.search.query import RuleEffect
from recsys.workspace.embeddings import Float32, halves


class ScoredProduct(NamedTuple):
    """A candidate."""

    id: str
    score: float
    image_score: float
    text_score: float
    vector: Float32
    """``[2 * D]``, unit norm, as stored."""
    payload: Mapping[str, Any]

    @property
    def group(self) -> str:
        """What its variants have in common."""
        group = self.payload.get("item_group_id")
        return f"group {group}" if group else f"product {self.id}"


class RankedProduct(NamedTuple):
    """A candidate in its place."""

    product: ScoredProduct
    shifted_score: float
    """Score plus what rules add."""
    effects: tuple[RuleEffect, ...]
    pin: int | None
    """Its place among the pins."""
    variants: list[ScoredProduct]
    """Collapsed under it, best first."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All candidates in order, and those that rules took out."""

    order: list[RankedProduct]
    blocked: list[tuple[ScoredProduct, RuleEffect]]


def rank(
    candidates: Sequence[ScoredProduct],
    rules: Sequence[Rule] = (),
    *,
    collapse_variants: bool,
    diversity: float = 0.0,
    diversity_pool: int = 200,
    count: int = 200,
    image_weight: float = 0.5,
) -> Ranking:
    """Return the order of ``candidates``: pins, then by shifted score, variants collapsed, diversified.

    ``rules`` are those that apply to the query. Diversity chooses the first ``count`` products from the
    first ``diversity_pool`` after variants collapsed; the others keep their order. The order of
    ``candidates`` does not matter.
    """
    ranked: list[RankedProduct] = []
    blocked: list[tuple[ScoredProduct, RuleEffect]] = []
    pins = sorted((r for r in rules if r.action == "pin"), key=lambda rule: (rule.position, rule.id))
    for product in candidates:
        acting = [rule for rule in rules if rule.moves(product.id, product.payload)]
        block = next((rule for rule in acting if rule.action == "block"), None)
        if block is not None:
            blocked.append((product, _effect(block)))
            continue
        ranked.append(
            RankedProduct(
                product=product,
                shifted_score=product.score + sum(rule.shift for rule in acting),
                effects=tuple(_effect(rule) for rule in acting),
                pin=next((i for i, rule in enumerate(pins) if rule in acting), None),
                variants=[],
            )
        )
    ranked.sort(key=lambda r: (r.pin is None, r.pin or 0, -r.shifted_score, r.product.id))
    order = collapse(ranked) if collapse_variants else ranked
    if diversity > 0:
        pinned = [r for r in order if r.pin is not None]
        others = [r for r in order if r.pin is None]
        pool, rest = others[:diversity_pool], others[diversity_pool:]
        order = [*pinned, *_diversify(pool, diversity, count, image_weight), *rest]
    return Ranking(order=order, blocked=blocked)


def collapse(ranked: Sequence[RankedProduct]) -> list[RankedProduct]:
    """Keep the first of each item group, the others under it; pinned products all stay."""
    first: dict[str, RankedProduct] = {}
    order: list[RankedProduct] = []
    for one in ranked:
        leader = first.get(one.product.group)
        if leader is None or one.pin is not None:
            first.setdefault(one.product.group, one)
            order.append(one)
        else:
            leader.variants.append(one.product)
    return order


def mmr(relevance: Float32, vectors: Float32, *, diversity: float, count: int) -> list[int]:
    """Return ``count`` indices by maximal marginal relevance (Carbonell and Goldstein 1998, eq. 1).

    ``relevance`` is ``[C]``, ``vectors`` ``[C, E]`` of unit norm. Each step takes the candidate with the
    greatest ``(1 - diversity) * relevance - diversity * its greatest similarity to those taken``; the first
    is the most relevant. Ties go to the earlier candidate.
    """
    count = min(count, len(relevance))
    if count == 0:
        return []
    gain = (1 - diversity) * relevance
    similarity = vectors @ vectors.T  # [C, C]
    nearest = np.full(len(relevance), -np.inf, np.float32)
    taken = [int(np.argmax(relevance))]
    free = np.ones(len(relevance), np.bool_)
    while len(taken) < count:
        free[taken[-1]] = False
        nearest = np.maximum(nearest, similarity[taken[-1]])
        taken.append(int(np.argmax(np.where(free, gain - diversity * nearest, -np.inf))))
    return taken


def _diversify(
    pool: list[RankedProduct], diversity: float, count: int, image_weight: float
) -> list[RankedProduct]:
    """Return ``pool`` with the ``count`` that MMR picks in front."""
    if not pool:
        return pool
    weights = np.sqrt(np.array([image_weight, 1 - image_weight], np.float32))
    # dot products of two weighted vectors: w·cos(image) + (1 − w)·cos(text)
    weighted = halves(np.stack([r.product.vector for r in pool])) * weights[:, None]
    relevance = np.array([r.shifted_score for r in pool], np.float32)
    picks = mmr(relevance, weighted.reshape(len(pool), -1), diversity=diversity, count=count)
    left = sorted(set(range(len(pool))) - set(picks))
    return [pool[i] for i in [*picks, *left]]


def _effect(rule: Rule) -> RuleEffect:
    return RuleEffect(
        rule_id=rule.id, action=rule.action, reason=rule.reason, author=rule.author, shift=rule.shift
    )
