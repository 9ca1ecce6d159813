"""One image: source bytes in, a checked and normalised image out.

A normalised image is an upright, opaque sRGB JPEG whose longest side is at most ``max_side``. The catalog
stores it, and a query image takes the same way, so that the encoder sees both alike.

    open_image   reads the header and checks every bound before anything is decoded
    decode       pixels of the wanted size, upright, opaque, sRGB
    normalise    both, then the JPEG and the perceptual hash
"""

import hashlib
import io
import re
import struct
from dataclasses import dataclass, fields
from typing import Self

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps

from recsys.errors import InputError

cv2.setNumThreads(1)  # callers decode several images at a time; threads inside each would only compete

Pixels = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open (an MPO opens as JPEG); other decoders are never reached by bytes from outside."""

VERSION = 2
"""Raise it when the same source would give another image: earlier images are then made again."""

_HEADROOM = 1.15
"""Decode at least so much over the wanted size: the highest frequencies of a scaled decode are not right."""
_MAX_RATIO = 2.4
"""Above this the four taps of cubic interpolation skip source pixels."""
_DEFECT = re.compile(r"premature end|bad Huffman|invalid|unsupported marker|not a JPEG", re.IGNORECASE)
_MAX_PROFILE_BYTES = 4_000_000
_TEXTS = {(b"<!doctype", b"<html", b"<head"): "an HTML page", (b"<svg", b"<?xml"): "SVG or XML"}
_HASH_SIDE, _HASH_LOW = 32, 8
_N, _K = np.arange(_HASH_SIDE), np.arange(_HASH_LOW)[:, None]
_DCT = 2 * np.cos(np.pi * _K * (2 * _N + 1) / (2 * _HASH_SIDE))  # [8, 32], type II, not normalised


class ImageError(InputError):
    """An image cannot be used; ``reason`` is its code in ``rejected.parquet``."""

    def __init__(self, reason: str, message: str, *, fix: str = "Replace the image.") -> None:
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


def normalise(source: bytes, settings: Normalisation) -> NormalisedImage:
    """Check and normalise one image given by its file's bytes.

    A JPEG that already is what we store (upright, sRGB, within bounds) is kept byte for byte. Raises
    :class:`ImageError` with reason ``image_empty``, ``image_oversized``, ``image_too_small``,
    ``image_truncated`` or ``image_unreadable``.
    """
    header = open_image(source, settings)
    keep = _is_normalised(source, header, settings)
    pixels = decode(source, header, settings.max_side)
    height, width = pixels.shape[:2]
    jpeg = source if keep else simplejpeg.encode_jpeg(pixels, settings.quality, "RGB", "420")
    sha256 = hashlib.sha256(source).digest()
    return NormalisedImage(
        sha256=sha256, phash=perceptual_hash(pixels), width=width, height=height, jpeg=jpeg
    )


def open_image(source: bytes, settings: Normalisation) -> ImageFile.ImageFile:
    """Return the image with only its header read; raises :class:`ImageError` if it breaks a bound."""
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
    except Exception as error:  # noqa: BLE001 (decoders raise anything on damaged bytes)
        raise _unreadable(source, error) from None
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


def _is_normalised(source: bytes, header: ImageFile.ImageFile, settings: Normalisation) -> bool:
    info = header.info
    return (
        header.format == "JPEG"
        and header.mode == "RGB"
        and max(header.size) <= settings.max_side
        and not info.get("progressive")
        and info.get("adobe_transform", 1) == 1  # else RGB or YCCK inside
        and _is_srgb(info.get("icc_profile"))
        and _orientation(header) == 1
        and len(source) <= 2 * header.width * header.height + 16_384  # no cargo behind the image
    )


def decode(source: bytes, header: ImageFile.ImageFile, max_side: int) -> Pixels:
    """Return the image as ``[H, W, 3]`` uint8 sRGB, longest side at most ``max_side``; never enlarged.

    ``header`` is ``source`` as :func:`open_image` gave it. JPEGs go through libjpeg-turbo, everything else,
    and every JPEG that libjpeg-turbo complains about, through Pillow. Raises :class:`ImageError` with
    reason ``image_truncated`` or ``image_unreadable``.
    """
    scale = min(1.0, max_side / max(header.size))
    size = (max(1, round(header.width * scale)), max(1, round(header.height * scale)))
    profile = header.info.get("icc_profile")
    is_srgb = _is_srgb(profile)
    try:
        pixels = None
        if header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L"):
            pixels = _decode_jpeg(source, header.size, size)
        image = _decode_with_pillow(header, size) if pixels is None else Image.fromarray(pixels)
        orientation = _orientation(header)
        if pixels is not None and is_srgb and orientation == 1:
            return pixels
        if not is_srgb:
            image = _to_srgb(image, profile or b"")
        if image.mode == "RGBA":
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        image = image.convert("RGB")
        image.getexif()[ExifTags.Base.Orientation] = orientation
        ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(image)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001 (decoders raise anything on damaged bytes)
        raise _unreadable(source, error) from None


def _decode_jpeg(source: bytes, full: tuple[int, int], size: tuple[int, int]) -> Pixels | None:
    """Decode at M/8 of the size, the smallest a little over ``size``, and resample from there.

    That is the image of a full decode and Lanczos for a quarter of the work: mean difference 0.5 to 1.7
    of 255. ``None`` if Pillow should try the file too.
    """
    need = max(wanted * _HEADROOM / side for side, wanted in zip(full, size, strict=True))
    eighths = next((m for m in range(1, 8) if m / 8 >= need), 8)
    width, height = (-(-side * eighths // 8) for side in full)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(source, "RGB", min_width=width, min_height=height)
    except ValueError as error:
        if _DEFECT.search(str(error)):
            raise ImageError(
                "image_truncated", f"The JPEG is cut off or damaged ({error}); it has {len(source):,} bytes."
            ) from None
        return None
    if (width, height) == size:
        return pixels
    return shrink(pixels, extent=(full[0] * eighths / 8, full[1] * eighths / 8), size=size)


def shrink(pixels: Pixels, *, extent: tuple[float, float], size: tuple[int, int]) -> Pixels:
    """Resample the part ``extent`` = (width, height) at the top left of ``pixels`` to ``size``.

    ``extent`` may end inside a pixel, as the true image in a JPEG decoded at M/8 does: taking the whole
    for it would shift the image by up to half a pixel. OpenCV's cubic interpolation alone would alias;
    after a Gaussian blur that grows with the ratio it comes close to Pillow's Lanczos at a sixth of the
    time. Returns ``[height, width, 3]`` uint8.
    """
    ratios = extent[0] / size[0], extent[1] / size[1]
    if max(ratios) > _MAX_RATIO:
        image = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, box=(0, 0, *extent))
        return np.asarray(image)
    sigmas = [ratio / 3 for ratio in ratios]  # closest to Lanczos on photographs, at every ratio
    blurred = cv2.GaussianBlur(pixels, (5, 5), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REPLICATE)
    resized = cv2.resize(blurred, None, fx=1 / ratios[0], fy=1 / ratios[1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(resized[: size[1], : size[0]], dtype=np.uint8)


def _decode_with_pillow(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Decode the first frame into RGB, RGBA or CMYK of ``size``."""
    image.load()
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = np.asarray(image)
        if image.mode == "I":
            deep = deep.clip(0, 65535).astype(np.uint16)
        is_deep = deep.max(initial=0) > 255
        image = Image.fromarray((deep >> 8 if is_deep else deep).astype(np.uint8))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)  # one channel, not yet three
    elif image.mode in ("P", "LA", "PA", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGB", "RGBA", "CMYK"):
        image = image.convert("RGB")
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _orientation(header: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the EXIF data cannot be read.

    Ask again after decoding: Pillow turns a TIFF upright while it loads.
    """
    try:
        return int(header.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return 1


def _is_srgb(profile: bytes | None) -> bool:
    """Whether the colours are sRGB: by the profile, or because there is none that can be used."""
    if not profile or len(profile) > _MAX_PROFILE_BYTES:
        return True
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        return "srgb" in ImageCms.getProfileDescription(opened).lower().replace(" ", "")
    except (ImageCms.PyCMSError, OSError):
        return True


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert colours by the embedded profile; a profile that does not fit the image is ignored."""
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


def _unreadable(source: bytes, error: Exception) -> ImageError:
    """Tell a file that stops early, or needs too much memory, from one that never was an image."""
    if isinstance(error, MemoryError):
        return ImageError("image_oversized", f"Decoding {len(source):,} bytes takes more memory than it may.")
    if "truncat" in str(error).lower() or "premature" in str(error).lower():
        return ImageError("image_truncated", f"The image ends early, after {len(source):,} bytes.")
    start = source[:48].lstrip().lower()
    text = next((name for starts, name in _TEXTS.items() if start.startswith(starts)), None)
    found = text or f"{len(source):,} bytes that start with {source[:8]!r}"
    return ImageError(
        "image_unreadable",
        f"Not an image we can read: found {found}.",
        fix="Give a JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF.",
    )


def perceptual_hash(pixels: Pixels) -> int:
    """Return the 64-bit DCT hash of an image ``[H, W, 3]`` uint8; bit 63 is the lowest frequency.

    Hashes stay nearly equal when an image is resized or re-encoded: two images within about 6 bits usually
    show the same photograph. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
    (2010), with the choices of the ImageHash package's ``phash``: 32 × 32 grey levels, the 8 × 8 lowest
    frequencies, one bit each for above their median.
    """
    side = (_HASH_SIDE, _HASH_SIDE)
    grey = Image.fromarray(pixels).convert("L").resize(side, Image.Resampling.LANCZOS)
    low = _DCT @ np.asarray(grey, dtype=np.float64) @ _DCT.T
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")
