"""One catalog in every format and compression gives the same records; damaged feeds are refused."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from recsys.catalog.readers import feed
from recsys.catalog.readers.feed import fingerprint, local_copy, read_feed
from recsys.config import CatalogConfig
from recsys.errors import InputError, TransientError
from tests.catalog.web import Response, Web, trickling

GZIP = {"Content-Encoding": "gzip"}
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
        ("{web}/round.csv", InputError),
        ("http://127.0.0.1:9/feed.csv", TransientError),
    ],
)
def test_feeds_that_cannot_be_fetched(place: str, error: type[Exception], web: Web, tmp_path: Path) -> None:
    web.pages["/large.csv"] = Response(b"x" * 5000)
    web.pages["/down.csv"] = Response(status=503)
    web.pages["/round.csv"] = Response(status=302, headers={"Location": "/round.csv"})
    with pytest.raises(error):
        local_copy(place.format(web=web.url), tmp_path, max_bytes=1000)


@pytest.mark.parametrize("cut", [False, True])
def test_a_feed_sent_with_gzip_is_unpacked_and_a_shorter_one_refused(
    cut: bool, web: Web, tmp_path: Path
) -> None:
    """Gzip may have several members, and a redirect may lead to it."""
    sent = b"id,title\n" + b"1,Mug\n" * 100_000
    body = gzip.compress(sent[:1000]) + gzip.compress(sent[1000:])
    web.pages["/feed.csv"] = Response(body[:-20] if cut else body, headers=GZIP)
    web.pages["/moved.csv"] = Response(status=301, headers={"Location": "/feed.csv"})
    with pytest.raises(TransientError, match="ends early") if cut else nullcontext():
        assert local_copy(f"{web.url}/moved.csv", tmp_path, max_bytes=10**6).read_bytes() == sent
    assert web.requests[-1].headers["accept-encoding"] == "gzip"


def test_a_feed_shorter_than_its_length_is_refused(web: Web, tmp_path: Path) -> None:
    web.pages["/feed.csv"] = Response(b"id,title\n1,Mu", claimed_length=15)
    with pytest.raises(TransientError, match="received 13 bytes, expected 15"):
        local_copy(f"{web.url}/feed.csv", tmp_path, max_bytes=10**6)


@pytest.mark.parametrize(
    ("encoding", "status", "says"),
    [("gzip, gzip", 200, "encoding 'gzip, gzip'"), ("gzip", 200, "over 100,000"), ("gzip", 302, "redirect")],
)
def test_a_feed_is_unpacked_within_bounds(
    encoding: str, status: int, says: str, web: Web, tmp_path: Path
) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    headers = {"Content-Encoding": encoding, "Location": "/feed.csv"}
    body = gzip.compress(bomb) if "," in encoding else bomb
    web.pages["/feed.csv"] = Response(body, status, headers)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=says):
            local_copy(f"{web.url}/feed.csv", tmp_path, max_bytes=100_000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_feed_that_trickles_ends_at_the_deadline(
    head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_DOWNLOAD_S", 0.5)
    with trickling(head) as url, pytest.raises(TransientError, match="took too long"):
        local_copy(url, tmp_path, max_bytes=10**6)
