"""Nights that trained, made by hand: snapshots, splits, a challenger, an evaluation, vectors. No torch."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.config import Config
from recsys.training.settings import settings_of
from recsys.workspace import Manifest, Workspace
from recsys.workspace.checksums import SEAL, seal
from recsys.workspace.embeddings import (
    SET_FILE,
    SET_KIND,
    SET_SCHEMA,
    SHARD_FILE,
    SHARD_KIND,
    ShardWriter,
    Vectors,
)
from recsys.workspace.judgements import commit
from recsys.workspace.splits import FILE, SCHEMA, write_splits
from tests.training.shop import store

CHAMPION = "encoders/champion"
DIM = 8
Row = dict[str, Any]


def products(count: int) -> list[Row]:
    """Rows of products with words alone."""
    return [
        {
            "id": f"P{number:04d}",
            "title": f"thing {number}",
            "product_type": "red",
            "item_group_id": f"G{number}",
            "price": 5.0,
            "attributes": [],
            "images": [],
            "content_hash": number.to_bytes(16),
            "payload_hash": bytes(16),
        }
        for number in range(count)
    ]


def changed(row: Row, **values: Any) -> Row:
    """The row with other values, and the hash of content that those give."""
    return row | values | {"content_hash": repr(values).encode()[:16].ljust(16)}


def judgements(workspace: Workspace, pairs: Mapping[tuple[str, str], str]) -> str:
    """Export judgements, pair → label; return the artifact's ref."""
    rows = [
        {
            "left_id": left,
            "right_id": right,
            "label": label,
            "weight": 1.0,
            "num_judges": 1,
            "updated_at": datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        }
        for (left, right), label in pairs.items()
    ]
    return commit(workspace, rows, {}).ref


class Nights:
    """One workspace in which a first night trained on ``rows`` and left :data:`CHAMPION` in service."""

    def __init__(
        self,
        workspace: Workspace,
        config: Config,
        rows: Sequence[Row],
        *,
        roles: Callable[[int], str] = lambda number: "train",
        judged: str | None = None,
    ) -> None:
        self.workspace, self.config = workspace, config
        self.snapshot = store(workspace, [(row, []) for row in rows], "first")
        with workspace.create("splits", "first") as draft:
            ids = [row["id"] for row in rows]
            split = [roles(number) for number in range(len(rows))]
            write_splits(draft.path / FILE, pa.table({"id": ids, "component": ids, "split": split}, SCHEMA))
        splits = draft.committed().ref
        self.challenger = self.train("first", splits, judged)
        with workspace.create("encoders", "champion") as draft:
            (draft.path / "weights").write_text("champion")
        self.evaluation = self.evaluate("first", self.challenger)

    def train(self, name: str, splits: str, judged: str | None = None) -> str:
        """Commit a challenger; return its ref."""
        inputs = {"snapshot": self.snapshot, "splits": splits}
        inputs |= {"judgements": judged} if judged else {}
        with self.workspace.create("encoders", f"challenger-{name}", inputs=inputs) as draft:
            draft.info |= {"settings": settings_of(self.config)}
        return draft.committed().ref

    def evaluate(self, name: str, challenger: str, chosen: str = CHAMPION) -> str:
        """Commit an evaluation; return its ref."""
        inputs = {"challenger": challenger, "snapshot": self.snapshot}
        with self.workspace.create("evaluations", name, inputs=inputs) as draft:
            draft.info |= {"chosen": chosen}
        return draft.committed().ref

    def embed(self, vectors: Mapping[str, Any], name: str = "set", encoder: str = CHAMPION) -> str:
        """Commit product id → vector ``[DIM]`` as an embedding set; return its ref."""
        ids = sorted(vectors)
        values = np.array([vectors[id] for id in ids], np.float32)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        keys, there = [id.encode().ljust(16) for id in ids], np.ones(len(ids), np.bool_)
        with self.workspace.create(SHARD_KIND, name, inputs={"encoder": encoder}) as shard:
            writer = ShardWriter(shard.path / SHARD_FILE, DIM)
            writer.write(keys, Vectors(values, values, there, there))
            writer.close()
        with self.workspace.create(SET_KIND, name, inputs={"encoder": encoder}) as draft:
            table = pa.table(
                {"id": ids, "key": keys, "shard": [0] * len(ids), "row": range(len(ids))}, SET_SCHEMA
            )
            with (
                pa.OSFile(str(draft.path / SET_FILE), "wb") as file,
                pa.ipc.new_file(file, SET_SCHEMA) as out,
            ):
                out.write_table(table)
            draft.info |= {"shards": [shard.committed().ref], "dim": DIM}
        return draft.committed().ref


def redate(workspace: Workspace, ref: str, days: float) -> Manifest:
    """Move the time at which an artifact was made; return its manifest."""
    path = Path(workspace.root) / ref / "manifest.json"
    record = json.loads(path.read_text())
    at = datetime.fromisoformat(record["created_at"]) + timedelta(days=days)
    path.write_text(seal({k: v for k, v in record.items() if k != SEAL} | {"created_at": at.isoformat()}))
    return workspace.get(ref)
