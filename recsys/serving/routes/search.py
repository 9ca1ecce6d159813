"""What is similar: to a product, to words and images, to many products at once.

Does not know: how anything is found.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from recsys.feedback.rules import Rule
from recsys.search.query import MAX_IMAGES, SearchQuery
from recsys.serving import parameters, serialization
from recsys.serving.bodies import FORM, JSON, described, read, read_search
from recsys.serving.dependencies import service
from recsys.serving.filtering import read_text
from recsys.serving.problems import TOO_LARGE, Problem
from recsys.serving.requests import BatchBody, ProductId, SearchBody, SimilarParameters
from recsys.serving.responses import AnswerOut, BatchAnswer
from recsys.serving.routes import problems, router
from recsys.workspace.normalise import FORMATS

routes = router("search", "read")

_LIGHT_DEPTH = 50
_LIGHT_BOOSTS = 2
"""Each rule that boosts asks the engine once more."""
_FORM: dict[str, Any] = {
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


@routes.get(
    "/v1/products/{id:path}/similar",
    response_model=AnswerOut,
    responses=problems(404),
    openapi_extra=parameters.described(SimilarParameters),
    summary="Products similar to a published one",
)
async def similar(request: Request, id: Annotated[ProductId, Path()]) -> Response:
    """List the products most similar to one; its stored vector is used, no model runs."""
    asked = parameters.read(request, SimilarParameters)
    query = SearchQuery(
        like=(id,),
        image_weight=asked.image_weight,
        filter=read_text(asked.filter),
        diversity=asked.diversity,
        collapse_variants=asked.collapse_variants,
        limit=asked.limit,
        offset=asked.offset,
        explain=asked.explain,
        apply_rules=asked.rules,
        collection=asked.collection,
    )
    return await _answer(request, query)


@routes.post(
    "/v1/search",
    response_model=AnswerOut,
    responses=problems(404, 413, 415),
    openapi_extra=described(SearchBody, **{FORM: _FORM}),
    summary="Search by any mix of words, images and products",
)
async def search(request: Request) -> Response:
    """Search by words, images, products liked and disliked; words and images run the live encoder.

    Send JSON with images as base64, or ``multipart/form-data``: a field ``query`` with that JSON and the
    images as files ``images``.
    """
    body, files = await read_search(request)
    if not body.images:
        return await _answer(request, body.query(files))
    return await _answer(request, await service(request).threads.run(body.query))  # base64 takes its time


@routes.post(
    "/v1/batch",
    response_model=BatchAnswer,
    responses=problems(413, 415),
    openapi_extra=described(BatchBody),
    summary="Products similar to each of many",
)
async def batch(request: Request) -> Response:
    """List the neighbours of many products in one call, all from one collection."""
    body = await read(request, BatchBody)
    parts = service(request)
    most = parts.config.search.max_batch
    if len(body.ids) > most:
        raise Problem(
            TOO_LARGE,
            f"ids: {len(body.ids):,} products are asked about.",
            fix=f"Ask about at most {most} at once, or raise search.max_batch.",
        )
    started = time.perf_counter()
    queries = body.queries()
    view, found = await parts.threads.run(lambda: parts.finder.batch(queries, parts.rules()))
    answers = {id: serialization.answer(one, explain=False) if one else None for id, one in found.items()}
    return serialization.reply(
        {
            **serialization.origin(view),
            "answers": answers,
            "missing": [id for id, one in answers.items() if one is None],
            "took_ms": round((time.perf_counter() - started) * 1e3, 3),
        }
    )


async def _answer(request: Request, query: SearchQuery) -> Response:
    parts = service(request)

    def work(rules: Sequence[Rule] | None = None) -> Response:
        found = parts.finder.search(query, parts.rules() if rules is None else rules)
        return serialization.searched(parts, found, explain=query.explain)

    if parts.quick and _is_light(query):
        rules = parts.rules()
        if sum(rule.action == "boost" for rule in rules) <= _LIGHT_BOOSTS:
            return work(rules)
    return await parts.threads.run(work)


def _is_light(query: SearchQuery) -> bool:
    """Tell whether a question takes about a millisecond: the nearest of one product, the usual number."""
    return (
        query.product_id is not None
        and query.collection is None
        and query.offset + query.limit <= _LIGHT_DEPTH
        and not (query.unlike or query.diversity or query.explain)
    )
