"""Settings of the index: engine, alias, search parameters, audit thresholds."""

from recsys.config.base import Section


class IndexConfig(Section):
    """Where vectors are published and how a build is audited."""

    url: str | None = None
    """URL of a Qdrant server; unset means Qdrant Edge, in process, inside the workspace."""
    api_key: str | None = None
    """Key of that server; give it by ``QDRANT_API_KEY`` rather than in a file."""
    alias: str = "products"
    """The name that readers use."""
