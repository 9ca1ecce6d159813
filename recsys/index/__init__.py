"""The vector index: Qdrant Edge in process, or a Qdrant server.

    run         publish: build or change a collection, audit it, switch the alias, drop old collections
    source      what is published: a snapshot's rows with their vectors
    diff        what differs from what is published
    audit       proof that a collection is what it should be
    rollback    go back to a kept collection, brought up to date, audited and recorded
    repair      the live collection audited, and built anew where it is wrong
    service     what is in service, and what a rollback can reach
    engine      the index, whichever engine it runs on; edge and server are the two engines
    translate   our filters and queries as Qdrant's models
    points      point ids and payloads, as docs/index-contract.md promises them

Does not know: how vectors are made.
"""

from recsys.index.base import Metadata
from recsys.index.engine import Collection, VectorIndex, open_index
from recsys.index.points import point_id
from recsys.index.service import live_encoder, status

__all__ = [
    "Collection", "Metadata", "VectorIndex", "live_encoder", "open_index", "point_id", "status",
]  # fmt: skip
