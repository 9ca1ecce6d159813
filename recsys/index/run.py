"""Publish: bring the live collection to a snapshot under an encoder, provably and with no gap.

A new encoder is built beside the live collection, audited and switched to in one step; the same encoder
is changed by what differs: vectors that changed, columns that changed, products that went.

Does not know: how vectors are made, engines. A kill at any moment is finished by running again.
"""

import time
from contextlib import closing

from recsys.config import Config
from recsys.index.engines import open_index
from recsys.index.publish import KIND, Journal, Publisher
from recsys.index.service import LOCK
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace

__all__ = ["KIND", "run"]


def run(config: Config, workspace: Workspace, snapshot_ref: str, embedding_set_ref: str) -> Manifest:
    """Publish an embedding set and return the manifest of the publication.

    A build catches up with what a refresh published meanwhile, where that was embedded under its encoder.
    ``info`` says what was done: ``action`` (``build``, ``incremental``, ``payload`` or ``nothing``),
    ``counts``, ``audit``, ``alias``, ``collection``, ``previous``, ``timings`` and ``duration_s``. Raises
    :class:`~recsys.errors.AuditError` with the alias left where it was.
    """
    started = time.monotonic()
    with workspace.lock(LOCK), closing(open_index(config, workspace)) as index:
        source = Source(workspace, snapshot_ref, embedding_set_ref)
        journal = Journal.open(config, workspace, source, index.live())
        publisher = Publisher(config, workspace, index, journal)
        info = journal.done or publisher.publish(source)
        info["collected"] = publisher.collect()
        info["duration_s"] = round(time.monotonic() - started, 3)
        return journal.commit(info)
