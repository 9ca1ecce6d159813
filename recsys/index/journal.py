"""The memory of one publication across kills, and its manifest.

What was live when a publication first began decides its id and is what its record calls *previous*;
a run that was killed after the switch still writes the record of what it did, not "nothing changed".

Does not know: how anything is published.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.index.base import CollectionInfo
from recsys.index.source import Source
from recsys.workspace import Manifest, Workspace, content_id
from recsys.workspace.store import write_atomic

KIND = "publications"
CODE_VERSION = 1
_FILE = "journal.json"


@dataclass
class Journal:
    """What a publication did so far."""

    workspace: Workspace
    inputs: dict[str, str]
    key: str
    before: dict[str, Any]
    """What was live when it began."""
    plan: dict[str, Any] | None = None
    """What a change set out to do; a change of a server shows half-made, so a second look finds less."""
    done: dict[str, Any] | None = None
    """``Manifest.info``, written down just before the step that readers see: once they see it, it is true."""

    @classmethod
    def open(
        cls, config: Config, workspace: Workspace, source: Source, live: CollectionInfo | None
    ) -> "Journal":
        """Continue the publication of ``source`` that was interrupted, or begin one."""
        inputs = {
            "snapshot": source.snapshot_ref,
            "embeddings": source.embedding_set_ref,
            "encoder": source.encoder_ref,
        }
        where = {"alias": config.index.alias, "url": config.index.url, "code": CODE_VERSION}
        key = content_id({**inputs, **where})
        now = _describe(live)
        journal = cls(workspace, inputs, key, now)
        if journal._path.exists():
            saved = json.loads(journal._path.read_text(encoding="utf-8"))
            arrived = saved["done"] is not None and _arrived(live, saved["done"])
            if arrived or saved["before"] == now:
                journal.before = saved["before"]
                journal.plan = saved["plan"]
                journal.done = saved["done"] if arrived else None
        journal._write()
        return journal

    @property
    def _path(self) -> Path:
        return self.workspace.scratch(KIND, self.key) / _FILE

    def intend(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Record what a change is about to do, and return it; an interrupted change keeps its first plan."""
        if self.plan is None:
            self.plan = plan
            self._write()
        return self.plan

    def promise(self, info: dict[str, Any]) -> None:
        """Record what will have been done once the next step is: switching, or committing a change."""
        self.done = info
        self._write()

    def commit(self, info: dict[str, Any]) -> Manifest:
        """Write the manifest of the finished publication and forget the journal."""
        id = content_id({"key": self.key, "before": self.before, "action": info["action"]})
        manifest = self.workspace.find(KIND, id)
        if manifest is None:
            with self.workspace.create(KIND, id, inputs=self.inputs) as draft:
                draft.info.update(info)
            manifest = draft.committed()
        self.workspace.drop_scratch(KIND, self.key)
        return manifest

    def _write(self) -> None:
        state = {"before": self.before, "plan": self.plan, "done": self.done}
        write_atomic(self._path, json.dumps(state, indent=1))


def _describe(live: CollectionInfo | None) -> dict[str, Any]:
    if live is None:
        return {"collection": None}
    metadata = live.metadata
    return {
        "collection": live.name,
        "encoder": metadata.encoder,
        "snapshot": metadata.snapshot,
        "embedding_set": metadata.embedding_set,
        "published_at": metadata.published_at,
    }


def _arrived(live: CollectionInfo | None, done: dict[str, Any]) -> bool:
    """Tell whether readers see what was promised."""
    if live is None or live.metadata.pending:
        return False
    seen = (live.name, live.metadata.snapshot, live.metadata.encoder)
    return seen == (done["collection"], done["snapshot"], done["encoder"])
