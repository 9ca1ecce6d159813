"""What is similar: to a product, to words and images, to many products at once."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from recsys.feedback.rules import StoredRule
from recsys.search.query import MAX_IMAGES, SearchQuery
from recsys.serving.conditional import NOT_MODIFIED, conditional
from recsys.serving.dependencies import IN_THREAD, Services, ServicesDep, run_in_thread
from recsys.serving.problems import TOO_LARGE, Problem
from recsys.serving.requests import FORM, JSON, BatchRequest, ProductIdPath, SimilarParams, search_query
from recsys.serving.responses import BatchResponse, SearchResponse, json_response, origin, search_response
from recsys.serving.routes import make_router, problems
from recsys.workspace.normalise import FORMATS

router = make_router("search", "read")

_LIGHT_DEPTH = 50
_LIGHT_BOOSTS = 2
"""Each rule that boosts asks the engine once more."""
_FORM_SCHEMA: dict[str, Any] = {
    "schema": {
        "type": "object",
        "properties": {
            "query": {"$ref": "#/components/schemas/SearchWithFiles"},
            "images": {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "minItems": 1,
                "maxItems": MAX_IMAGES,
            },
        },
        "required": ["images"],
        "additionalProperties": False,
    },
    "encoding": {
        "query": {"contentType": JSON},
        "images": {"contentType": ", ".join(f"image/{name.lower()}" for name in FORMATS)},
    },
}
_SEARCH_CONTENT = {JSON: {"schema": {"$ref": "#/components/schemas/SearchRequest"}}, FORM: _FORM_SCHEMA}


@router.get(
    "/v1/products/{id:path}/similar",
    response_model=SearchResponse,
    responses=NOT_MODIFIED | problems(404),
    summary="Products similar to a published one",
)
async def similar(
    request: Request, services: ServicesDep, id: ProductIdPath, params: Annotated[SimilarParams, Query()]
) -> Response:
    """List the products most similar to one; its stored vector is used, no model runs."""
    return await _search(services, params.query(params.filter, like=(id,)), request)


@router.post(
    "/v1/search",
    response_model=SearchResponse,
    responses=problems(404, 413, 415),
    openapi_extra={"requestBody": {"required": True, "content": _SEARCH_CONTENT}},
    summary="Search by any mix of words, images and products",
)
async def search(services: ServicesDep, query: Annotated[SearchQuery, Depends(search_query)]) -> Response:
    """Search by words, images, products liked and disliked; words and images run the live encoder.

    Send JSON with images as base64, or ``multipart/form-data``: a field ``query`` with that JSON and the
    images as files ``images``.
    """
    return await _search(services, query)


@router.post(
    "/v1/batch",
    response_model=BatchResponse,
    responses=problems(413, 415),
    dependencies=[IN_THREAD],
    summary="Products similar to each of many",
)
def batch(services: ServicesDep, body: BatchRequest) -> Response:
    """List the neighbours of many products in one call, all from one collection."""
    max_batch = services.config.search.max_batch
    if len(body.ids) > max_batch:
        raise Problem(
            TOO_LARGE,
            f"ids: {len(body.ids):,} products are asked about.",
            fix=f"Ask about at most {max_batch} at once, or raise search.max_batch.",
        )
    started = time.perf_counter()
    view, found = services.finder.batch(body.queries(), services.active_rules())
    notes = services.notes() if body.rules else []
    results = {id: search_response(one, explain=False) if one else None for id, one in found.items()}
    return json_response(
        {
            **origin(view),
            "results": results,
            "missing": [id for id, one in results.items() if one is None],
            "took_ms": round((time.perf_counter() - started) * 1e3, 3),
            **({"notes": notes} if notes else {}),
        }
    )


async def _search(services: Services, query: SearchQuery, get: Request | None = None) -> Response:
    """Answer in the event loop what takes about a millisecond, and in a thread what takes longer.

    ``get`` is the request where it is one that :func:`conditional` is for.
    """

    def search(rules: Sequence[StoredRule]) -> Response:
        result = services.finder.search(query, rules)
        services.metrics.search(result.timings_ms)
        notes = services.notes() if query.apply_rules else []
        return json_response(search_response(result, explain=query.explain, notes=notes))

    def work(rules: Sequence[StoredRule]) -> Response:
        if get is None:
            return search(rules)
        return conditional(get, services, lambda: search(rules), collection=query.collection, rules=rules)

    if services.in_event_loop and _is_light(query):
        rules = services.active_rules()
        if sum(rule.action == "boost" for rule in rules) <= _LIGHT_BOOSTS:
            return work(rules)
    return await run_in_thread(services, lambda: work(services.active_rules()))


def _is_light(query: SearchQuery) -> bool:
    """Tell whether a query takes about a millisecond: the nearest of one product, the usual number."""
    return (
        query.product_id is not None
        and query.collection is None
        and query.offset + query.limit <= _LIGHT_DEPTH
        and not (query.unlike or query.diversity or query.explain)
    )
