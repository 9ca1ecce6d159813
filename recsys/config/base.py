"""What every section of the configuration shares: frozen, no unknown keys."""

from pydantic import BaseModel, ConfigDict

ATTRIBUTE_PREFIX = "attributes."
"""Begins the name of a custom attribute wherever a setting names a column; see workspace/columns.py."""


class Section(BaseModel):
    """A frozen group of settings. An unknown key is an error, so a typo never passes silently.

    Validators raise ``ValueError`` with the reason and a good range; :func:`recsys.config.load` turns
    them into one :class:`~recsys.errors.ConfigError` that names file, section and key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
