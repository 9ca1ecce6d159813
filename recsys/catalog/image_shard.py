"""The image-store shard that an ingest is writing.

Does not know: where pictures come from.
"""

from pathlib import Path

from recsys.catalog.image_state import ImageState
from recsys.workspace import Workspace, content_id
from recsys.workspace import images as image_store
from recsys.workspace.images import ImageShardWriter
from recsys.workspace.pictures import Picture


class ShardInHand:
    """The shard that new pictures go into; begun with the first, committed when full or at the end."""

    def __init__(self, workspace: Workspace, state: ImageState, normalisation_id: str) -> None:
        self._workspace, self._state, self._normalisation = workspace, state, normalisation_id
        self._folder = workspace.scratch("catalog", "shard")
        self._writer: ImageShardWriter | None = None
        self._hashes: list[str] = []
        self._number = 0

    @property
    def num_images(self) -> int:
        """Number of pictures in it so far."""
        return self._writer.num_images if self._writer else 0

    @property
    def _path(self) -> Path:
        return self._folder / image_store.FILE

    def add(self, picture: Picture) -> None:
        """Write one picture and note it as stored."""
        if self._writer is None:
            self._writer, self._hashes = ImageShardWriter(self._path), []
            self._number = self._state.next_shard()
        self._writer.add(
            sha256=picture.sha256,
            phash=picture.phash,
            width=picture.width,
            height=picture.height,
            jpeg=picture.jpeg,
        )
        self._hashes.append(picture.sha256.hex())
        self._state.add(picture.sha256, self._number)

    def commit(self) -> None:
        """Make what was written an artifact; nothing where there is no picture."""
        if self._writer is None:
            return
        num_images = self._writer.num_images
        self._writer.close()
        self._writer = None
        id = content_id({"images": sorted(self._hashes), "normalisation": self._normalisation})
        with self._workspace.create(image_store.KIND, id) as draft:
            self._path.replace(draft.path / image_store.FILE)
            draft.info |= {"num_images": num_images, "normalisation": self._normalisation}
        self._state.name_shard(self._number, draft.committed().ref)

    def drop(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._path.unlink(missing_ok=True)
