"""What two products have in common, in the shop's own columns.

From an order to an answer: the part that is shown, with its reasons.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys.search.candidates import Aim
from recsys.search.live_index import IndexView
from recsys.search.query import MAX_DEPTH, ResultItem, RuleEffect, SearchQuery, SearchResult
from recsys.search.rank import RankedProduct, Ranking

_COLUMNS = ("brand", "color", "material", "pattern", "gender", "age_group", "size")
_CATEGORY = "product_type"


def shared(payload: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Return the columns and values that a product shares with every one of ``others``.

    Of the category, the deepest level that all are in.
    """
    if not others:
        return ()
    found: list[tuple[str, str]] = []
    common = [p for p in payload.get(_CATEGORY, ()) if all(p in o.get(_CATEGORY, ()) for o in others)]
    if common:
        found.append((_CATEGORY, common[-1]))
    for name, value in _plain(payload):
        if all((name, value) in set(_plain(other)) for other in others):
            found.append((name, value))
    return tuple(found)


def named(payload: Mapping[str, Any], words: str) -> tuple[tuple[str, str], ...]:
    """Return the columns whose whole value, or last category level, the words of a search name."""
    said = f" {_folded(words)} "
    values = [*_plain(payload), *((_CATEGORY, path) for path in payload.get(_CATEGORY, ())[-1:])]
    return tuple((name, value) for name, value in values if _says(said, value.rpartition(" > ")[2]))


def _says(said: str, value: str) -> bool:
    words = _folded(value)
    return bool(words) and (f" {words} " in said or f" {words.removesuffix('s')} " in said)


def _folded(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _plain(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _COLUMNS:
        if payload.get(name):
            yield name, str(payload[name])
    for name, value in (payload.get("attributes") or {}).items():
        yield f"attributes.{name}", str(value)


def compose(
    view: IndexView, query: SearchQuery, aim: Aim, ranking: Ranking, unruled: Ranking | None
) -> SearchResult:
    """Return the part of ``ranking`` that was asked for; ``unruled``, the one without rules, explains it."""
    end = query.offset + query.limit
    shown = ranking.order[query.offset : end]
    before = _places(unruled)
    effects = {e.rule_id: e for r in ranking.order[:end] for e in r.effects}
    effects |= {e.rule_id: e for _, e in ranking.blocked}
    would = [r.candidate.id for r in unruled.order[query.offset : end]] if unruled else []
    blocked = {c.id for c, _ in ranking.blocked}
    return SearchResult(
        items=tuple(_item(r, query, aim, before) for r in shown),
        image_weight=aim.image_weight,
        collection=view.collection.name,
        encoder=view.encoder_ref,
        snapshot=view.snapshot_ref,
        next_offset=end if len(ranking.order) > end and end < MAX_DEPTH else None,
        effects=tuple(effects.values()) if query.explain else (),
        without_rules=tuple(would),
        blocked=tuple(id for id in would if id in blocked),
    )


def _item(ranked: RankedProduct, query: SearchQuery, aim: Aim, before: dict[str, int]) -> ResultItem:
    candidate = ranked.candidate
    effects: tuple[RuleEffect, ...] = ranked.effects
    common: tuple[tuple[str, str], ...] = ()
    if query.explain:
        common = shared(candidate.payload, [r.payload for r in aim.liked])
        common += tuple(pair for pair in named(candidate.payload, query.text or "") if pair not in common)
    return ResultItem(
        id=candidate.id,
        score=candidate.score,
        image_score=candidate.image_score,
        text_score=candidate.text_score,
        payload=candidate.payload,
        variants=tuple(v.id for v in ranked.variants),
        pinned=ranked.pin is not None,
        effects=effects if query.explain else (),
        rank_without_rules=before.get(candidate.id),
        shared=common,
    )


def _places(unruled: Ranking | None) -> dict[str, int]:
    """Return where each product stands without rules; a collapsed one where the first of its group does."""
    if unruled is None:
        return {}
    places = {}
    for place, ranked in enumerate(unruled.order):
        for candidate in (ranked.candidate, *ranked.variants):
            places[candidate.id] = place
    return places
