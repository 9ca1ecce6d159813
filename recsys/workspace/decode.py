"""From an image's source bytes to upright, opaque sRGB pixels of the wanted size.

JPEGs are decoded by libjpeg-turbo at M/8 of their size, the smallest that is a little over the wanted one,
and resampled from there: the same image as a full decode and Lanczos for a third of the work. Everything
else, and every JPEG that libjpeg-turbo complains about, goes through Pillow.

Downscaling by less than about two, as Lanczos does it but several times faster.

An image that was decoded at M/8 of its size is a little too large. Pillow's Lanczos brings it to size in
3 ms; here a seven-tap filter and OpenCV's cubic interpolation do in 0.5 ms. The filter's three coefficients
are those with which the two together come closest to Lanczos: a linear least-squares problem over the
frequencies of an image whose amplitudes fall with frequency, as those of photographs do (Field, 1987).

    f = frequency in cycles per source pixel, r = source size / target size
    error(f) = |f|^-1 · (filter(f) · cubic(f + k) - lanczos(r · f) · [k = 0]),  k = -2 … 2 (its images)
"""

import io
import re
import struct
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from recsys.errors import InputError

cv2.setNumThreads(1)  # whoever decodes many images decodes several at a time; threads in each only collide

Pixels = NDArray[np.uint8]
Float64 = NDArray[np.float64]

MAX_RATIO = 2.4
"""Above this the cubic's four taps skip source pixels."""

_KEYS = -0.75  # the sharpness of OpenCV's cubic
_FREQUENCIES = np.linspace(1 / 256, 0.5, 128)
_IMAGES = (0, -1, 1, -2, 2)


def shrink(pixels: Pixels, *, extent: tuple[float, float], size: tuple[int, int]) -> Pixels:
    """Resample the part ``extent`` = (width, height) at the top left of ``pixels`` to ``size``.

    ``extent`` may end inside a pixel, as the true image in a JPEG decoded at M/8 does: taking the whole
    for it would shift the image by up to half a pixel. Ratios extent / size from 1 to
    :data:`MAX_RATIO`. Returns ``[height, width, 3]`` uint8.
    """
    ratios = extent[0] / size[0], extent[1] / size[1]
    across, down = (_filter(round(ratio * 256)) for ratio in ratios)
    filtered = cv2.sepFilter2D(pixels, -1, across, down, borderType=cv2.BORDER_REPLICATE)
    resized = cv2.resize(filtered, None, fx=1 / ratios[0], fy=1 / ratios[1], interpolation=cv2.INTER_CUBIC)
    result: Pixels = np.asarray(resized[: size[1], : size[0]], dtype=np.uint8)
    return result


@lru_cache(maxsize=1024)
def _filter(ratio_256: int) -> NDArray[np.float32]:
    """Return the seven taps for a ratio given in 256ths."""
    f, ratio = _FREQUENCIES, ratio_256 / 256
    pairs = np.stack([2 * np.cos(2 * np.pi * n * f) - 2 for n in (1, 2, 3)], axis=1)  # of taps; DC is kept
    unknown, known = [], []
    for k in _IMAGES:
        cubic = _spectrum(_cubic, 2, f + k) / f
        wanted = _spectrum(_lanczos, 3, f * ratio) / f if k == 0 else 0.0
        unknown.append(cubic[:, None] * pairs)
        known.append(wanted - cubic)
    side = np.linalg.lstsq(np.concatenate(unknown), np.concatenate(known), rcond=None)[0]
    return np.array([*side[::-1], 1 - 2 * side.sum(), *side], dtype=np.float32)


def _spectrum(kernel: Callable[[Float64], Float64], support: float, f: Float64) -> Float64:
    """Return the Fourier transform of a symmetric kernel at the frequencies ``f``, ``[F]``."""
    t = np.linspace(0, support, 401)
    weights = kernel(t)
    weights[[0, -1]] /= 2
    spectrum: Float64 = 2 * (t[1] - t[0]) * (np.cos(2 * np.pi * np.outer(f, t)) @ weights)
    return spectrum


