"""Products: one, those that match what is being typed, the values that filters choose from, images."""

from typing import Annotated

from fastapi import Path, Query
from starlette.requests import Request
from starlette.responses import Response

from recsys.serving.conditional import NOT_MODIFIED, conditional
from recsys.serving.dependencies import IN_THREAD, ServicesDep, run_in_thread
from recsys.serving.problems import NOT_FOUND, Problem
from recsys.serving.requests import (
    AutocompleteParams,
    FacetsParams,
    ProductIdPath,
    ProductParams,
    conditions,
)
from recsys.serving.responses import (
    AutocompleteResponse,
    FacetsResponse,
    NumberRange,
    ProductResponse,
    ValueCount,
    json_response,
    origin,
    product,
)
from recsys.serving.routes import make_router, problems
from recsys.serving.thumbnails import WIDTHS

router = make_router("products", "read")


@router.get(
    "/v1/products",
    response_model=AutocompleteResponse,
    dependencies=[IN_THREAD],
    summary="Products by id or words, as one types",
)
def autocomplete(services: ServicesDep, params: Annotated[AutocompleteParams, Query()]) -> Response:
    """List products whose id begins with ``q``, then those that have all of its words.

    Without ``q``, some products spread over the catalog.
    """
    index = services.live.view().autocomplete
    rows = index.find(params.q, params.limit) if params.q.strip() else index.some(params.limit)
    return json_response({"products": [product(row._asdict()) for row in rows]})


@router.get(
    "/v1/products/{id:path}",
    response_model=ProductResponse,
    responses=NOT_MODIFIED | problems(404),
    summary="One product",
)
async def get_product(
    request: Request, services: ServicesDep, id: ProductIdPath, params: Annotated[ProductParams, Query()]
) -> Response:
    """Return one published product."""

    def read() -> Response:
        point, view = services.finder.product(id, params.collection)
        return json_response({**origin(view), "product": product(point.payload)})

    def work() -> Response:
        return conditional(request, services, read, collection=params.collection)

    if services.in_event_loop and params.collection is None:
        return work()
    return await run_in_thread(services, work)


@router.get(
    "/v1/facets", dependencies=[IN_THREAD], summary="What to filter by: values with counts, and ranges"
)
def facets(services: ServicesDep, params: Annotated[FacetsParams, Query()]) -> FacetsResponse:
    """Count the values of columns, most frequent first; of prices, give the lowest and the highest."""
    view, found = services.finder.facets(params.columns, limit=params.limit, filter=conditions(params.filter))
    counts = {
        column: [ValueCount(value=value, count=count) for value, count in values]
        for column, values in found.counts.items()
    }
    ranges = {column: NumberRange(min=low, max=high) for column, (low, high) in found.ranges.items()}
    return FacetsResponse(**origin(view), facets=counts, ranges=ranges)


@router.get(
    "/images/{sha256}",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        304: {"description": "The image that the client has is this one; images never change."},
        **problems(404),
    },
    dependencies=[IN_THREAD],
    summary="An image",
)
def image(
    request: Request,
    services: ServicesDep,
    sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")],
    w: Annotated[int, Query(json_schema_extra={"enum": list(WIDTHS)})] = 320,
) -> Response:
    """Return an image that a product names, as a JPEG at most ``w`` pixels wide and high."""
    visibility = "private" if services.authenticator.needs_key else "public"
    headers = {"ETag": f'"{sha256}-{w}"', "Cache-Control": f"{visibility}, max-age=31536000, immutable"}
    if w in WIDTHS and headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    jpeg = services.thumbnails.get(sha256, w)
    if jpeg is None:
        raise Problem(
            NOT_FOUND,
            f"There is no image {sha256} in what is published.",
            fix="Take the address from a product; it goes when its product goes.",
        )
    return Response(jpeg, 200, headers, "image/jpeg")
