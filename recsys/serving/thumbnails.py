"""Thumbnails of what is live, and of the collections that can still be searched."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache

import cv2
import simplejpeg

from recsys.errors import ArtifactError, InputError
from recsys.search.live_index import LiveIndex
from recsys.workspace import Workspace
from recsys.workspace.image_store import ImageStore
from recsys.workspace.snapshot import Snapshot

WIDTHS = (96, 160, 320, 640)
_QUALITY = 84
_KEPT_STORES = 4


class Thumbnails:
    """Stored images at the widths that the page asks for, the last ones kept in memory. Thread-safe."""

    def __init__(self, workspace: Workspace, live: LiveIndex, *, cache_bytes: int) -> None:
        self._live, self._cache_bytes = live, cache_bytes
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._images_of = lru_cache(_KEPT_STORES)(lambda ref: Snapshot.open(workspace, ref).images())

    def get(self, sha256: str, width: int) -> bytes | None:
        """Return a JPEG at most ``width`` pixels wide and high; ``None`` where there is no such image.

        ``sha256``, of the source bytes, is 64 hex digits. Raises :class:`InputError` for a width that is not
        in :data:`WIDTHS`.
        """
        if width not in WIDTHS:
            offered = ", ".join(map(str, WIDTHS))
            raise InputError(f"Images are not offered {width} wide.", fix=f"Ask for one of {offered}.")
        key, source = (sha256, width), bytes.fromhex(sha256)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        store = next((store for store in self._stores() if source in store), None)
        if store is None:
            return None
        jpeg = shrink(store.jpeg(source), width)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = jpeg
                self._size += len(jpeg)
            while self._size > self._cache_bytes:
                self._size -= len(self._cache.popitem(last=False)[1])
        return jpeg

    def _stores(self) -> Iterator[ImageStore]:
        view = self._live.view()
        yield view.image_store
        for ref in sorted({c.metadata.snapshot for c in self._live.kept()} - {view.snapshot_ref}):
            with contextlib.suppress(ArtifactError):  # the snapshot was deleted, its collection was not
                yield self._images_of(ref)


def shrink(jpeg: bytes, side: int) -> bytes:
    """Return the image with its longest side at most ``side`` pixels; unchanged if it is no larger."""
    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return jpeg
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = simplejpeg.decode_jpeg(jpeg, "RGB", min_height=size[1], min_width=size[0])
    smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    encoded: bytes = simplejpeg.encode_jpeg(smaller, _QUALITY, "RGB", "420")
    return encoded
