"""Repair: the live collection is audited as a build is, and built anew where it is not what it should be.

Readers keep what they have until a new collection, from the same snapshot and embeddings, has passed its own
audit and the alias is switched.
"""

import logging
import time
from contextlib import closing

from recsys.config import Config
from recsys.errors import ArtifactError, AuditError
from recsys.index.audit import Encode, audit_build
from recsys.index.engine import open_index
from recsys.index.run import Journal, Publisher, inputs_of, where
from recsys.index.service import LOCK
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace

logger = logging.getLogger(__name__)


def run(
    config: Config, workspace: Workspace, *, repair: bool, encode: Encode | None = None
) -> Manifest | None:
    """Audit the live collection, and ``repair`` it; return the publication of the new one.

    Return ``None``, with nothing written, where the collection is sound or nothing was published yet. Raises
    :class:`AuditError` for a wrong one that is not to be repaired, or whose successor is wrong too, and
    :class:`ArtifactError` where what it was made from is gone; readers keep what they have.
    """
    started = time.monotonic()
    with workspace.lease(LOCK) as lease, closing(open_index(config, workspace)) as index:
        index.fence = lease.check
        index.recover()
        live = index.live()
        if live is None:
            return None
        what = {"repair": where(config)}
        journal = Journal.read(workspace, what, inputs_of(live.metadata), live, lease).begin()
        publisher = Publisher(config, workspace, index, journal, lease, encode)
        info = journal.result
        if info is None:
            source = Source(workspace, live.metadata.snapshot, live.metadata.embedding_set)
            try:
                audit = audit_build(
                    index.open(live.name), source, config.index, seed=config.seed, encode=encode
                )
                audit.require(live.name)
            except (AuditError, ArtifactError) as error:  # or it cannot even be read
                if not repair:
                    fix = "Build it anew: recsys audit --repair"
                    if isinstance(error, ArtifactError):
                        fix = f"{error.fix} Then build it anew: recsys audit --repair"
                    raise AuditError(error.message, fix=fix) from error
                logger.warning("building anew: %s", error.message)
                info = publisher.build(source, live, f"What was in service was wrong: {error.message}")
            else:
                logger.info("%s: sound, %s", live.name, audit.checks)
                journal.delete()
                return None
        info["collected"] = publisher.drop_old_collections()
        info["duration_s"] = round(time.monotonic() - started, 3)
        return journal.commit(info)
