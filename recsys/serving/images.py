"""Thumbnails of what is live, and of the collections that can still be searched."""

import contextlib
from functools import lru_cache

from recsys.errors import ArtifactError
from recsys.search.live_index import LiveIndex
from recsys.search.thumbnails import Thumbnails
from recsys.workspace import Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot

_KEPT_STORES = 4


class LiveImages:
    """Finds images by the sha256 of their source. Safe to share between threads."""

    def __init__(self, workspace: Workspace, live: LiveIndex, *, cache_bytes: int) -> None:
        self._workspace, self._live = workspace, live
        self._thumbnails = Thumbnails(cache_bytes)
        self._store = lru_cache(_KEPT_STORES)(self._open_store)

    def get(self, sha256: str, width: int) -> bytes | None:
        """Return an image as a JPEG at most ``width`` wide and high; ``None`` where there is none.

        Raises :class:`~recsys.errors.InputError` for a width that is not offered.
        """
        view = self._live.view()
        found = self._thumbnails.get(view.image_store, sha256, width)
        if found is not None:
            return found
        for ref in sorted({c.metadata.snapshot for c in self._live.kept()} - {view.snapshot_ref}):
            with contextlib.suppress(ArtifactError):  # the snapshot was deleted, its collection was not
                found = self._thumbnails.get(self._store(ref), sha256, width)
                if found is not None:
                    return found
        return None

    def _open_store(self, ref: str) -> ImageStore:
        return Snapshot.open(self._workspace, ref).images()
