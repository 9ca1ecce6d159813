"""From a ranking to the result that is shown, with its reasons: shared attributes and what rules did."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recsys.search.live_index import IndexView
from recsys.search.query import MAX_DEPTH, ResultItem, SearchQuery, SearchResult
from recsys.search.query_vector import ResolvedQuery
from recsys.search.rank import RankedProduct, Ranking

_COLUMNS = ("brand", "color", "material", "pattern", "gender", "age_group", "size")
_CATEGORY = "product_type"


def compose(
    query: SearchQuery,
    view: IndexView,
    resolved: ResolvedQuery,
    ranking: Ranking,
    without_rules: Ranking | None,
) -> SearchResult:
    """Return the page of ``ranking`` that ``query`` asks for; ``without_rules`` explains it."""
    end = query.offset + query.limit
    effects = {e.rule_id: e for ranked in ranking.order[:end] for e in ranked.effects}
    effects |= {e.rule_id: e for _, e in ranking.blocked}
    blocked = {product.id for product, _ in ranking.blocked}
    places = _places(without_rules)
    unruled = [r.product.id for r in without_rules.order[query.offset : end]] if without_rules else []
    return SearchResult(
        items=tuple(_item(r, query, resolved, places) for r in ranking.order[query.offset : end]),
        image_weight=resolved.image_weight,
        collection=view.collection.name,
        encoder=view.encoder_ref,
        snapshot=view.snapshot_ref,
        next_offset=end if len(ranking.order) > end and end < MAX_DEPTH else None,
        effects=tuple(effects.values()) if query.explain else (),
        without_rules=tuple(unruled),
        blocked=tuple(id for id in unruled if id in blocked),
    )


def _places(ranking: Ranking | None) -> dict[str, int]:
    """Return each product's place from 0; a collapsed variant's is that of the product it is under."""
    order = ranking.order if ranking else []
    return {p.id: place for place, r in enumerate(order) for p in (r.product, *r.variants)}


def _item(
    ranked: RankedProduct, query: SearchQuery, resolved: ResolvedQuery, places: Mapping[str, int]
) -> ResultItem:
    product = ranked.product
    shared: tuple[tuple[str, str], ...] = ()
    if query.explain:
        common = shared_attributes(product.payload, [point.payload for point in resolved.liked])
        shared = tuple(dict.fromkeys((*common, *named_attributes(product.payload, query.text or ""))))
    return ResultItem(
        id=product.id,
        score=product.score,
        image_score=product.image_score,
        text_score=product.text_score,
        payload=product.payload,
        variants=tuple(v.id for v in ranked.variants),
        pinned=ranked.pin is not None,
        effects=ranked.effects if query.explain else (),
        rank_without_rules=places.get(product.id),
        shared=shared,
    )


def shared_attributes(
    payload: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str], ...]:
    """Return the columns and values that a product shares with every one of ``others``.

    Of the category, the deepest level that all are in.
    """
    if not others:
        return ()
    common = [p for p in payload.get(_CATEGORY, ()) if all(p in o.get(_CATEGORY, ()) for o in others)]
    found = [(_CATEGORY, path) for path in common[-1:]]
    found += [pair for pair in _attributes(payload) if all(pair in _attributes(o) for o in others)]
    return tuple(found)


def named_attributes(payload: Mapping[str, Any], text: str) -> tuple[tuple[str, str], ...]:
    """Return the columns whose whole value, or last category level, ``text`` mentions."""
    mentioned = f" {_words(text)} "
    values = [*_attributes(payload), *((_CATEGORY, path) for path in payload.get(_CATEGORY, ())[-1:])]
    return tuple((name, value) for name, value in values if _mentions(mentioned, value))


def _mentions(text: str, value: str) -> bool:
    words = _words(value.rpartition(" > ")[2])
    return bool(words) and (f" {words} " in text or f" {words.removesuffix('s')} " in text)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _attributes(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _COLUMNS:
        if payload.get(name):
            yield name, str(payload[name])
    for name, value in (payload.get("attributes") or {}).items():
        yield f"attributes.{name}", str(value)
