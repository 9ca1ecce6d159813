"""How answers are written: straight to JSON, once, without passing through the models that document them.

A test holds real answers against the models of :mod:`recsys.serving.responses`.

Does not know: routes, engines.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from recsys.index.base import Payload
from recsys.search.autocomplete import Suggestion
from recsys.search.live_index import IndexView
from recsys.search.query import ResultItem, RuleEffect, SearchResult
from recsys.serving.dependencies import Service

_INTERNAL = frozenset({"embedding_key", "row_hash", "modalities", "image"})
"""Columns of a payload that say nothing to a client; the image is given by its address instead."""


def reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``value`` as JSON."""
    return Response(to_json(value), status, headers, "application/json")


def answer(found: SearchResult, *, explain: bool) -> dict[str, Any]:
    """Return an answer as JSON values."""
    body: dict[str, Any] = {
        "encoder": found.encoder,
        "snapshot": found.snapshot,
        "collection": found.collection,
        "image_weight": found.image_weight,
        "next_offset": found.next_offset,
        "took_ms": round(sum(found.timings_ms.values()), 3),
        "items": [_item(item, explain) for item in found.items],
    }
    if explain:
        body["explain"] = {
            "without_rules": found.without_rules,
            "rules": [_effect(effect) for effect in found.effects],
            "blocked": found.blocked,
        }
    return body


def _item(item: ResultItem, explain: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": item.id,
        "score": item.score,
        "image_score": item.image_score,
        "text_score": item.text_score,
        "product": product(item.payload),
        "num_variants": 1 + len(item.variants),
        "variants": item.variants,
        "pinned": item.pinned,
    }
    if explain:
        body["explain"] = {
            "shared": [{"column": column, "value": value} for column, value in item.shared],
            "rules": [_effect(effect) for effect in item.effects],
            "rank_without_rules": item.rank_without_rules,
        }
    return body


def product(payload: Mapping[str, Any] | Payload) -> dict[str, Any]:
    """Return what a client sees of a product."""
    body = {name: value for name, value in payload.items() if name not in _INTERNAL}
    image = payload.get("image")
    if image:
        body["image"] = image_url(image)
    return body


def found(products: list[Suggestion]) -> list[dict[str, Any]]:
    """Return products as they are shown while typing."""
    rows = []
    for one in products:
        row = {"id": one.id, "title": one.title, "brand": one.brand}
        if one.image:
            row["image"] = image_url(one.image)
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows


def image_url(sha256: str) -> str:
    """Return the address of an image."""
    return f"/images/{sha256}"


def origin(view: IndexView) -> dict[str, str]:
    """Return where an answer comes from."""
    return {
        "encoder": view.encoder_ref,
        "snapshot": view.snapshot_ref,
        "collection": view.collection.name,
    }


def searched(service: Service, found: SearchResult, *, explain: bool) -> Response:
    """Note what a search took and return it as JSON."""
    service.metrics.search(found.timings_ms)
    return reply(answer(found, explain=explain))


def _effect(effect: RuleEffect) -> dict[str, Any]:
    return {
        "rule_id": effect.rule_id,
        "action": effect.action,
        "reason": effect.reason,
        "author": effect.author,
        "shift": effect.shift,
    }
