"""The OpenAPI document, and a page that shows it without a script from anywhere.

Does not know: what any route does.
"""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from recsys.index.points import indexed_columns
from recsys.serving import filtering, problems, serialization
from recsys.serving.auth import COOKIE
from recsys.serving.dependencies import Service
from recsys.serving.requests import BatchBody, JudgementBody, PreviewBody, RuleBody, RuleChanges, SearchBody
from recsys.serving.responses import ProblemOut
from recsys.serving.routes import Needs

_HERE = Path(__file__).parent
_BODIES: tuple[type[BaseModel], ...] = (
    SearchBody, BatchBody, RuleBody, RuleChanges, PreviewBody, JudgementBody,
)  # fmt: skip
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key from `recsys key`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Signed in at /login."},
}
_BOUNDS = {
    "minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "minLength": "at least",
    "maxLength": "at most", "minItems": "at least", "maxItems": "at most",
}  # fmt: skip
_OPEN = ("/healthz", "/readyz")
DESCRIPTION = """\
Finds similar products: by product id, by words, by images, or by any mix of them.

**Keys.** Where keys are configured, send one as `Authorization: Bearer KEY` or `X-Api-Key: KEY`. Roles:
`read` asks, `merchandise` also makes rules and judgements, `admin` also changes those of others.

**Errors** are problem details (RFC 9457): `detail` says what was found, `fix` what to do.

**What stays.** Fields and routes under `/v1` keep their names and meanings; more may come at any time, so
ignore what you do not know. Scores of a given pair change with the encoder, which every answer names.
"""


@cache
def template(name: str) -> Template:
    """Return a template; everything put into it is escaped."""
    loader = FileSystemLoader(_HERE / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(name)


def install(app: FastAPI) -> None:
    """Give ``app`` its document at /openapi.json and the page at /docs."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    app.include_router(pages)


pages = APIRouter(include_in_schema=False)


@pages.get("/openapi.json")
async def openapi_json(request: Request) -> Response:
    """Return the document."""
    return serialization.reply(request.app.openapi(), headers={"Cache-Control": "no-cache"})


@pages.get("/docs")
async def docs(request: Request) -> Response:
    """Return the page."""
    html = template("docs.html.j2").render(api=request.app.openapi(), problems=problems.KINDS, kind=_kind)
    return HTMLResponse(html, headers={"Cache-Control": "no-cache"})


@pages.get("/docs/style.css")
async def style() -> Response:
    """Return the page's style."""
    return FileResponse(_HERE / "assets/style.css", headers={"Cache-Control": "no-cache"})


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    parts: Service = app.state.service
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, bodies = models_json_schema(
        [(model, "validation") for model in _BODIES], ref_template="#/components/schemas/{model}"
    )
    schemas |= bodies["$defs"]
    schemas["ProblemOut"] = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas[filtering.SCHEMA_NAME] = filtering.schema(parts.config.index.attributes)
    schemas["SearchWithFiles"] = {
        **schemas["SearchBody"],
        "description": "A search beside images as files.",
    }
    del schemas["SearchWithFiles"]["anyOf"]
    for body in ("SearchBody", "SearchWithFiles", "BatchBody"):
        schemas[body]["properties"]["filter"]["$ref"] = f"#/components/schemas/{filtering.SCHEMA_NAME}"
    columns = [c for c, kind in indexed_columns(parts.config.index.attributes).items() if kind == "keyword"]
    for parameter in document["paths"]["/v1/facets"]["get"]["parameters"]:
        if parameter["name"] == "columns":
            parameter["schema"]["items"] = {"type": "string", "enum": columns}
    schemas["BatchBody"]["properties"]["ids"]["maxItems"] = parts.config.search.max_batch
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["securitySchemes"] = _SCHEMES
    roles = _roles(app)
    ways: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation)
            if (path, method) in roles:
                operation["x-role"] = roles[path, method]
            if path not in _OPEN:
                operation["security"] = ways if parts.keys.needed else [{}, *ways]
    return document


def _complete(operation: dict[str, Any]) -> None:
    """Say what the framework cannot: filters in a query string are JSON; no 422 is ever answered."""
    operation["responses"].pop("422", None)
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "filter":
            del parameter["schema"]
            parameter["content"] = {
                "application/json": {"schema": {"$ref": f"#/components/schemas/{filtering.SCHEMA_NAME}"}}
            }


def _roles(app: FastAPI) -> dict[tuple[str, str], str]:
    """Return (path, method in lower case) → role of the routes that need one."""
    roles: dict[tuple[str, str], str] = {}
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        for need in (depends.dependency for depends in route.dependencies):
            if isinstance(need, Needs):
                roles |= {(route.path_format, method.lower()): need.role for method in route.methods}
    return roles


def _kind(schema: dict[str, Any]) -> str:
    """Return in a few words what a schema allows."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        kind = f"list of {_kind(schema.get('items', {}))}"
    bounds = [f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
    return f"{kind} ({', '.join(bounds)})" if bounds else kind
