"""The shop's mistakes: a dozen rows and images that a catalog must reject or survive, and say so.

Does not know: how they are dealt with.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from examples.sample_shop.words import COLUMNS

FOLDER = "images/odd"


def write_files(out: Path, sound: bytes) -> None:
    """Write the images the broken rows name, made from one sound JPEG."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    image = cv2.imdecode(np.frombuffer(sound, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    high, wide = image.shape[:2]
    alpha = np.full((high, wide, 1), 255, np.uint8)
    alpha[: high // 4] = 0
    files = {
        "truncated.jpg": sound[: len(sound) * 3 // 5],
        "page.jpg": b"<!doctype html><title>404 Not Found</title><p>The image has moved.</p>\n",
        "empty.jpg": b"",
        "dot.png": cv2.imencode(".png", image[:1, :1])[1].tobytes(),
        "alpha.png": cv2.imencode(".png", np.concatenate([image, alpha], axis=2))[1].tobytes(),
        "turned.jpg": _turned(image),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _turned(image: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    """Return a JPEG stored on its side with an EXIF tag (orientation 6) that says so."""
    data = cv2.imencode(".jpg", np.rot90(image))[1].tobytes()
    tiff = (
        b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    )
    body = b"Exif\x00\x00" + tiff
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def rows(sound: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the broken rows; ``sound`` is a good row that one of them repeats."""
    base = dict.fromkeys(COLUMNS, "") | {
        "brand": sound["brand"],
        "product_type": sound["product_type"],
        "availability": "in_stock",
        "price": "19.90 USD",
        "google_product_category": sound["google_product_category"],
        "updated_at": sound["updated_at"],
    }
    title, folder = "Sample piece from the photo studio", FOLDER

    def broken(id: str, **values: str) -> dict[str, str]:
        return base | {"id": id, "title": title} | values

    return [
        broken("X000001", title="", description="Nobody wrote a title and nobody took an image."),
        broken("X000002", title="Image upload was interrupted", image_link=f"{folder}/truncated.jpg"),
        broken("X000003", title="Price to be agreed", image_link=sound["image_link"], price="twelve dollars"),
        dict(sound) | {"title": sound["title"] + " (listed twice)"},
        broken("X000004", title="Image from another folder", image_link="../" * 16 + "etc/passwd"),
        broken("X000005", title="The image is a web page", image_link=f"{folder}/page.jpg"),
        broken("X000006", title="The image was never uploaded", image_link=f"{folder}/missing.jpg"),
        broken("", title="A product without a number", image_link=sound["image_link"]),
        broken("X000007", title="The image is an empty file", image_link=f"{folder}/empty.jpg"),
        broken(
            "X000008",
            title="",
            image_link=f"{folder}/dot.png",
            description="A tracking pixel where the image should be.",
        ),
        broken("X000009", title="Cut-out image with a transparent edge", image_link=f"{folder}/alpha.png"),
        broken("X000010", title="Image taken with the camera on its side", image_link=f"{folder}/turned.jpg"),
        broken(
            "X000011",
            title="Availability nobody understands",
            image_link=sound["image_link"],
            availability="maybe",
            gtin="123",
        ),
    ]
