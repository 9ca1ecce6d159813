"""One picture: source bytes in, a checked and normalised picture out.

A normalised picture is an upright, opaque sRGB JPEG whose longest side is at most ``max_side``. The
catalog stores it, search and embedding put query pictures through the same function, so that both are
seen alike.

JPEGs are decoded by libjpeg-turbo at M/8 of their size, the smallest that is not under the wanted one,
and resampled (Lanczos) from there: the same picture as a full decode for a third of the work. Everything
else, and every JPEG that libjpeg-turbo complains about, goes through Pillow.

Does not know: where pictures come from or where they are kept.
"""

import hashlib
import io
import re
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from recsys.errors import InputError
from recsys.workspace.phash import perceptual_hash

__all__ = ["Normalisation", "Picture", "PictureError", "check", "decode", "normalise", "pixels"]

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open; other decoders are never reached by bytes from outside."""

VERSION = 1
"""Raise it when the same source would give another picture."""

_ORIENTATION = 0x0112
_UPRIGHT_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAX_PROFILE_BYTES = 4_000_000
_LOST_DATA = re.compile(r"premature end|bad Huffman|invalid|unsupported marker|not a JPEG", re.IGNORECASE)

Pixels = NDArray[np.uint8]


class PictureError(InputError):
    """A picture cannot be used; ``reason`` is its code in ``rejected.parquet``."""

    def __init__(self, reason: str, message: str, *, fix: str = "Replace the picture.") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Bounds of what is accepted, and the size and quality of what comes out."""

    max_side: int = 384
    quality: int = 90
    min_side: int = 16
    max_pixels: int = 50_000_000
    max_bytes: int = 20_000_000

    @property
    def id(self) -> str:
        """Names the pictures this gives: equal ids, equal pictures of equal sources."""
        return f"v{VERSION}-{self.max_side}px-q{self.quality}"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A normalised picture."""

    sha256: bytes
    """Of the source bytes, 32 bytes."""
    phash: int
    """64-bit DCT perceptual hash."""
    width: int
    height: int
    jpeg: bytes


def normalise(source: bytes, settings: Normalisation | None = None) -> Picture:
    """Check and normalise one picture given by its file's bytes.

    A JPEG that already is what we store (upright, sRGB, within bounds) is kept byte for byte. Raises
    :class:`PictureError` with reason ``image_empty``, ``image_oversized``, ``image_too_small``,
    ``image_truncated`` or ``image_unreadable``.
    """
    settings = settings or Normalisation()
    header = _open(source, settings)
    kept = _keepable(source, header, settings)
    array = _decoded(source, header, settings.max_side)
    height, width = array.shape[:2]
    jpeg = source if kept else simplejpeg.encode_jpeg(array, settings.quality, "RGB", "420")
    sha256 = hashlib.sha256(source).digest()
    return Picture(sha256=sha256, phash=perceptual_hash(array), width=width, height=height, jpeg=jpeg)


def check(source: bytes, settings: Normalisation | None = None) -> None:
    """Check bounds by the header alone; raises :class:`PictureError` as :func:`normalise` does."""
    _open(source, settings or Normalisation())


def decode(source: bytes, settings: Normalisation | None = None) -> Pixels:
    """Return the normalised picture as pixels ``[H, W, 3]``, uint8 sRGB, without encoding it.

    Raises :class:`PictureError` as :func:`normalise` does.
    """
    settings = settings or Normalisation()
    return _decoded(source, _open(source, settings), settings.max_side)


def pixels(jpeg: bytes) -> Pixels:
    """Return the pixels ``[H, W, 3]``, uint8 sRGB, of a normalised JPEG from the image store."""
    array: Pixels = simplejpeg.decode_jpeg(jpeg, "RGB")
    return array


def _open(source: bytes, settings: Normalisation) -> ImageFile.ImageFile:
    """Read the header and check every bound before anything is decoded."""
    if not source:
        raise PictureError("image_empty", "The file is empty.")
    if len(source) > settings.max_bytes:
        raise PictureError(
            "image_oversized",
            f"The file has {len(source):,} bytes; at most {settings.max_bytes:,} are accepted.",
            fix="Export a smaller file, or raise catalog.images.max_bytes.",
        )
    try:
        header = Image.open(io.BytesIO(source), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("image_oversized", f"The picture is too large to decode: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise _unreadable(source, error) from None
    width, height = header.size
    if width * height > settings.max_pixels:
        raise PictureError(
            "image_oversized",
            f"The picture is {width} × {height}; at most {settings.max_pixels:,} pixels are accepted.",
            fix="Export a smaller picture, or raise catalog.images.max_pixels.",
        )
    if min(width, height) < settings.min_side:
        raise PictureError(
            "image_too_small",
            f"The picture is {width} × {height}; each side needs at least {settings.min_side} pixels.",
            fix="Give a larger picture, or lower catalog.images.min_side.",
        )
    return header


def _unreadable(source: bytes, error: Exception) -> PictureError:
    """Tell a file that stops early from one that never was a picture."""
    if "truncat" in str(error).lower() or "premature" in str(error).lower():
        return PictureError("image_truncated", f"The picture ends early, after {len(source):,} bytes.")
    start = source[:48].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head")):
        found = "an HTML page"
    elif start.startswith((b"<svg", b"<?xml")):
        found = "SVG or XML"
    else:
        found = f"{len(source):,} bytes that start with {source[:8]!r}"
    return PictureError(
        "image_unreadable",
        f"Not a picture we can read: found {found}.",
        fix="Give a JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF.",
    )


def _keepable(source: bytes, header: ImageFile.ImageFile, settings: Normalisation) -> bool:
    info = header.info
    return (
        header.format == "JPEG"
        and header.mode == "RGB"
        and max(header.size) <= settings.max_side
        and not info.get("progressive")
        and info.get("adobe_transform", 1) == 1  # else RGB or YCCK inside
        and _is_srgb(info.get("icc_profile"))
        and _orientation(header) is None
        and len(source) <= 2 * header.width * header.height + 16_384  # no cargo behind the picture
    )


def _decoded(source: bytes, header: ImageFile.ImageFile, max_side: int) -> Pixels:
    """Return the upright sRGB picture, longest side at most ``max_side``, as ``[H, W, 3]``."""
    width, height = header.size
    scale = min(1.0, max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    profile, turn = header.info.get("icc_profile"), _orientation(header)
    try:
        image = (
            _decode_jpeg(source, size)
            if header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L")
            else None
        )
        image = image if image is not None else _decode_other(header, size)
        if not _is_srgb(profile):
            image = _to_srgb(image, profile or b"")
        if image.mode != "RGB":
            image = _flatten(image)
        if turn is not None:
            image = image.transpose(turn)
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError) as error:
        raise _unreadable(source, error) from None
    return np.asarray(image)


def _decode_jpeg(source: bytes, size: tuple[int, int]) -> Image.Image | None:
    """Decode at the smallest M/8 not under ``size``; ``None`` where Pillow should have a second look."""
    try:
        array = simplejpeg.decode_jpeg(source, "RGB", min_width=size[0], min_height=size[1])
    except ValueError as error:
        if _LOST_DATA.search(str(error)):
            raise PictureError(
                "image_truncated",
                f"The JPEG is cut off or damaged ({error}), found in {len(source):,} bytes.",
            ) from None
        return None
    image = Image.frombuffer("RGB", (array.shape[1], array.shape[0]), array, "raw", "RGB", 0, 1)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _decode_other(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Decode the first frame with Pillow into RGB, RGBA or CMYK of ``size``."""
    image.load()
    if image.mode.startswith("I;16") or image.mode == "I":
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)
        image = Image.fromarray(
            (wide >> 8).astype(np.uint8) if wide.max(initial=0) > 255 else wide.astype(np.uint8)
        )
    elif image.mode in ("P", "LA", "PA", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        image = image.convert("RGB")
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _orientation(header: Image.Image) -> Image.Transpose | None:
    """Return what turns the picture upright; EXIF that cannot be read says nothing."""
    try:
        return _UPRIGHT_BY.get(int(header.getexif().get(_ORIENTATION, 1)))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return None


@lru_cache(maxsize=64)
def _is_srgb(profile: bytes | None) -> bool:
    """Whether a profile says what we assume without one; a broken or huge one is as good as none."""
    if not profile or len(profile) > _MAX_PROFILE_BYTES:
        return True
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        return "srgb" in ImageCms.getProfileDescription(opened).lower().replace(" ", "")
    except (ImageCms.PyCMSError, OSError):
        return True


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert colours by the embedded profile; a profile that does not fit the picture is ignored."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha is not None else image
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == "GRAY":
            return image  # its tone curve is within a few levels of sRGB's
        converted = ImageCms.profileToProfile(
            colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError):
        return image
    assert converted is not None, "profileToProfile returns a new image unless inPlace"
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
