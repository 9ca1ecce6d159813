"""The OpenAPI document, and Swagger UI at ``/docs``; its files come with the package fastapi-swagger."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from recsys.config import Config
from recsys.index.points import indexed_columns
from recsys.serving.auth import OTHER_SCHEMES
from recsys.serving.middleware import CSP
from recsys.serving.problems import TYPES
from recsys.serving.requests import JSON, PreviewRequest, SearchRequest
from recsys.serving.responses import ProblemDetails

_REF = "#/components/schemas/{model}"
_SWAGGER_UI = Path(str(files("fastapi_swagger"))) / "resources"
_DESCRIPTION = """\
Finds similar products: by product id, by words, by images, or by any mix of them.

**Keys.** Where keys are configured, send one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. Roles:
`read` searches, `merchandise` also makes rules and judgements, `admin` also changes those of others.

**What stays.** Fields and routes under `/v1` keep their names and meanings; more may come at any time, so
ignore what you do not know. Scores of a given pair change with the encoder, which every response names.

**Errors** are problem details (RFC 9457): `detail` says what was found, `fix` what to do.

| type | status | title |
|---|---|---|
"""

pages = APIRouter(include_in_schema=False)


@pages.get("/docs")
async def swagger_ui(request: Request) -> Response:
    """Return the page that shows the document."""
    response = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{request.app.title}: API",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/favicon.ico",
    )
    script = bytes(response.body).rpartition(b"<script>")[2].partition(b"</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    response.headers["Content-Security-Policy"] = CSP.replace(
        "script-src 'self'", f"script-src 'self' 'sha256-{digest}'"
    )
    return response


@pages.get("/docs/{name}")
async def swagger_ui_file(name: Literal["swagger-ui-bundle.js", "swagger-ui.css"]) -> Response:
    """Return a file of Swagger UI."""
    return FileResponse(_SWAGGER_UI / name, headers={"Cache-Control": "max-age=86400"})


@pages.get("/openapi.json")
async def openapi_json(request: Request) -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = request.app.openapi()
    return document


def openapi_schema(app: FastAPI, config: Config) -> dict[str, Any]:
    """Return the document: FastAPI's, and what FastAPI cannot know."""
    rows = "".join(f"| `/docs#{t.name}` | {t.status} | {t.title} |\n" for t in TYPES)
    document = get_openapi(
        title=app.title, version=app.version, description=_DESCRIPTION + rows, routes=app.routes
    )
    document["components"]["securitySchemes"] |= OTHER_SCHEMES
    schemas = document["components"]["schemas"]
    del schemas["HTTPValidationError"], schemas["ValidationError"]
    models = [
        (SearchRequest, "validation"),
        (PreviewRequest, "validation"),
        (ProblemDetails, "serialization"),
    ]
    schemas |= models_json_schema(models, ref_template=_REF)[1]["$defs"]  # type: ignore[arg-type]
    schemas["SearchWithFiles"] = {
        **schemas["SearchRequest"],
        "description": "A search beside images as files.",
    }
    del schemas["SearchWithFiles"]["anyOf"]
    schemas["BatchRequest"]["properties"]["ids"]["maxItems"] = config.search.max_batch
    columns = indexed_columns(config.index.attributes)
    for name in ("Conditions", "ProductFilter"):
        values = {"anyOf": schemas[name]["properties"]["brand"]["anyOf"]}
        schemas[name]["properties"] |= {c: values for c in columns if c.startswith("attributes.")}
        schemas[name]["additionalProperties"] = False
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            if "security" in operation:
                roles = operation["security"][0]["bearer"]
                operation["security"] += [{name: roles} for name in OTHER_SCHEMES]
            for parameter in operation.get("parameters", ()):
                _describe_parameter(parameter)
    facets = document["paths"]["/v1/facets"]["get"]["parameters"]
    keywords = [column for column, kind in columns.items() if kind == "keyword"]
    next(p for p in facets if p["name"] == "columns")["schema"]["items"]["enum"] = keywords
    return document


def _describe_parameter(parameter: dict[str, Any]) -> None:
    """A parameter is left out rather than null; one that holds JSON says so as OpenAPI does."""
    schema = parameter["schema"]
    for kind in schema.pop("anyOf", ()):
        if kind != {"type": "null"}:
            schema.update(kind)
    if "contentSchema" in schema:
        del parameter["schema"]
        parameter["content"] = {JSON: {"schema": schema["contentSchema"], "example": {}}}
