"""The vector index behind one seam: Qdrant Edge in process, or a Qdrant server.

    run       publish: build or change, audit, switch, collect
    query     what is similar to this?
    service   what is in service; rollback
    base      the seam; edge and server are its engines
    filters   conditions on payload columns
    points    point ids and payloads, as docs/index-contract.md promises them

Does not know: how vectors are made.
"""

from recsys.index.base import Collection, Metadata, VectorIndex
from recsys.index.engines import open_index
from recsys.index.points import point_id
from recsys.index.query import Neighbour, search, similar
from recsys.index.service import live_encoder, rollback, status

__all__ = [
    "Collection", "Metadata", "Neighbour", "VectorIndex", "live_encoder", "open_index",
    "point_id", "rollback", "search", "similar", "status",
]  # fmt: skip
