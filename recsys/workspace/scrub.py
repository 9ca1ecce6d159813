"""Reads a workspace again from end to end, for the damage that no use of it has met."""

import os
import time
from dataclasses import dataclass, field
from datetime import datetime

from recsys.errors import DamagedError
from recsys.workspace import checksums
from recsys.workspace.store import Manifest, Workspace


@dataclass(kw_only=True)
class Scrub:
    """What was read, and what is damaged."""

    num_read: int = 0
    """Artifacts."""
    size_bytes: int = 0
    """Of their files."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Ref → what is wrong with it."""


def scrub(workspace: Workspace, *, older_than_s: float = 0.0) -> Scrub:
    """Read every artifact that was not made and not scrubbed within the last ``older_than_s`` seconds.

    Every manifest is looked at. Files are read where they are kept, on an object store too. Memory is one
    block.
    """
    found = Scrub()
    for ref in workspace.refs():
        try:
            manifest = workspace.find_ref(ref)
        except DamagedError as error:
            found.damaged[ref] = error.message
            continue
        marker = workspace.state(f"scrubbed/{ref}")
        if manifest is None:
            continue
        last = marker.stat().st_mtime if marker.exists() else _created_at_s(manifest)
        if time.time() - last < older_than_s:
            continue
        found.num_read += 1
        found.size_bytes += sum(manifest.files.values())
        damage = _damage(workspace, manifest)
        marker.touch()
        if damage is not None:
            os.utime(marker, (0, 0))  # read again by the next scrub, however soon: until it is removed
            found.damaged[ref] = f"{ref} is damaged: {damage}."
    return found


def _created_at_s(manifest: Manifest) -> float:
    return datetime.fromisoformat(manifest.created_at).timestamp()


def _damage(workspace: Workspace, manifest: Manifest) -> str | None:
    for name, size in manifest.files.items():
        try:
            with workspace.open(manifest, name) as file:
                digest = checksums.sha256_of(file)
                num_bytes = file.tell()
        except FileNotFoundError:
            return f"{name} is missing"
        if found := checksums.mismatch(name, num_bytes, digest, size, manifest.checksums[name]):
            return found
    return None
