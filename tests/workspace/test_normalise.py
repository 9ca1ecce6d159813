"""An image of any kind comes out upright, opaque, sRGB and within bounds, or is refused with a reason."""

import contextlib
import hashlib
import io
import random
import tracemalloc

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from recsys.workspace.normalise import (
    ImageError,
    Normalisation,
    decode,
    normalise,
    open_image,
    perceptual_hash,
    shrink,
)
from tests.catalog.made_images import encode, jpeg
from tests.catalog.made_images import pixels as made

SMALL = Normalisation(max_side=64, min_side=4)


def _decode(source: bytes) -> np.ndarray:
    return decode(source, open_image(source, SMALL), SMALL.max_side)


def _difference(shown: np.ndarray, expected: Image.Image) -> np.ndarray:
    """Return how far each value is from a full decode resampled by Pillow's Lanczos, ``[H, W, 3]``."""
    height, width = shown.shape[:2]
    resized = expected.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    return np.abs(shown.astype(int) - np.asarray(resized).astype(int))


def _refusal(source: bytes, bounds: Normalisation = SMALL) -> ImageError:
    with pytest.raises(ImageError) as caught:
        normalise(source, bounds)
    assert str(caught.value).count("to fix:") == 1
    return caught.value


@given(st.integers(20, 900), st.integers(20, 900))
@settings(max_examples=25, deadline=None)
def test_size_keeps_the_shape_and_never_grows(width: int, height: int) -> None:
    source = jpeg(width, height)
    normalised = normalise(source, SMALL)
    scale = min(1, 64 / max(width, height))
    assert (normalised.width, normalised.height) == (
        max(1, round(width * scale)),
        max(1, round(height * scale)),
    )
    with Image.open(io.BytesIO(normalised.jpeg)) as stored:
        assert stored.size == (normalised.width, normalised.height)
        assert (stored.format, stored.mode) == ("JPEG", "RGB")
    assert normalised.sha256 == hashlib.sha256(source).digest()


@pytest.mark.parametrize("side", [65, 70, 80, 100, 128, 150, 190, 256, 300, 511, 640, 1000])
def test_scaled_decode_is_the_same_image_as_a_full_one(side: int) -> None:
    source = jpeg(side, side * 3 // 4, seed=side, quality=95)
    with Image.open(io.BytesIO(source)) as image:
        difference = _difference(_decode(source), image)
    assert difference.mean() < 1.5
    assert np.percentile(difference, 99) <= 5


def test_an_image_that_is_right_already_is_kept_byte_for_byte() -> None:
    source = jpeg(64, 48)
    assert normalise(source, SMALL).jpeg == source
    assert normalise(source, SMALL).phash == perceptual_hash(simplejpeg.decode_jpeg(source))


@pytest.mark.parametrize(
    "source",
    [
        jpeg(64, 48, progressive=True),
        jpeg(64, 48) + b"\0" * 100_000,
        encode(Image.fromarray(made()).convert("L")),
    ],
    ids=["progressive", "cargo", "grey"],
)
def test_anything_else_is_encoded_again(source: bytes) -> None:
    kept = normalise(source, SMALL).jpeg
    assert kept != source
    with Image.open(io.BytesIO(kept)) as image:
        assert image.mode == "RGB"
        assert not image.info.get("progressive")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once_and_gone(orientation: int, format: str) -> None:
    """The file is stored so that its orientation shows it as ``made(120, 80)``."""
    undo = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]
    image = Image.fromarray(made(120, 80))
    stored = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    normalised = normalise(encode(stored, format, exif=exif), SMALL)
    assert _difference(simplejpeg.decode_jpeg(normalised.jpeg), image).mean() < 5
    with Image.open(io.BytesIO(normalised.jpeg)) as shown:
        assert shown.getexif().get(0x0112, 1) == 1


