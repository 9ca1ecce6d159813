"""Chooses the engine: a Qdrant server where the configuration names one, Qdrant Edge otherwise.

Does not know: what an engine does. Importing this module imports no engine.
"""

from recsys.config import Config
from recsys.index.base import VectorIndex
from recsys.workspace import Workspace

_WRITER_TIMEOUT_S = 600.0


def open_index(config: Config, workspace: Workspace) -> VectorIndex:
    """Open the index; close it after use. Raises :class:`~recsys.errors.TransientError` without a server."""
    if config.index.url:
        from recsys.index.server import ServerIndex, connect

        return ServerIndex(connect(config.index), config.index)
    from recsys.index.edge import EdgeIndex

    lock = workspace.lock("index-edge", timeout_s=_WRITER_TIMEOUT_S)
    return EdgeIndex(workspace.local / "index", config.index, lock=lock)
