"""Bodies of requests: JSON read as a model, strictly, or a search as a form with files.

Read here rather than by the framework, which reads a body before it asks who sends it, and takes ``"1"`` for
a number.

Does not know: what is done with them.
"""

from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from recsys.search.query import MAX_IMAGES
from recsys.serving.dependencies import service
from recsys.serving.problems import INVALID, UNSUPPORTED, Problem
from recsys.serving.requests import SearchBody

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
FORM = "multipart/form-data"
_SMALL_BYTES = 100_000
"""Read in a tenth of a millisecond; larger bodies are read in a thread."""
MAX_FIELDS = MAX_IMAGES + 4


def described(model: type[BaseModel], **others: Any) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that is ``model`` in JSON, or ``others`` by type."""
    schema = {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
    return {"requestBody": {"required": True, "content": {JSON: schema, **others}}}


async def read(request: Request, model: type[M]) -> M:
    """Return the JSON body as ``model``; raises :class:`Problem`."""
    if _kind(request) != JSON:
        raise _unsupported(request, JSON)
    return parse(model, await request.body())


async def read_search(request: Request) -> tuple[SearchBody, tuple[bytes, ...]]:
    """Return a search and the files that came with it; raises :class:`Problem`."""
    kind = _kind(request)
    if kind == JSON:
        raw = await request.body()
        if len(raw) <= _SMALL_BYTES:
            return parse(SearchBody, raw), ()
        return await service(request).threads.run(lambda: parse(SearchBody, raw)), ()
    if kind != FORM:
        raise _unsupported(request, f"{JSON}, or {FORM} with a field `query` and files `images`")
    form = await read_form(request, {"query", "images"}, max_files=MAX_IMAGES)
    images = tuple([await _image(part) for part in form.getlist("images")])
    query = form.get("query", "{}")
    text = await query.read() if isinstance(query, UploadFile) else query
    await form.close()
    return parse(SearchBody, text), images


async def read_form(request: Request, fields: set[str], *, max_files: int = 0) -> FormData:
    """Return a form that has no fields but these; raises :class:`Problem`."""
    most = service(request).config.search.max_body_bytes
    try:
        form = await request.form(max_files=max_files, max_fields=MAX_FIELDS, max_part_size=most)
    except HTTPException as error:
        raise Problem(
            INVALID,
            f"The form cannot be read: {error.detail}",
            fix=f"Send the fields {', '.join(sorted(fields))}, and at most {max_files} files.",
        ) from None
    unknown = sorted(set(form) - fields - {"csrf_token"})
    if unknown:
        await form.close()
        raise Problem(
            INVALID,
            f"The form has the fields {', '.join(map(repr, unknown))[:200]}.",
            fix=f"Send the fields {', '.join(sorted(fields))}.",
        )
    return form


def parse(model: type[M], raw: bytes | str) -> M:
    """Return JSON read as ``model``; raises the error that becomes a problem naming each wrong field."""
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError(found) from None


async def _image(part: UploadFile | str) -> bytes:
    """Return a part's bytes; one without a file name was read as text: Latin-1, as no image is UTF-8."""
    if isinstance(part, UploadFile):
        return await part.read()
    try:
        return part.encode("latin-1")
    except UnicodeEncodeError:
        return part.encode("utf-8", "replace")


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(request: Request, wanted: str) -> Problem:
    kind = _kind(request)
    return Problem(
        UNSUPPORTED,
        f"The body is of the type {kind[:100]!r}." if kind else "The body's type is not given.",
        fix=f"Send {wanted}, and name the type in the header Content-Type.",
    )
