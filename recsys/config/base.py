"""What every section of the configuration shares: frozen, no unknown keys; and how two differ."""

from typing import Any

from pydantic import BaseModel, ConfigDict

ATTRIBUTE_PREFIX = "attributes."
"""Begins the name of a custom attribute wherever a setting names a column; see workspace/columns.py."""


class Section(BaseModel):
    """A frozen group of settings. An unknown key is an error, so a typo never passes silently.

    Validators raise ``ValueError`` with the reason and a good range; :func:`recsys.config.load` turns
    them into one :class:`~recsys.errors.ConfigError` that names file, section and key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Return the dotted names of what differs between two dumped sections, ascending."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return [] if one == other else [name]
    found = [
        differences(one.get(key), other.get(key), f"{name}.{key}" if name else key)
        for key in sorted(one.keys() | other.keys())
    ]
    return [name for names in found for name in names]
