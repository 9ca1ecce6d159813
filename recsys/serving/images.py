"""Thumbnails of what is live, and of the collections that can still be searched."""

from recsys.errors import ArtifactError
from recsys.search.live_index import LiveIndex
from recsys.search.thumbnails import Thumbnails
from recsys.workspace import Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot


class LiveImages:
    """Finds images by the sha256 of their source. Safe to share between threads."""

    def __init__(self, workspace: Workspace, live: LiveIndex, *, cache_bytes: int) -> None:
        self._workspace, self._live = workspace, live
        self._thumbnails = Thumbnails(cache_bytes)
        self._kept: dict[str, ImageStore] = {}

    def get(self, sha256: str, width: int) -> bytes | None:
        """Return an image as a JPEG at most ``width`` wide and high; ``None`` where there is none.

        Raises :class:`~recsys.errors.InputError` for a width that is not offered.
        """
        view = self._live.view()
        found = self._thumbnails.get(view.image_store, sha256, width)
        if found is not None:
            return found
        others = {c.metadata.snapshot for c in self._live.kept()} - {view.snapshot_ref}
        self._kept = {ref: store for ref, store in self._kept.items() if ref in others}
        for ref in sorted(others):
            store = self._store(ref)
            found = self._thumbnails.get(store, sha256, width) if store else None
            if found is not None:
                return found
        return None

    def _store(self, ref: str) -> ImageStore | None:
        if ref not in self._kept:
            try:
                self._kept[ref] = Snapshot.open(self._workspace, ref).images()
            except ArtifactError:  # collected: the collection can be asked all the same
                return None
        return self._kept[ref]
