"""Thumbnails: stored images at the widths that the page asks for, the last ones kept in memory."""

import threading
from collections import OrderedDict

import cv2
import simplejpeg

from recsys.errors import InputError
from recsys.workspace.image_store import ImageStore

WIDTHS = (96, 160, 320, 640)
_QUALITY = 84


class Thumbnails:
    """Makes and keeps thumbnails. Safe to share between threads."""

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, store: ImageStore, sha256: str, width: int) -> bytes | None:
        """Return a JPEG at most ``width`` pixels wide and high; ``None`` where ``store`` lacks the image.

        ``sha256`` is 64 hex digits. Raises :class:`InputError` for a width that is not in :data:`WIDTHS`.
        """
        if width not in WIDTHS:
            offered = ", ".join(map(str, WIDTHS))
            raise InputError(f"Images are not offered {width} wide.", fix=f"Ask for one of {offered}.")
        key, source = (sha256, width), bytes.fromhex(sha256)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        if source not in store:
            return None
        jpeg = shrink(store.jpeg(source), width)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = jpeg
                self._size += len(jpeg)
            while self._size > self._cache_bytes:
                self._size -= len(self._cache.popitem(last=False)[1])
        return jpeg


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
