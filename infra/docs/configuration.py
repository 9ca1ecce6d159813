"""Write docs/configuration.md, every setting, from the sections' JSON Schema: ``make docs``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from recsys.config import Config, Section

_HEAD = """# Configuration

One TOML file, given by `--config` or `RECSYS_CONFIG`; every setting has a default, `conf/` has examples.
Relative paths are relative to the file's own folder. The environment overrides: `RECSYS_WORKSPACE`
(workspace.root), `RECSYS_QDRANT_URL` (index.url), `QDRANT_API_KEY` (index.api_key),
`RECSYS_DATABASE_URL` (search.database).

This page is written from the code by `make docs`; a test keeps it current.
"""
_TYPES = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
    "object": "table", "null": "unset",
}  # fmt: skip


def markdown() -> str:
    """Return the whole reference as one Markdown page."""
    schema = Config.model_json_schema()
    sections = {**schema["$defs"], "Config": schema}
    return "\n".join([_HEAD, *_section("Config", "", sections)]).rstrip() + "\n"


def _section(name: str, prefix: str, sections: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the section whose class is ``name``, and of those inside it."""
    fields = {section.__name__: section for section in _sections(Section)}[name].model_fields
    rows, inner = [], []
    for key, schema in sections[name]["properties"].items():
        for ref in dict.fromkeys(re.findall(r"#/\$defs/(\w+)", json.dumps(schema))):
            inner.append((ref, f"{prefix}{key}."))
        if "$ref" not in schema:
            meaning = _words(schema["description"])
            rows.append(f"| `{key}` | {_type(schema)} | {_default(fields[key])} | {meaning} |")
    if rows:
        yield f"## {prefix.rstrip('.') or 'top level'}\n\n{_words(sections[name]['description'])}\n"
        yield "| setting | type | default | meaning |\n|---|---|---|---|"
        yield from rows
        yield ""
    for ref, path in inner:
        yield from _section(ref, path, sections)


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    """Yield the sections that ``section`` is the base of, and those that they are."""
    for inner in section.__subclasses__():
        yield inner
        yield from _sections(inner)


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum") or [schema["const"]])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items') or schema['prefixItems'][0])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"table of {_type(schema['additionalProperties'])}"
    return _TYPES[schema.get("type", "object")]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    kind: Any = field.annotation
    value = field.get_default(call_default_factory=True)
    plain = TypeAdapter(kind).dump_python(value, mode="json", exclude_defaults=True)
    return "unset" if plain is None else f"`{json.dumps(plain, ensure_ascii=False)}`"


def _words(docstring: str) -> str:
    """Turn a docstring's reStructuredText into a line of Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"``\1``", " ".join(docstring.split()))
    return text.replace("``", "`")


if __name__ == "__main__":
    (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").write_text(markdown())
