"""Retention: what a workspace holds that nothing needs any more.

An artifact stays if it is young or was used lately, is one of the roots (what is in service, what a pointer
names), is needed by one that stays, or was made only from what stays: a stage that looks for its finished
work by its inputs finds it. Reports need nothing, and stay for a time of their own.

An artifact needs every other that its inputs or its ``info`` name, but for those it only comes from
(:data:`_ORIGINS`).
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from graphlib import TopologicalSorter
from itertools import chain
from typing import Any

from recsys.workspace.store import Manifest, Workspace

logger = logging.getLogger(__name__)

_ORIGINS = {
    "encoders": {"initial"}, "evaluations": {"previous"}, "embeddings": {"snapshot"}, "splits": {"snapshot"}
}  # fmt: skip
"""Kind → inputs that no stage reads again."""
_REPORTS = "reports"
_WORKING, _AUTOCOMPLETE = (".tmp/*", "scratch/*/*"), "state/autocomplete/*"


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """An artifact, a run's record, or working files that may go."""

    path: str
    """In the workspace, such as ``snapshots/<id>`` or ``.tmp/<name>``."""
    size_bytes: int
    manifest: Manifest | None = None
    """Of an artifact."""

    @property
    def kind(self) -> str:
        """The kind of the artifact, or the folder."""
        return self.path.partition("/")[0]


def find_garbage(
    workspace: Workspace, roots: Iterable[str], *, since: datetime, reports_since: datetime
) -> list[Garbage]:
    """Return what was not used ``since`` and may go, each artifact before those that it needs.

    Raises :class:`~recsys.errors.DamagedError` for a manifest that cannot be read: its needs are unknown.
    """
    found = {ref: workspace.find_ref(ref) for ref in workspace.refs()}
    manifests = {ref: manifest for ref, manifest in found.items() if manifest is not None}
    needs = {ref: _needs(manifest) & manifests.keys() for ref, manifest in manifests.items()}
    kept = {
        ref
        for ref, manifest in manifests.items()
        if workspace.last_used(manifest) >= (reports_since if manifest.kind == _REPORTS else since)
    }
    kept = _closure(manifests, needs, kept | (set(roots) & manifests.keys()))
    gone = sorted(manifests.keys() - kept)
    needed_first = TopologicalSorter({ref: needs[ref].difference(kept) for ref in gone}).static_order()
    garbage = [
        Garbage(path=ref, size_bytes=sum(manifests[ref].files.values()), manifest=manifests[ref])
        for ref in reversed([*needed_first])
    ]
    files = [path for pattern in _WORKING for path in workspace.local.glob(pattern)]
    snapshots = {ref.partition("/")[2] for ref in kept}
    files += [p for p in workspace.local.glob(_AUTOCOMPLETE) if p.name.partition(".")[0] not in snapshots]
    others = [
        *chain.from_iterable(workspace.leftovers(ref, manifest) for ref, manifest in found.items()),
        *sorted(str(path.relative_to(workspace.local)) for path in files),
        *(f"pointers/{name}.json" for name in workspace.pointers() if name.startswith("runs/")),
    ]
    for path in others:
        size_bytes, changed_at = workspace.usage(path)
        if changed_at is not None and changed_at < since:
            garbage.append(Garbage(path=path, size_bytes=size_bytes))
    return garbage


def delete_garbage(
    workspace: Workspace,
    garbage: Iterable[Garbage],
    *,
    since: datetime,
    fence: Callable[[], None] = lambda: None,
) -> list[Garbage]:
    """Delete what :func:`find_garbage` found, and return what was deleted.

    It ends at an artifact that came into use meanwhile: what that needs, which comes later, stays too. Before
    each deletion ``fence`` raises where this may delete no more.
    """
    deleted = []
    for item in garbage:
        if item.manifest is not None and workspace.last_used(item.manifest) >= since:
            logger.warning("%s came into use: the rest is left for the next time", item.path)
            break
        fence()
        if item.manifest is None:
            workspace.remove(item.path)
        else:
            workspace.delete(item.manifest)
        deleted.append(item)
    return deleted


def refs_in(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value, keys included: all refs are among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        yield from chain.from_iterable(map(refs_in, value))


def _needs(manifest: Manifest) -> set[str]:
    if manifest.kind == _REPORTS:
        return set()
    origins = _ORIGINS.get(manifest.kind, set())
    parts = [*manifest.inputs.items(), *manifest.info.items()]
    return {ref for role, value in parts if role not in origins for ref in refs_in(value)}


def _closure(manifests: Mapping[str, Manifest], needs: Mapping[str, set[str]], kept: set[str]) -> set[str]:
    """Return what is ``kept``, what that needs, and what was made only from it; reports are not followed."""
    while True:
        more = set(chain.from_iterable(needs[ref] for ref in kept))
        for ref, manifest in manifests.items():
            inputs = set(manifest.inputs.values())
            if inputs and inputs <= kept and manifest.kind != _REPORTS:
                more.add(ref)
        if more <= kept:
            return kept
        kept = kept | more
