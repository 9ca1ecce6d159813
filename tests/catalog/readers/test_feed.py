"""One catalog in every format and compression gives the same records; damaged feeds are refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from recsys.catalog.readers.feed import fingerprint, local_copy, read_feed
from recsys.config import CatalogConfig
from recsys.errors import InputError, TransientError
from tests.catalog.web import Response, Web

ROWS = [{"id": f"p{i}", "title": f"Mug, {i}"} for i in range(700)]


def _write(kind: str, path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=300)
    elif kind in ("arrow", "stream"):
        opener = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, opener(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=600)
    else:
        mark = "\t" if kind == "tsv" else ","
        items = "".join(f"<item><id>{r['id']}</id><title>{r['title']}</title></item>" for r in ROWS)
        texts = {
            "jsonl": "\n".join(map(json.dumps, ROWS)),
            "xml": f"<rss><channel>{items}</channel></rss>",
        }
        lines = [f"id{mark}title", *[f'{r["id"]}{mark}"{r["title"]}"' for r in ROWS]]
        path.write_text(texts.get(kind, "\n".join(lines)))


def _read(path: Path, tmp_path: Path, **settings: object) -> list[dict[str, str]]:
    config = CatalogConfig.model_validate(settings)
    records = list(read_feed(path, config, tmp_path))
    assert [record.row for record in records] == list(range(1, len(records) + 1))
    return [dict(record.values) for record in records]


@pytest.mark.parametrize("kind", ["csv", "tsv", "xml", "jsonl", "parquet", "arrow", "stream"])
@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
@pytest.mark.parametrize("suffix", ["", ".bin"], ids=["named", "unnamed"])
def test_every_format_gives_the_same_records(
    kind: str, compress: Callable[[bytes], bytes], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"feed.{kind}{suffix}"
    _write(kind, path)
    path.write_bytes(compress(path.read_bytes()))
    assert _read(path, tmp_path) == ROWS


@pytest.mark.parametrize(
    ("kind", "damage", "says"),
    [
        ("csv", lambda data: gzip.compress(data)[:-20], "cut off"),
        ("csv", lambda data: zstandard.compress(data)[:-20], "cut off"),
        ("parquet", lambda data: data[:-40], "not a readable"),
        ("arrow", lambda data: data[:-40], "not a readable"),
        ("jsonl", lambda data: gzip.compress(data * 100), "after decompression"),  # a bomb
    ],
)
def test_a_damaged_feed_is_refused(
    kind: str, damage: Callable[[bytes], bytes], says: str, tmp_path: Path
) -> None:
    path = tmp_path / f"feed.{kind}"
    _write(kind, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=says):
        _read(path, tmp_path, max_feed_bytes=1_000_000)


def test_text_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes("id;title\n1;Café\n".encode("latin-1"))
    assert _read(path, tmp_path, encoding="latin-1", format="csv") == [{"id": "1", "title": "Café"}]


@pytest.mark.parametrize("place", ["{local}", "file://{local}", "{web}/feed.csv", "memory://shop/feed.csv"])
def test_feeds_come_from_anywhere(place: str, web: Web, tmp_path: Path) -> None:
    local = tmp_path / "feed.csv"
    _write("csv", local)
    web.pages["/feed.csv"] = Response(local.read_bytes())
    fsspec.filesystem("memory").pipe_file("/shop/feed.csv", local.read_bytes())
    copy = local_copy(place.format(local=local, web=web.url), tmp_path, max_bytes=10**9)
    assert fingerprint(copy) == fingerprint(local)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("/nowhere/feed.csv", InputError),
        ("{web}/missing.csv", InputError),
        ("memory://shop/missing.csv", InputError),
        ("nosuch://feed.csv", InputError),
        ("{web}/large.csv", InputError),
        ("{web}/down.csv", TransientError),
        ("http://127.0.0.1:9/feed.csv", TransientError),
    ],
)
def test_feeds_that_cannot_be_fetched(place: str, error: type[Exception], web: Web, tmp_path: Path) -> None:
    web.pages["/large.csv"] = Response(b"x" * 5000)
    web.pages["/down.csv"] = Response(status=503)
    with pytest.raises(error):
        local_copy(place.format(web=web.url), tmp_path, max_bytes=1000)
