"""Artifacts and their formats: the only thing that stages share.

    store        a workspace: immutable artifacts, committed atomically, found by id; mutable pointers
    lease        one holder at a time, over every machine that opens the workspace
    compare_and_swap  a record in an object store that several machines change
    checksums    SHA-256 of files and records: how damage is seen
    scrub        reads every artifact again, for damage that no use of it has met
    retention    what nothing needs any more: what housekeeping deletes
    product      the product schema: column names and types of a catalog snapshot
    columns      how a setting names a column or a custom attribute
    snapshot     reader of a catalog snapshot
    image_store  reader and writer of image shards
    normalise    one image: source bytes in, a checked and normalised image out
    decoding     the same in worker processes, with memory and time limits
    embeddings   reader and writer of embedding shards and of the sets made of them
    splits       reader and writer of the split of a snapshot's products
    pairs        reader of files of judged pairs
    judgements   the judgements people gave on the page, exported as such a file
    evaluations  the evaluations of encoders

Does not know: any stage, torch, or what an artifact is for.
"""

from recsys.config import Config
from recsys.workspace.store import Draft, Manifest, Workspace, content_id

__all__ = ["Draft", "Manifest", "Workspace", "content_id", "open_workspace"]


def open_workspace(config: Config) -> Workspace:
    """Open the workspace that the configuration names; raises :class:`~recsys.errors.ConfigError`."""
    cache = config.workspace.cache
    return Workspace(
        config.resolve(config.workspace.root),
        cache=config.resolve(cache) if cache else None,
        lease_s=config.workspace.lease_s,
    )