NOISE = Image.fromarray(made(100, 80))
RED, BLUE = (Image.new("RGB", (40, 40), colour) for colour in ("red", "blue"))
DEEP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
WHITE_AND_BLUE = Image.fromarray(np.full((40, 40, 3), 255, np.uint8))
WHITE_AND_BLUE.paste(BLUE, (20, 0))
CUT_OUT = Image.fromarray(np.dstack([np.asarray(RED) | np.asarray(BLUE), np.zeros((40, 40), np.uint8)]))
CUT_OUT.paste((0, 0, 255, 255), (20, 0, 40, 40))
PALETTE = Image.new("P", (40, 40), 0)
PALETTE.putpalette([255, 0, 0, 0, 0, 255])
PALETTE.paste(1, (20, 0, 40, 40))


@pytest.mark.parametrize(
    ("source", "expected", "tolerance"),
    [
        *[(encode(NOISE, format), NOISE, 3) for format in ("PNG", "BMP", "TIFF", "AVIF")],
        (encode(NOISE, "WEBP", lossless=True), NOISE, 3),
        (encode(NOISE, "GIF"), NOISE, 8),
        (encode(NOISE.convert("CMYK"), quality=95), NOISE, 5),
        (encode(NOISE, quality=95, icc_profile=b"not a profile" * 20), NOISE, 5),
        (encode(CUT_OUT, "PNG"), WHITE_AND_BLUE, 0.1),
        (encode(CUT_OUT, "WEBP", lossless=True), WHITE_AND_BLUE, 0.1),
        (encode(PALETTE, "PNG", transparency=0), WHITE_AND_BLUE, 0.1),
        (encode(RED, "GIF", save_all=True, append_images=[BLUE]), RED, 5),
        (encode(RED, "WEBP", save_all=True, append_images=[BLUE]), RED, 5),
        (encode(Image.fromarray(DEEP), "PNG"), Image.fromarray((DEEP >> 8).astype(np.uint8)), 1),
    ],
    ids=[
        "png", "bmp", "tiff", "avif", "webp", "gif", "cmyk", "broken profile", "transparent png",
        "transparent webp", "palette", "animated gif", "animated webp", "16 bits",
    ],
)  # fmt: skip
def test_what_a_file_shows(source: bytes, expected: Image.Image, tolerance: float) -> None:
    assert _difference(_decode(source), expected).mean() < tolerance


def test_colours_are_converted_by_the_embedded_profile() -> None:
    """In a Lab-like wide space the stored numbers are duller than what they mean."""
    swapped = _profile_with_swapped_primaries()
    image = Image.new("RGB", (100, 100), (200, 30, 30))
    plain = _decode(encode(image, quality=95))
    converted = _decode(encode(image, quality=95, icc_profile=swapped))
    assert plain[30, 30, 0] > plain[30, 30, 1]
    assert converted[30, 30, 1] > converted[30, 30, 0]


