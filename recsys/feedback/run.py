"""The door of the night to what people said: judgements in the database become an artifact.

Does not know: what is learnt from it.
"""

import contextlib
import logging
import time

from recsys.config import Config
from recsys.feedback.aggregate import aggregate
from recsys.feedback.store import FeedbackStore, file_of
from recsys.workspace import Manifest, Workspace
from recsys.workspace.judgements import commit

logger = logging.getLogger(__name__)


def run(config: Config, workspace: Workspace) -> Manifest:
    """Export the judgements that stand, and return the artifact (kind ``judgements``).

    ``info["counts"]`` has ``judgements``, ``pairs``, how many are ``similar``, ``not_similar`` and
    ``duplicate``, how many were ``disputed``, and ``ties``, which are left out. Where nobody ever judged the
    artifact is empty, and no database is made for that.
    """
    started = time.monotonic()
    said = []
    if _may_hold_any(config, workspace):
        with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
            said = store.all_judgements()
    rows, counts = aggregate(said)
    manifest = commit(workspace, rows, {"counts": counts, "duration_s": round(time.monotonic() - started, 3)})
    logger.info("%s: %d judgements of %d pairs", manifest.ref, counts["judgements"], counts["pairs"])
    return manifest


def _may_hold_any(config: Config, workspace: Workspace) -> bool:
    """Tell whether there is a database to ask; without one nobody can have judged."""
    return bool(config.search.database) or (workspace.is_local and file_of(workspace).is_file())
