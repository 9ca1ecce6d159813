"""The memory of one publication across kills, and its manifest.

What was live when a publication first began decides its id and is *previous* in its manifest. A run that was
killed after the switch still writes the manifest of what it did, not "nothing changed".
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


@dataclass
class Journal:
    """What a publication did so far."""

    workspace: Workspace
    inputs: dict[str, str]
    key: str
    before: dict[str, Any]
    """The live collection when it began."""
    plan: dict[str, Any] | None = None
    """What a change set out to do: on a server a change shows half-made, so a second look finds less."""
    result: dict[str, Any] | None = None
    """``Manifest.info``, written just before the step that readers see; set if they do see it."""

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
        journal = cls(workspace, inputs, content_id({**inputs, **where}), _summary(live))
        if journal._path.exists():
            saved = json.loads(journal._path.read_text(encoding="utf-8"))
            finished = saved["done"] is not None and _shows(live, saved["done"])
            if finished or saved["before"] == journal.before:
                journal.before, journal.plan = saved["before"], saved["plan"]
                journal.result = saved["done"] if finished else None
        journal._write()
        return journal

    def record_plan(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Record what a change is about to do, and return it; a resumed change keeps its first plan."""
        self.plan = self.plan or plan
        self._write()
        return self.plan

    def record_result(self, info: dict[str, Any]) -> None:
        """Record what will have been done once the next step is: switching, or committing a change."""
        self.result = info
        self._write()

    def commit(self, info: dict[str, Any]) -> Manifest:
        """Write the manifest of the finished publication and delete the journal."""
        id = content_id({"key": self.key, "before": self.before, "action": info["action"]})
        manifest = self.workspace.find(KIND, id)
        if manifest is None:
            with self.workspace.create(KIND, id, inputs=self.inputs) as draft:
                draft.info.update(info)
            manifest = draft.committed()
        self.workspace.drop_scratch(KIND, self.key)
        return manifest

    @property
    def _path(self) -> Path:
        return self.workspace.scratch(KIND, self.key) / "journal.json"

    def _write(self) -> None:
        state = {"before": self.before, "plan": self.plan, "done": self.result}
        write_atomic(self._path, json.dumps(state, indent=1))


def _summary(live: CollectionInfo | None) -> dict[str, Any]:
    if live is None:
        return {"collection": None}
    values = live.metadata.to_json()
    kept = ("encoder", "snapshot", "embedding_set", "published_at")
    return {"collection": live.name} | {name: values[name] for name in kept}


def _shows(live: CollectionInfo | None, result: dict[str, Any]) -> bool:
    """Tell whether readers see the recorded result."""
    if live is None or live.metadata.pending:
        return False
    seen = (live.name, live.metadata.snapshot, live.metadata.encoder)
    return seen == (result["collection"], result["snapshot"], result["encoder"])
