"""One image: source bytes in, a checked and normalised image out.

A normalised image is an upright, opaque sRGB JPEG whose longest side is at most ``max_side``. The
catalog stores it, search and embedding put query images through the same function, so that both are
seen alike.

Does not know: how images are decoded (``raster`` does), where they come from or are kept.
"""

import hashlib
import io
from dataclasses import dataclass, fields
from typing import Self

import simplejpeg
from PIL import Image, ImageFile

from recsys.workspace.decode import ImageError, Pixels, is_srgb, orientation, render, unreadable
from recsys.workspace.phash import perceptual_hash

__all__ = ["ImageError", "Normalisation", "NormalisedImage", "check", "decode", "normalise", "pixels"]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open (an MPO opens as JPEG); other decoders are never reached by bytes from outside."""

VERSION = 1
"""Raise it when the same source would give another image."""


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Bounds of what is accepted, and the size and quality of what comes out."""

    max_side: int = 384
    quality: int = 90
    min_side: int = 16
    max_pixels: int = 50_000_000
    max_bytes: int = 20_000_000

    @classmethod
    def of(cls, settings: object) -> Self:
        """Read the fields of these names from settings, such as those of the catalog's images."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    @property
    def id(self) -> str:
        """Names the images this gives: equal ids, equal images of equal sources."""
        return f"v{VERSION}-{self.max_side}px-q{self.quality}"


@dataclass(frozen=True, kw_only=True)
class NormalisedImage:
    """A normalised image."""

    sha256: bytes
    """Of the source bytes, 32 bytes."""
    phash: int
    """64-bit DCT perceptual hash."""
    width: int
    height: int
    jpeg: bytes


def normalise(source: bytes, settings: Normalisation | None = None) -> NormalisedImage:
    """Check and normalise one image given by its file's bytes.

    A JPEG that already is what we store (upright, sRGB, within bounds) is kept byte for byte. Raises
    :class:`ImageError` with reason ``image_empty``, ``image_oversized``, ``image_too_small``,
    ``image_truncated`` or ``image_unreadable``.
    """
    settings = settings or Normalisation()
    header = _open(source, settings)
    kept = _keepable(source, header, settings)
    array = render(source, header, settings.max_side)
    height, width = array.shape[:2]
    jpeg = source if kept else simplejpeg.encode_jpeg(array, settings.quality, "RGB", "420")
    sha256 = hashlib.sha256(source).digest()
    return NormalisedImage(sha256=sha256, phash=perceptual_hash(array), width=width, height=height, jpeg=jpeg)


def check(source: bytes, settings: Normalisation | None = None) -> None:
    """Check bounds by the header alone; raises :class:`ImageError` as :func:`normalise` does."""
    _open(source, settings or Normalisation())


def decode(source: bytes, settings: Normalisation | None = None) -> Pixels:
    """Return the normalised image as pixels ``[H, W, 3]``, uint8 sRGB, without encoding it.

    Raises :class:`ImageError` as :func:`normalise` does.
    """
    settings = settings or Normalisation()
    return render(source, _open(source, settings), settings.max_side)


def pixels(jpeg: bytes) -> Pixels:
    """Return the pixels ``[H, W, 3]``, uint8 sRGB, of a normalised JPEG from the image store."""
    array: Pixels = simplejpeg.decode_jpeg(jpeg, "RGB")
    return array


def _open(source: bytes, settings: Normalisation) -> ImageFile.ImageFile:
    """Read the header and check every bound before anything is decoded."""
    if not source:
        raise ImageError("image_empty", "The file is empty.")
    if len(source) > settings.max_bytes:
        raise ImageError(
            "image_oversized",
            f"The file has {len(source):,} bytes; at most {settings.max_bytes:,} are accepted.",
            fix="Export a smaller file, or raise catalog.images.max_bytes.",
        )
    try:
        header = Image.open(io.BytesIO(source), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("image_oversized", f"The image is too large to decode: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise unreadable(source, error) from None
    width, height = header.size
    if width * height > settings.max_pixels:
        raise ImageError(
            "image_oversized",
            f"The image is {width} × {height}; at most {settings.max_pixels:,} pixels are accepted.",
            fix="Export a smaller image, or raise catalog.images.max_pixels.",
        )
    if min(width, height) < settings.min_side:
        raise ImageError(
            "image_too_small",
            f"The image is {width} × {height}; each side needs at least {settings.min_side} pixels.",
            fix="Give a larger image, or lower catalog.images.min_side.",
        )
    return header


def _keepable(source: bytes, header: ImageFile.ImageFile, settings: Normalisation) -> bool:
    info = header.info
    return (
        header.format == "JPEG"
        and header.mode == "RGB"
        and max(header.size) <= settings.max_side
        and not info.get("progressive")
        and info.get("adobe_transform", 1) == 1  # else RGB or YCCK inside
        and is_srgb(info.get("icc_profile"))
        and orientation(header) is None
        and len(source) <= 2 * header.width * header.height + 16_384  # no cargo behind the image
    )
