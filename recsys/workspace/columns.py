"""Columns of a catalog by the names a config gives them: ``brand``, ``attributes.fit``, or ``fit`` for short.

One grammar for every setting that names a column. The name of a product column (:data:`product.PRODUCTS`)
is that column; ``attributes.<name>`` is a custom attribute, whatever it is called; any other name is the
custom attribute of that name.
"""

import pyarrow as pa
import pyarrow.compute as pc

from recsys.config.base import ATTRIBUTE_PREFIX
from recsys.errors import ConfigError
from recsys.workspace.product import PRODUCTS

_WITHOUT_TEXT = {"attributes", "images", "content_hash", "payload_hash"}


def attribute_of(name: str) -> str | None:
    """Return the custom attribute that ``name`` stands for; ``None`` if it is a product column."""
    return None if name in PRODUCTS.names else name.removeprefix(ATTRIBUTE_PREFIX)


def read_column(products: pa.Table, name: str, *, setting: str) -> list[str | None]:
    """Return a column or custom attribute as text, one value per row of ``products``; blank is ``None``.

    Raises :class:`ConfigError` that names the ``setting`` if the table has no such column and none of
    its products such an attribute.
    """
    attribute = attribute_of(name)
    if attribute is not None:
        found = pc.map_lookup(products.column("attributes"), pa.scalar(attribute), "first")
        exists = found.null_count < len(found)
    else:
        exists = name in products.column_names and name not in _WITHOUT_TEXT
        found = products.column(name).cast(pa.string()) if exists else None
    if not exists:
        columns = [n for n in PRODUCTS.names if n in products.column_names and n not in _WITHOUT_TEXT]
        attributes = {
            key for chunk in products.column("attributes").chunks for key in chunk.keys.unique().to_pylist()
        }
        raise ConfigError(
            f"{setting} names {name!r}, which is neither a column nor a custom attribute of this catalog. "
            f"Columns: {', '.join(columns)}; attributes: {', '.join(sorted(attributes)) or 'none'}.",
            fix="Correct the name, or map the feed's column to it in [catalog].",
        )
    return [value or None for value in pc.utf8_trim_whitespace(found).to_pylist()]
