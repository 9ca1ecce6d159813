"""One catalog in every format and compression gives the same records; damaged feeds are refused."""

import gzip
import json
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
LIMIT = 10**9


def _text(kind: str) -> bytes:
    if kind == "jsonl":
        return "\n".join(map(json.dumps, ROWS)).encode()
    if kind == "xml":
        items = "".join(f"<item><id>{r['id']}</id><title>{r['title']}</title></item>" for r in ROWS)
        return f"<rss><channel>{items}</channel></rss>".encode()
    mark = {"csv": ",", "tsv": "\t"}[kind]
    return "\n".join([f"id{mark}title", *[f'{r["id"]}{mark}"{r["title"]}"' for r in ROWS]]).encode()


def _table(kind: str, path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=300)
        return
    opener = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, opener(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=600)


def _read(path: Path, tmp_path: Path, **settings: object) -> list[dict[str, str]]:
    config = CatalogConfig.model_validate(settings)
    records = list(read_feed(path, config, tmp_path / "scratch"))
    assert [record.row for record in records] == list(range(1, len(records) + 1))
    return [dict(record.values) for record in records]


@pytest.mark.parametrize("kind", ["csv", "tsv", "xml", "jsonl"])
@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_text_formats(kind: str, compress: object, named: bool, tmp_path: Path) -> None:
    path = tmp_path / (f"feed.{kind}.bin" if not named else f"feed.{kind}")
    path.write_bytes(compress(_text(kind)))  # type: ignore[operator]
    assert _read(path, tmp_path) == ROWS


@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_columnar_formats(kind: str, compress: object, tmp_path: Path) -> None:
    path = tmp_path / "feed"
    _table(kind, path)
    path.write_bytes(compress(path.read_bytes()))  # type: ignore[operator]
    format = "parquet" if kind == "parquet" else "arrow"
    assert _read(path, tmp_path, format=format) == ROWS
    if compress is bytes:
        assert _read(path, tmp_path) == ROWS


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_compressed_feed_that_is_cut_off_is_refused(compress: object, tmp_path: Path) -> None:
    path = tmp_path / "feed.csv.z"
    path.write_bytes(compress(_text("csv"))[:-20])  # type: ignore[operator]
    with pytest.raises(InputError, match="cut off"):
        _read(path, tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_columnar_feed_that_is_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"feed.{kind}"
    _table(kind, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="not a readable"):
        _read(path, tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": 1}\n' * 500_000))
    assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match="after decompression"):
        _read(path, tmp_path, max_feed_bytes=1_000_000)


def test_text_in_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes("id;title\n1;Café\n".encode("latin-1"))
    assert _read(path, tmp_path, encoding="latin-1") == [{"id": "1", "title": "Café"}]


def test_feeds_come_from_anywhere(web: Web, tmp_path: Path) -> None:
    local = tmp_path / "feed.csv"
    local.write_bytes(_text("csv"))
    web.pages["/feed.csv"] = Response(_text("csv"))
    fsspec.filesystem("memory").pipe_file("/shop/feed.csv", _text("csv"))
    places = [str(local), f"file://{local}", f"{web.url}/feed.csv", "memory://shop/feed.csv"]
    for i, place in enumerate(places):
        path = local_copy(place, tmp_path / str(i), max_bytes=LIMIT)
        assert path.read_bytes() == _text("csv")
        assert fingerprint(path) == fingerprint(local)


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
        local_copy(place.format(web=web.url), tmp_path / "in", max_bytes=1000)
