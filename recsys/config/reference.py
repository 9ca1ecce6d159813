"""The reference of every setting, as Markdown, written from the sections: it cannot disagree with the code.

recsys config --reference > docs/configuration.md
"""

import json
import re
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from recsys.config import Config

_HEAD = """# Configuration

One TOML file, given by `--config` or `RECSYS_CONFIG`; every setting has a default, `conf/` has examples.
Relative paths are relative to the file's own folder. The environment overrides: `RECSYS_WORKSPACE`
(workspace.root), `RECSYS_QDRANT_URL` (index.url), `QDRANT_API_KEY` (index.api_key),
`RECSYS_DATABASE_URL` (search.database).

This page is written by `recsys config --reference` from the code; a test keeps it current.
"""


def markdown() -> str:
    """Return the whole reference as one Markdown page."""
    return "\n".join([_HEAD, *_section(Config, "", {"base_dir"})]).rstrip() + "\n"


def _section(model: type[BaseModel], prefix: str, hidden: set[str] | None = None) -> Iterator[str]:
    nested: list[tuple[str, type[BaseModel]]] = []
    rows = []
    for name, field in model.model_fields.items():
        if name in (hidden or ()):
            continue
        path = f"{prefix}{name}"
        inner = list(dict.fromkeys(_models(field.annotation)))
        nested += [(path, m) for m in inner]
        if inner and len(inner) == 1 and field.annotation is inner[0]:
            continue
        default = (
            "required"
            if field.default is PydanticUndefined and not field.default_factory
            else f"`{_default(field)}`"
        )
        text = _words(field.description)
        rows.append(f"| `{name}` | {_type(field.annotation)} | {default} | {text} |".replace("\\|", "|"))
    if rows:
        title = prefix.rstrip(".") or "top level"
        yield f"## {title}\n\n{_words(model.__doc__)}\n"
        yield "| setting | type | default | meaning |\n|---|---|---|---|"
        yield from rows
        yield ""
    for path, inner_model in nested:
        yield from _section(inner_model, f"{path}.")


def _words(docstring: str | None) -> str:
    """Turn a docstring's reStructuredText into a line of Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", " ".join((docstring or "").split()))
    return text.replace("``", "`")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "{}"
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    if any(isinstance(part, BaseModel) for part in parts):
        return json.dumps(_plain(value))
    return repr(value).replace("|", "\\|") if not isinstance(value, str) else f'"{value}"'


def _plain(value: Any) -> Any:
    """Return sections as the tables that a file would hold, without what is default anyway."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value]


def _type(annotation: Any) -> str:
    if annotation is type(None):
        return "unset"
    origin = get_origin(annotation)
    arguments = [_type(a) if not isinstance(a, str) else f'"{a}"' for a in get_args(annotation)]
    if origin in (Union, types.UnionType):
        return " or ".join(arguments)
    if origin is not None and getattr(origin, "__name__", "") == "Annotated":
        return arguments[0]
    if str(origin) == "typing.Literal":
        return " or ".join(arguments)
    if origin in (tuple, list):
        return f"list of {arguments[0]}"
    if origin is dict:
        return f"table of {arguments[1]}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), str(getattr(annotation, "__name__", annotation))
    )
