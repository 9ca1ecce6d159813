"""Export: the judgements in the database become an artifact that training reads."""

import contextlib
import logging
import time

from recsys.config import Config
from recsys.feedback.judgements import aggregate
from recsys.feedback.store import FeedbackStore, has_database
from recsys.workspace import Manifest, Workspace
from recsys.workspace.judgements import commit

logger = logging.getLogger(__name__)


def run(config: Config, workspace: Workspace) -> Manifest:
    """Export the judgements that were not withdrawn, and return the artifact (kind ``judgements``).

    ``info["counts"]`` has ``judgements``, ``pairs``, how many are ``similar``, ``not_similar`` and
    ``duplicate``, how many were ``disputed``, and ``ties``, which are left out. Without a database the
    artifact is empty, and none is made.
    """
    started = time.monotonic()
    judgements = []
    if has_database(config, workspace):
        with contextlib.closing(FeedbackStore.open(config, workspace)) as store:
            judgements = store.all_judgements()
    rows, counts = aggregate(judgements)
    manifest = commit(workspace, rows, {"counts": counts, "duration_s": round(time.monotonic() - started, 3)})
    logger.info("%s: %d judgements of %d pairs", manifest.ref, counts["judgements"], counts["pairs"])
    return manifest
