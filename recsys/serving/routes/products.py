"""Products: one, those that match what is being typed, the values that filters choose from, images.

Does not know: similarity.
"""

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from recsys.search.thumbnails import WIDTHS
from recsys.serving import parameters, serialization
from recsys.serving.dependencies import service
from recsys.serving.filtering import read_text
from recsys.serving.problems import NOT_FOUND, Problem
from recsys.serving.requests import FacetParameters, LookupParameters, ProductId, ViewParameters
from recsys.serving.responses import FacetAnswer, LookupAnswer, ProductAnswer
from recsys.serving.routes import problems, router

routes = router("products", "read")

_IMMUTABLE = "max-age=31536000, immutable"


@routes.get(
    "/v1/products",
    response_model=LookupAnswer,
    openapi_extra=parameters.described(LookupParameters),
    summary="Products by id or words, as one types",
)
async def lookup(request: Request) -> Response:
    """List products whose id begins with ``q``, then those that have all of its words.

    Without ``q``, some products spread over the catalog.
    """
    parts, asked = service(request), parameters.read(request, LookupParameters)

    def work() -> Response:
        words = parts.live.view().autocomplete
        rows = words.find(asked.q, asked.limit) if asked.q.strip() else words.some(asked.limit)
        return serialization.reply({"products": serialization.found(rows)})

    return await parts.threads.run(work)


@routes.get(
    "/v1/products/{id:path}",
    response_model=ProductAnswer,
    responses=problems(404),
    openapi_extra=parameters.described(ViewParameters),
    summary="One product",
)
async def product(request: Request, id: Annotated[ProductId, Path()]) -> Response:
    """Return one published product."""
    parts, asked = service(request), parameters.read(request, ViewParameters)

    def work() -> Response:
        record, view = parts.finder.product(id, asked.collection)
        return serialization.reply(
            {**serialization.origin(view), "product": serialization.product(record.payload)}
        )

    return work() if parts.quick and asked.collection is None else await parts.threads.run(work)


@routes.get(
    "/v1/facets",
    response_model=FacetAnswer,
    openapi_extra=parameters.described(FacetParameters),
    summary="What to filter by: values with counts, and ranges",
)
async def facets(request: Request) -> Response:
    """Count the values of columns, most frequent first; of prices, give the lowest and the highest."""
    parts, asked = service(request), parameters.read(request, FacetParameters)
    conditions = read_text(asked.filter)

    def work() -> Response:
        view, found = parts.finder.facets(asked.columns, limit=asked.limit, filter=conditions)
        counted = {c: [{"value": v, "count": n} for v, n in values] for c, values in found.counts.items()}
        ranges = {c: {"min": low, "max": high} for c, (low, high) in found.ranges.items()}
        return serialization.reply({**serialization.origin(view), "facets": counted, "ranges": ranges})

    return await parts.threads.run(work)


@routes.get(
    "/images/{sha256}",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "The image that the client has is this one; images never change."},
        **problems(404),
    },
    summary="An image",
)
async def image(
    request: Request,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    w: Annotated[int, Query(json_schema_extra={"enum": list(WIDTHS)})] = 320,
) -> Response:
    """Return an image that a product names, as a JPEG at most ``w`` pixels wide and high."""
    parts = service(request)
    visibility = "private" if parts.keys.needed else "public"
    headers = {"ETag": f'"{sha256}-{w}"', "Cache-Control": f"{visibility}, {_IMMUTABLE}"}
    if w in WIDTHS and headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    jpeg = await parts.threads.run(lambda: parts.images.get(sha256, w))
    if jpeg is None:
        raise Problem(
            NOT_FOUND,
            f"There is no image {sha256} in what is published.",
            fix="Take the address from a product; it goes when its product goes.",
        )
    return Response(jpeg, 200, headers, "image/jpeg")
