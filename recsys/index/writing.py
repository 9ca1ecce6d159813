"""What is written into a collection: all of a source, or what changed; and what it then says of itself.

Does not know: when anything is written, audited or switched to.
"""

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

from recsys.index.base import SCHEMA_VERSION, Metadata, Point, Writer
from recsys.index.diff import Changes
from recsys.index.service import now
from recsys.index.source import Source
from recsys.progress import track

logger = logging.getLogger(__name__)


def fill(writer: Writer, source: Source, *, batch_size: int) -> int:
    """Write every product that a build does not have yet; return how many that were."""
    points: Iterable[Point] = source.points()
    resumed = writer.count()
    if resumed:
        logger.info("%s: resuming a build of which %d products are there", writer.name, resumed)
        points = _absent(writer, points, batch_size)
    return writer.upsert(track(points, total=len(source), label="publish", unit="products"))


def apply(writer: Writer, source: Source, changes: Changes) -> None:
    """Write what changed: vectors first, deletions last."""
    points = source.points(changes.upsert)
    writer.upsert(track(points, total=len(changes.upsert), label="publish", unit="products"))
    writer.set_payloads(source.payloads(changes.payload))
    writer.delete(changes.gone)


def describe(source: Source) -> Metadata:
    """Return what a collection that is to be built from ``source`` says of itself."""
    return Metadata(
        encoder=source.encoder_ref,
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        dim=source.dim,
        created_at=now(),
    )


def brought_to(metadata: Metadata, source: Source) -> Metadata:
    """Return what a collection says of itself once it shows ``source``."""
    return metadata.but(
        snapshot=source.snapshot_ref,
        embedding_set=source.embedding_set_ref,
        schema_version=SCHEMA_VERSION,
        updated_at=now(),
        pending="",
    )


def _absent(writer: Writer, points: Iterable[Point], size: int) -> Iterator[Point]:
    """Yield the points that a resumed build does not have as they should be."""
    iterator = iter(points)
    while batch := list(islice(iterator, size)):
        have = {r.id: r.payload for r in writer.retrieve([p.id for p in batch])}
        yield from (p for p in batch if have.get(p.id) != p.payload)
