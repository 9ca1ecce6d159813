"""Does a collection show a source already? If not, what has to be written?

Does not know: how anything is written.
"""

import logging

from recsys.config.index import IndexConfig
from recsys.errors import ArtifactError
from recsys.index.base import SCHEMA_VERSION, CollectionInfo, VectorIndex
from recsys.index.diff import Changes, diff, diff_unordered
from recsys.index.points import indexed_columns
from recsys.index.source import Row, Source
from recsys.workspace import Workspace
from recsys.workspace.embeddings import SET_KIND

logger = logging.getLogger(__name__)


def shows(collection: CollectionInfo, source: Source, config: IndexConfig) -> bool:
    """Tell whether a collection is complete and shows ``source`` in the present shape."""
    metadata = collection.metadata
    at = (metadata.snapshot, metadata.embedding_set)
    wanted = (source.snapshot_ref, source.embedding_set_ref)
    return has_shape(collection, config) and not metadata.pending and at == wanted


def has_shape(collection: CollectionInfo, config: IndexConfig) -> bool:
    """Tell whether payloads are of the present version and every filter column has its index."""
    metadata = collection.metadata
    shape = (SCHEMA_VERSION, tuple(indexed_columns(config.attributes)))
    return (metadata.schema_version, metadata.indexed) == shape


def newer_snapshot(workspace: Workspace, source: Source, live: CollectionInfo | None) -> str | None:
    """Return the live snapshot when it is the catalog's latest and ``source``'s is not, else ``None``.

    The catalog's pointer is the only order there is: a catalog that returns to an earlier state is the
    same snapshot again, so its age says nothing.
    """
    latest = (workspace.read_pointer("catalog") or {}).get("snapshot")
    if live is None or live.metadata.snapshot != latest or source.snapshot_ref == latest:
        return None
    return live.metadata.snapshot


def find_embeddings(workspace: Workspace, snapshot_ref: str, encoder_ref: str) -> str | None:
    """Return the newest embedding set of a snapshot under an encoder, or ``None``."""
    wanted = (snapshot_ref, encoder_ref)
    for manifest in reversed(workspace.list(SET_KIND)):
        if (manifest.inputs.get("snapshot"), manifest.inputs.get("encoder")) == wanted:
            return manifest.ref
    return None


def changes(index: VectorIndex, workspace: Workspace, collection: CollectionInfo, source: Source) -> Changes:
    """Compare with the artifacts the collection was made from, or with the collection itself.

    The artifacts are quicker and in order, but they tell the truth only where no change was left
    half-made and they still exist.
    """
    metadata = collection.metadata
    reshaped = metadata.schema_version != SCHEMA_VERSION
    if not metadata.pending:
        try:
            before = Source(workspace, metadata.snapshot, metadata.embedding_set)
            return diff(before.rows(), source.rows(), all_payloads=reshaped)
        except ArtifactError as error:
            logger.info("comparing with %s itself: %s", collection.name, error.message)
    stored = {
        r.id: Row(r.id, r.payload.get("embedding_key", ""), r.payload.get("row_hash", ""))
        for r in index.open(collection.name).records(("embedding_key", "row_hash"))
    }
    return diff_unordered(stored, source.rows(), all_payloads=reshaped)
