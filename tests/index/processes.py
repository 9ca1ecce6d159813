"""What the index's tests run in processes of their own: a publisher to kill, readers that watch."""

import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from recsys.config import Config, IndexConfig
from recsys.index import Collection, open_index, rollback
from recsys.index.edge_files import NoSpaceError
from recsys.index.run import run
from recsys.workspace import Workspace
from tests.index.catalogs import products, publish_inputs, similar


def publish(
    results: Connection, root: str, settings: dict[str, object], snapshot: str, embeddings: str
) -> None:
    """Publish; send the manifest's ref."""
    results.send("ready")
    results.send(run(_config(settings), Workspace(root), snapshot, embeddings).ref)


def publish_nights(results: Connection, root: str) -> None:
    """Publish a catalog, a change of it and another encoder, a reader following; send what came of each."""
    results.send("ready")
    config, workspace = _config({}), Workspace(root)
    reader = open_index(config, workspace)
    outcomes = []
    for encoder, count in (("e1", 50), ("e1", 51), ("e2", 51)):
        refs = publish_inputs(workspace, products(count), encoder=encoder)
        try:
            outcomes.append(run(config, workspace, *refs).info["action"])
            assert reader.open().count() <= count
        except NoSpaceError:
            outcomes.append("no space")
    results.send(outcomes)


def roll_back(results: Connection, root: str, settings: dict[str, object], snapshot: str) -> None:
    """Roll back; send the manifest's ref."""
    results.send("ready")
    results.send(rollback.run(_config(settings), Workspace(root), snapshot_ref=snapshot).ref)


def watch(results: Connection, root: str, settings: dict[str, object], stop: str) -> None:
    """Read everything again and again until the file ``stop`` is there; send each state seen."""
    index = open_index(_config(settings), Workspace(root))
    results.send("ready")
    seen: list[dict[str, Any]] = []
    stopping = False
    while not stopping:
        stopping = Path(stop).exists()  # looked at first: one more look follows
        state = _look(index.open())
        seen += [state] if seen[-1:] != [state] else []
        time.sleep(0.001)
    results.send(seen)


def _look(collection: Collection) -> dict[str, Any]:
    records = list(collection.records(["title"]))
    neighbours = similar(collection, records[0].id, limit=5)
    return {
        "titles": dict(Counter(r.payload["title"] for r in records)),
        "snapshot": collection.metadata.snapshot,
        "encoder": collection.metadata.encoder,
        "neighbour_titles": [n.payload["title"] for n in neighbours],
    }


def _config(settings: dict[str, object]) -> Config:
    return Config(index=IndexConfig.model_validate(settings))