def _cubic(t: Float64) -> Float64:
    """Keys, "Cubic convolution interpolation for digital image processing" (1981), eq. 15."""
    a = _KEYS
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t < 1, near, far)


def _lanczos(t: Float64) -> Float64:
    return np.sinc(t) * np.sinc(t / 3)


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
_HEADROOM = 1.15
"""Decode at least so much over the wanted size: the highest frequencies of a scaled decode are not right."""
_MAX_PROFILE_BYTES = 4_000_000
_LOST_DATA = re.compile(r"premature end|bad Huffman|invalid|unsupported marker|not a JPEG", re.IGNORECASE)


class ImageError(InputError):
    """An image cannot be used; ``reason`` is its code in ``rejected.parquet``."""

    def __init__(self, reason: str, message: str, *, fix: str = "Replace the image.") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


def render(source: bytes, header: ImageFile.ImageFile, max_side: int) -> Pixels:
    """Return the image as ``[H, W, 3]`` uint8, longest side at most ``max_side``; never enlarged.

    ``header`` is ``source`` as Pillow opened it, not loaded yet. Raises :class:`ImageError` with reason
    ``image_truncated`` or ``image_unreadable``.
    """
    width, height = header.size
    scale = min(1.0, max_side / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    profile, turn = header.info.get("icc_profile"), orientation(header)
    try:
        pixels = None
        if header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L"):
            pixels = _decode_jpeg(source, header.size, size)
        if pixels is not None and turn is None and is_srgb(profile):
            return pixels
        image = Image.fromarray(pixels) if pixels is not None else _decode_other(header, size)
        if not is_srgb(profile):
            image = _to_srgb(image, profile or b"")
        image = _flatten(image)
        return np.asarray(image if turn is None else image.transpose(turn))
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError) as error:
        raise unreadable(source, error) from None


def _decode_jpeg(source: bytes, full: tuple[int, int], size: tuple[int, int]) -> Pixels | None:
    """Decode at a scale a little over ``size``; ``None`` where Pillow should have a second look."""
    need = max(wanted * _HEADROOM / side for side, wanted in zip(full, size, strict=True))
    eighths = next((m for m in range(1, 8) if m / 8 >= need), 8)
    width, height = (-(-side * eighths // 8) for side in full)
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(source, "RGB", min_width=width, min_height=height)
    except ValueError as error:
        if _LOST_DATA.search(str(error)):
            raise ImageError(
                "image_truncated", f"The JPEG is cut off or damaged ({error}); it has {len(source):,} bytes."
            ) from None
        return None
    if (width, height) == size:
        return pixels
    extent = full[0] * eighths / 8, full[1] * eighths / 8
    if eighths < 8 and max(extent[0] / size[0], extent[1] / size[1]) <= MAX_RATIO:
        return shrink(pixels, extent=extent, size=size)
    whole = Image.fromarray(pixels)
    return np.asarray(whole.resize(size, Image.Resampling.LANCZOS, box=(0, 0, *extent)))


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
        return image if image.mode == "RGB" else image.convert("RGB")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def orientation(header: Image.Image) -> Image.Transpose | None:
    """Return what turns the image upright; EXIF that cannot be read says nothing."""
    try:
        return _UPRIGHT_BY.get(int(header.getexif().get(_ORIENTATION, 1)))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return None


def unreadable(source: bytes, error: Exception) -> ImageError:
    """Tell a file that stops early from one that never was an image."""
    if "truncat" in str(error).lower() or "premature" in str(error).lower():
        return ImageError("image_truncated", f"The image ends early, after {len(source):,} bytes.")
    start = source[:48].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head")):
        found = "an HTML page"
    elif start.startswith((b"<svg", b"<?xml")):
        found = "SVG or XML"
    else:
        found = f"{len(source):,} bytes that start with {source[:8]!r}"
    return ImageError(
        "image_unreadable",
        f"Not an image we can read: found {found}.",
        fix="Give a JPEG, PNG, WebP, GIF, AVIF, BMP or TIFF.",
    )


def is_srgb(profile: bytes | None) -> bool:
    """Whether a profile says what we assume without one; a broken or huge one is as good as none."""
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
