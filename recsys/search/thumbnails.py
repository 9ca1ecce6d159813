"""Thumbnails: the stored images at the few widths that the page asks for, the last ones kept ready.

Does not know: HTTP.
"""

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
        self._room = cache_bytes
        self._kept: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._size = 0
        self._changing = threading.Lock()

    def get(self, store: ImageStore, sha256: str, width: int) -> bytes | None:
        """Return a JPEG at most ``width`` pixels wide and high; ``None`` where there is no such image.

        Raises :class:`InputError` for a width that is not offered or something that is no sha256.
        """
        if width not in WIDTHS:
            offered = ", ".join(map(str, WIDTHS))
            raise InputError(f"Images are not offered {width} wide.", fix=f"Ask for one of {offered}.")
        try:
            key = (bytes.fromhex(sha256), width)
        except ValueError:
            key = (b"", width)
        if len(key[0]) != 32:
            raise InputError(f"{sha256[:80]!r} names no image.", fix="Use the sha256, 64 hex digits.")
        with self._changing:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if key[0] not in store:
            return None
        jpeg = shrink(store.jpeg(key[0]), width)
        with self._changing:
            if key not in self._kept:
                self._kept[key] = jpeg
                self._size += len(jpeg)
            while self._size > self._room and self._kept:
                self._size -= len(self._kept.popitem(last=False)[1])
        return jpeg


def shrink(jpeg: bytes, side: int) -> bytes:
    """Return the image with its longest side at most ``side`` pixels; as it is where it is no larger."""
    height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return jpeg
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = simplejpeg.decode_jpeg(jpeg, "RGB", min_height=size[1], min_width=size[0])
    smaller = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    encoded: bytes = simplejpeg.encode_jpeg(smaller, _QUALITY, "RGB", "420")
    return encoded
