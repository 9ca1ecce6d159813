"""Parameters of a query string, read as a model: unknown ones are refused.

Read here rather than by the framework, which takes several times as long over the same model: that would be
a good part of what the service adds to a question by id.

Does not know: what is done with them.
"""

from functools import cache
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from recsys.errors import InputError

M = TypeVar("M", bound=BaseModel)

_MAX_FIELDS = 200


def described(model: type[BaseModel], **others: Any) -> dict[str, Any]:
    """Return what the OpenAPI document says of a route that reads ``model``; ``others`` stand beside it."""
    parameters = []
    for name, field in model.model_json_schema()["properties"].items():
        schema = _without_null(field)
        about = {"description": schema.pop("description")} if "description" in schema else {}
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema, **about})
    return {"parameters": parameters, **others}


def read(request: Request, model: type[M]) -> M:
    """Return the query string as ``model``; raises the error that becomes a problem naming each wrong one."""
    raw = request.scope["query_string"]
    if not raw:
        return model()
    try:
        sent = parse_qs(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InputError(
            f"The query string has more than {_MAX_FIELDS} fields.", fix="Ask in a body: POST /v1/search."
        ) from None
    lists = _lists(model)
    values = {name: given if name in lists else given[-1] for name, given in sent.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError(found) from None


@cache
def _lists(model: type[BaseModel]) -> frozenset[str]:
    fields = model.model_json_schema()["properties"]
    return frozenset(name for name, field in fields.items() if field.get("type") == "array")


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Take ``null`` out of what a parameter may be: it is left out instead."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
    schema = {name: value for name, value in field.items() if name != "anyOf"} | (kinds[0] if kinds else {})
    return {name: value for name, value in schema.items() if value is not None}
