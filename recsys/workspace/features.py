"""What frozen towers say of images and texts: computed once, and shared by every stage and every night.

An artifact of kind ``features`` holds some features of one tower; its id begins with the tower's digest, so
that no other tower's are read.

    keys.npy      [N] S32, ascending: sha256 of an image's source, or of a text
    features.npy  [N, F] float32, or float16 where they are maps of an image tower's early stages

    N = images or texts, F = values per image or text
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.workspace.arrays import write_array
from recsys.workspace.store import Manifest, Workspace

Features = NDArray[np.floating[Any]]

KIND = "features"
KEYS_FILE, FEATURES_FILE = "keys.npy", "features.npy"
_ROWS, _BYTES = 8192, 128 << 20


class _Part(NamedTuple):
    keys: NDArray[np.bytes_]
    features: Features  # memory-mapped


class FeatureStore:
    """Features by tower and key; for one thread.

    What is added is written at 8,192 rows or 128 MB, and by ``flush``.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._parts: dict[str, list[_Part]] = {}
        self._new: dict[str, dict[bytes, Features]] = {}

    def keep(self, tower: str) -> None:
        """Take the features of ``tower`` from now on."""
        self._open(tower)
        self._new.setdefault(tower, {})

    def __contains__(self, tower: str) -> bool:
        """Return whether features of ``tower`` are kept."""
        return bool(self._open(tower)) or tower in self._new

    def find(self, tower: str, keys: Iterable[bytes]) -> dict[bytes, Features]:
        """Return key → features ``[F]`` of those of ``keys`` (32 bytes each) that are here."""
        wanted = list(keys)
        new = self._new.get(tower, {})
        found = {key: new[key] for key in wanted if key in new}
        searched = np.array(wanted, "S32")
        for part in self._open(tower) if wanted else ():
            at = np.minimum(np.searchsorted(part.keys, searched), len(part.keys) - 1)
            hits = np.flatnonzero(part.keys[at] == searched)
            rows = part.features[at[hits]]
            found |= {wanted[hit]: row for hit, row in zip(hits.tolist(), rows, strict=True)}
        return found

    def add(self, tower: str, features: Mapping[bytes, Features]) -> None:
        """Keep key → features ``[F]`` of a tower that is in here; raises :class:`KeyError` for another."""
        if tower not in self:
            raise KeyError(f"features of the tower {tower} are not kept; call keep first")
        new = self._new.setdefault(tower, {})
        new.update(features)
        size_bytes = len(new) * max((one.nbytes for one in features.values()), default=0)
        if len(new) >= _ROWS or size_bytes >= _BYTES:
            self._write(tower)

    def flush(self) -> None:
        """Write what was added."""
        for tower in self._new:
            self._write(tower)

    def _open(self, tower: str) -> list[_Part]:
        if tower not in self._parts:
            found = self._workspace.list_intact(KIND, prefix=f"{tower}-")
            self._parts[tower] = [self._read(manifest) for manifest in found]
        return self._parts[tower]

    def _read(self, manifest: Manifest) -> _Part:
        folder = self._workspace.path(manifest)
        return _Part(np.load(folder / KEYS_FILE), np.load(folder / FEATURES_FILE, mmap_mode="r"))

    def _write(self, tower: str) -> None:
        new = dict(sorted(self._new[tower].items()))
        if not new:
            return
        id = f"{tower}-{hashlib.sha256(b''.join(new)).hexdigest()[:16]}"
        manifest = self._workspace.find_intact(KIND, id)
        if manifest is None:
            with self._workspace.create(KIND, id) as draft:
                write_array(draft.path / KEYS_FILE, np.array(list(new), "S32"))
                write_array(draft.path / FEATURES_FILE, np.stack(list(new.values())))
                draft.info = {"rows": len(new)}
            manifest = draft.committed()
        self._open(tower).append(self._read(manifest))
        self._new[tower] = {}
