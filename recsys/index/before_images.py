"""Products as they were before a change of a collection on a server: what puts them back.

    <folder>/change.json      the metadata as it was, and what the change recorded as pending; written first
    <folder>/000001.arrow     the products that one request writes to, as they were; on disk before it is sent

A change that was killed is found by its folder. Whatever else happened to the collection since shows in its
metadata, and then the folder is of no use.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys.index.base import Metadata, Payload, StoredPoint
from recsys.workspace.checksums import RecordError, seal, unseal
from recsys.workspace.store import fsync, write_atomic

_CHANGE = "change.json"
_SCHEMA = pa.schema(
    [("point", pa.string()), ("payload", pa.string()), ("vector", pa.list_(pa.float32()))]
)  # without a payload the product was not there; without a vector only its payload was to be written


@dataclass
class BeforeImages:
    """The before-images of one change."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path, before: Metadata, *, pending: str) -> "BeforeImages":
        """Begin a change of a collection whose metadata is ``before``; what the folder held is deleted."""
        images = cls(folder)
        images.drop()
        write_atomic(folder / _CHANGE, seal({"before": before.to_json(), "pending": pending}))
        return images

    def before(self, current: Metadata) -> Metadata | None:
        """Return the metadata from before the change, ``None`` if ``current`` is not what it left."""
        try:
            change = unseal((self.folder / _CHANGE).read_bytes())
        except (FileNotFoundError, RecordError):
            return None
        before = replace(
            Metadata.from_json(change["before"]),
            published_at=current.published_at,
            sequence=current.sequence,
        )
        return before if current == replace(before, pending=change["pending"]) else None

    def save(self, points: Sequence[str], stored: Sequence[StoredPoint | None]) -> None:
        """Keep products under their point ids, ``None`` for one that is not there; durable on return."""
        rows = {
            "point": points,
            "payload": [None if s is None else json.dumps(s.payload) for s in stored],
            "vector": [None if s is None else s.vector for s in stored],
        }
        path = self.folder / f"{len(self._files()) + 1:06d}.arrow"
        partial = path.with_suffix(".partial")
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as out:
            out.write_table(pa.table(rows, schema=_SCHEMA))
        fsync(partial)
        partial.replace(path)
        fsync(self.folder)

    def newest_first(self) -> Iterator[list[tuple[str, StoredPoint | None]]]:
        """Yield what was saved, the last request's first, each product with its point id."""
        for path in reversed(self._files()):
            with pa.memory_map(str(path)) as file:
                columns = pa.ipc.open_file(file).read_all().to_pydict()
            stored = map(_stored, columns["payload"], columns["vector"])
            yield list(zip(columns["point"], stored, strict=True))

    def drop(self) -> None:
        """Delete them: the change is whole, or was put back."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.arrow"))


def _stored(payload: str | None, vector: list[float] | None) -> StoredPoint | None:
    if payload is None:
        return None
    values: Payload = json.loads(payload)
    return StoredPoint(values["id"], values, None if vector is None else np.array(vector, np.float32))