def _profile_with_swapped_primaries() -> bytes:
    """Return an RGB profile whose first channel means green and second red: unmistakable when applied."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    tags = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    entries = bytes(profile[red + 4 : red + 12]), bytes(profile[green + 4 : green + 12])
    profile[red + 4 : red + 12], profile[green + 4 : green + 12] = entries[1], entries[0]
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be"))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize(
    "source",
    [jpeg(side, side, quality=95, progressive=p) for side in (64, 640) for p in (False, True)],
    ids=["small", "small progressive", "large", "large progressive"],
)
def test_truncated_jpegs_are_noticed(source: bytes, share: float) -> None:
    assert _refusal(source[: int(len(source) * share)]).reason == "image_truncated"


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF"])
def test_other_truncated_files_are_noticed(format: str) -> None:
    source = encode(Image.effect_noise((80, 80), 100).convert("RGB"), format)
    assert _refusal(source[: len(source) * 2 // 3]).reason in ("image_truncated", "image_unreadable")


def test_stray_bytes_between_segments_do_not_cost_the_image() -> None:
    source = jpeg(200, 100, quality=95)
    at = source.index(b"\xff\xda")
    assert _decode(source[:at] + b"abc" + source[at:]).shape == (32, 64, 3)


@pytest.mark.parametrize(
    ("source", "bounds", "reason", "says"),
    [
        (b"", SMALL, "image_empty", ""),
        (b"\0" * 200, SMALL, "image_unreadable", ""),
        (b"<!DOCTYPE html><title>404</title>", SMALL, "image_unreadable", "HTML"),
        (jpeg(3, 90), SMALL, "image_too_small", "3 × 90"),
        (jpeg(), Normalisation(max_bytes=100), "image_oversized", "100"),
        (jpeg(), Normalisation(max_pixels=1000), "image_oversized", "64 × 48"),
        (encode(Image.new("1", (20_000, 20_000)), "PNG"), SMALL, "image_oversized", ""),  # a bomb
    ],
    ids=["empty", "zeros", "page", "small", "bytes", "pixels", "bomb"],
)
def test_bounds(source: bytes, bounds: Normalisation, reason: str, says: str) -> None:
    refusal = _refusal(source, bounds)
    assert refusal.reason == reason
    assert says in refusal.message


def test_names_of_settings_tell_images_apart() -> None:
    ids = [Normalisation(**o).id for o in ({}, {"min_side": 99}, {"max_side": 512}, {"quality": 80})]
    assert [ids.index(id) for id in ids] == [0, 0, 2, 3]


@given(st.binary(max_size=300), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_an_image_or_a_reason(noise: bytes, at: int) -> None:
    source = bytearray(jpeg(200, 150))
    source[at : at + len(noise)] = noise
    for candidate in (noise, bytes(source)):
        with contextlib.suppress(ImageError):
            normalised = normalise(candidate, SMALL)
            assert 0 < max(normalised.width, normalised.height) <= 64


@given(st.floats(1.0, 2.4), st.floats(1.0, 2.4), st.integers(0, 255))
@settings(deadline=None)
def test_flat_stays_flat_at_any_ratio(across: float, down: float, level: int) -> None:
    source = np.full((60, 80, 3), level, np.uint8)
    size = (int(80 / across), int(60 / down))
    result = shrink(source, extent=(size[0] * across, size[1] * down), size=size)
    assert result.shape == (size[1], size[0], 3)
    assert (result == level).all()


# ``pixels(100, 80, seed)`` hashed by the ImageHash package 4.3.2.
@pytest.mark.parametrize(
    ("seed", "expected"), [(0, 11390071796215868505), (1, 11661694351360923379), (2, 10797758708319054945)]
)
def test_the_perceptual_hash_is_imagehashs(seed: int, expected: int) -> None:
    assert perceptual_hash(made(100, 80, seed)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptual_hash_survives_resizing_and_encoding(seed: int) -> None:
    large = made(400, 400, seed)
    small = simplejpeg.decode_jpeg(encode(Image.fromarray(large).resize((150, 150)), quality=70))
    distances = [
        (perceptual_hash(p) ^ perceptual_hash(small)).bit_count() for p in (large, made(150, 150, seed + 9))
    ]
    assert distances[0] <= 6
    assert distances[1] > 10


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, about the damage
@pytest.mark.parametrize("format", ["AVIF", "TIFF", "PNG", "WEBP", "GIF", "BMP", "JPEG"])
def test_damaged_bytes_are_a_reason_and_nothing_else(format: str) -> None:
    """AVIF's decoder raised RuntimeError; image search answered 500."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((80, 64)).save(buffer, format)
    whole, rng = buffer.getvalue(), random.Random(0)
    reasons = set()
    for _ in range(300):
        damaged = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.choice([1, 2, 8])):
            if damaged:
                damaged[rng.randrange(min(len(damaged), 400))] = rng.randrange(256)
        try:
            normalise(bytes(damaged), Normalisation())
        except ImageError as error:
            reasons.add(error.reason)
    assert reasons <= {
        "image_unreadable",
        "image_truncated",
        "image_oversized",
        "image_too_small",
        "image_empty",
    }
    assert reasons


def test_a_deep_image_is_decoded_in_its_own_width() -> None:
    side = 2000
    buffer = io.BytesIO()
    Image.fromarray(np.full((side, side), 0x4321, np.uint16)).save(buffer, "PNG")
    tracemalloc.start()
    try:
        made = normalise(buffer.getvalue(), Normalisation())
        assert tracemalloc.get_traced_memory()[1] < 6 * side * side  # bytes; it was 26 per pixel
    finally:
        tracemalloc.stop()
    assert abs(int(np.asarray(Image.open(io.BytesIO(made.jpeg)))[0, 0, 0]) - 0x43) <= 1
