"""What comes from outside, mutated: no target lets an exception out but one that says what is wrong.

The tests run some hundred cases, ``benchmarks/soak.py`` as many as its minutes allow.
"""

import contextlib
import csv
import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from fastapi.exceptions import RequestValidationError
from PIL import Image

from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.feed import read_feed
from recsys.catalog.rows import RowMapper
from recsys.config.catalog import CatalogConfig
from recsys.errors import RecsysError
from recsys.index.edge import EdgeCollection
from recsys.index.points import indexed_columns
from recsys.search.candidates import check_filter
from recsys.serving.requests import BatchRequest, PreviewRequest, SearchRequest, _parse
from recsys.workspace.normalise import FORMATS, ImageError, Normalisation, normalise
from tests.catalog.made_images import encode, pixels

CORPUS = Path(__file__).with_name("corpus")
CONFIG = CatalogConfig(attributes="rest", max_row_bytes=100_000, max_feed_bytes=1_000_000)
SMALL = Normalisation(max_side=64, min_side=1, max_pixels=1_000_000)
COLLECTION = SimpleNamespace(metadata=SimpleNamespace(indexed=tuple(indexed_columns(["fit"]))))
_ROWS = [
    {"id": f"p{i}", "title": f"Mug <b>{i}</b> & more", "price": f"{i}.50 EUR", "gtin": "4006381333931",
     "image_link": f"https://shop.example/{i}.jpg", "availability": "in stock",
     "updated_at": "2026-05-31T04:00:00Z", "description": "<p>Ein Becher für Tee</p>",
     "additional_image_link": "a.jpg,b.jpg"}
    for i in range(4)
]  # fmt: skip
_SHOPIFY = (
    "Handle,Title,Body (HTML),Vendor,Type,Published,Option1 Name,Option1 Value,Variant SKU,Variant Price,"
    "Image Src,Image Position,Status\n"
    'mug,Mug,"<p>x</p>",Acme,Cups,true,Color,Red,m1,9.5,https://a.example/1.jpg,1,active\n'
    "mug,,,,,,,Blue,m2,9.5,https://a.example/2.jpg,2,\n"
)
_XML = (
    '<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0"><channel>'
    "<item><g:id>a</g:id><title>Mug</title><g:price>9.50 EUR</g:price><g:shipping><g:price>1</g:price>"
    "</g:shipping></item><item><g:id>b</g:id><title><![CDATA[<b>x]]></title></item></channel></rss>"
)
_BODY = {
    "like": ["p00"], "text": "red", "limit": 5, "images": ["AAAA"], "image_weight": 0.5,
    "filter": {"price": {"gte": 1, "lt": 9.5}, "brand": ["Acme"], "not": {"product_type": "Home > Lamps"},
               "attributes.fit": "slim", "has_image": True, "id": ["p01"]},
}  # fmt: skip
_TOKENS = (
    b"NaN", b"Infinity", b"-1e400", b"9" * 400, b"[" * 500, b'{"a":' * 500, b"\xff\xfe", b"\x00", b"\\ud800",
    b"<![", b'<a ="' * 50, b"&#x110000;", b'"', b"\n", b"<!ENTITY x 'y'>", b"null", b"1e308", b"\xed\xa0\x80",
)  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return ``data`` cut, with bytes changed, parts moved or repeated, or hostile tokens put in."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, end = sorted(rng.randrange(len(made) + 1) for _ in range(2))
        kind = rng.randrange(6)
        if kind == 0:
            del made[rng.choice((at, end)) :]
        elif kind == 1:
            for _ in range(rng.randrange(1, 20)):
                if made:
                    made[rng.randrange(min(len(made), rng.choice((32, 256, 10**9))))] = rng.randrange(256)
        elif kind == 2:
            made[at:at] = rng.choice(_TOKENS)
        elif kind == 3:
            made[at:end] = b""
        elif kind == 4:
            made[at:at] = made[at:end][:20_000]
        elif made:
            made[at % len(made)] ^= 1 << rng.randrange(8)
        made = made[:200_000]
    return bytes(made)


def feed(name: str, data: bytes) -> None:
    """Read a feed and map its rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        mapper = RowMapper(CONFIG)
        with contextlib.suppress(RecsysError):
            for record in read_feed(path, CONFIG, Path(folder)):
                row, rejections = mapper.map(record)
                assert row is not None or rejections
                assert all(rejection.reason and rejection.message for rejection in rejections)


def record(values: dict[str, object]) -> None:
    """Map one record of any values."""
    row, rejections = RowMapper(CONFIG).map(FeedRecord(1, values))
    assert row is not None or rejections


def image(data: bytes) -> None:
    """Normalise an image."""
    with contextlib.suppress(ImageError):
        made = normalise(data, SMALL)
        assert max(made.width, made.height) <= SMALL.max_side


def body(data: bytes) -> None:
    """Read a request's body, and its filter as the engine's."""
    for model in (SearchRequest, BatchRequest, PreviewRequest):
        try:
            read = _parse(model, data)
            if isinstance(read, PreviewRequest):
                read = read.query
            query = read.search_query() if isinstance(read, SearchRequest) else read.queries()[0]
            check_filter(COLLECTION, query.filter)
            EdgeCollection.translator.filter(query.filter)
        except (RequestValidationError, RecsysError):
            pass


def _feeds() -> dict[str, bytes]:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_ROWS[0]))
    writer.writeheader()
    writer.writerows(_ROWS)
    lines = "".join(json.dumps(row) + "\n" for row in _ROWS)
    table = pa.Table.from_pylist(_ROWS).append_column("when", pa.array([0, 1, 2, 3], pa.timestamp("ns")))
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    pyarrow.feather.write_feather(table, arrow, compression="uncompressed")
    feeds = {
        "feed.csv": text.getvalue().encode(), "feed.tsv": text.getvalue().replace(",", "\t").encode(),
        "feed.jsonl": lines.encode(), "feed.xml": _XML.encode(), "shopify.csv": _SHOPIFY.encode(),
        "feed.parquet": parquet.getvalue(), "feed.arrow": arrow.getvalue(),
    }  # fmt: skip
    return feeds | {"feed.jsonl.gz": gzip.compress(feeds["feed.jsonl"], mtime=0)}


def _images() -> dict[str, bytes]:
    source = Image.fromarray(pixels(40, 30))
    images = {format: encode(source, format) for format in FORMATS}
    deep = Image.new("I;16", (40, 30), 3000)
    return images | {
        "PNG16": encode(deep, "PNG"),
        "TIFF16": encode(deep, "TIFF"),
        "GIF-P": encode(source.convert("P"), "GIF"),
        "TIFF-LZW": encode(source, "TIFF", compression="tiff_lzw"),
        "CMYK": encode(source.convert("CMYK"), "JPEG"),
        "PROGRESSIVE": encode(source, "JPEG", progressive=True),
        "WEBP-A": encode(source.convert("RGBA"), "WEBP"),
    }


def targets() -> dict[str, tuple[bytes, Callable[[bytes], None]]]:
    """Return name → a good input, and what reads it."""
    feeds = {name: (data, lambda raw, name=name: feed(name, raw)) for name, data in _feeds().items()}
    images = {f"image-{name}": (data, image) for name, data in _images().items()}
    return {**feeds, **images, "body": (json.dumps(_BODY).encode(), body)}
