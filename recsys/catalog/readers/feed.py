"""From a feed's path or URL to its records: fetch, fingerprint, decompress, pick the reader."""

import csv
import hashlib
import io
import logging
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import httpx
import pyarrow as pa

from recsys.catalog.http_body import RefusedEncodingError, iter_body
from recsys.catalog.readers import FeedRecord
from recsys.catalog.readers.columnar import read_arrow, read_parquet
from recsys.catalog.readers.shopify import is_shopify, read_shopify
from recsys.catalog.readers.text import read_delimited, read_jsonl, read_lines
from recsys.catalog.readers.xml import read_xml
from recsys.catalog.ssrf import GuardedBackend, GuardedTransport
from recsys.config import CatalogConfig
from recsys.errors import InputError, TransientError

logger = logging.getLogger(__name__)

_DOWNLOAD_S = 2 * 3600.0
"""That a download may take, all redirects included: half of what the nightly DAG gives its ingest."""
_MAX_REDIRECTS = 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_COMPRESSIONS = (".gz", ".zst", ".zstd", ".gzip")
_SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".xml": "xml", ".rss": "xml", ".atom": "xml",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow",
    ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip


def local_copy(url: str, folder: Path, *, max_bytes: int) -> Path:
    """Return a local file with the feed, fetched into ``folder`` unless ``url`` is local already.

    Raises :class:`InputError` if it does not exist, :class:`TransientError` if it cannot be fetched now.
    """
    if url.startswith("file:"):
        url = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
    if "://" not in url:
        path = Path(url)
        if not path.is_file():
            raise InputError(
                f"There is no feed at {path}.", fix="Set catalog.feed to the path or URL of the feed."
            )
        return path
    target = folder / (Path(urllib.parse.urlsplit(url).path).name or "feed")
    partial = target.with_name(f".{target.name}.part")
    try:
        if url.startswith(("http://", "https://")):
            _download(url, partial, max_bytes)
        else:
            with fsspec.open(url, "rb") as source, partial.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    except FileNotFoundError:
        raise InputError(
            f"There is no feed at {url}.", fix="Set catalog.feed to the path or URL of the feed."
        ) from None
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{url} cannot be opened: {error}.", fix="Install that fsspec file system, or copy the feed."
        ) from None
    except RefusedEncodingError as error:
        raise InputError(
            f"{url} answered with {error}.", fix="Let the server send the feed as it is, or with gzip."
        ) from None
    except (OSError, httpx.HTTPError) as error:
        raise TransientError(
            f"{url} could not be fetched: {error!r}.", fix="Try again; check catalog.feed and the server."
        ) from None
    partial.replace(target)
    return target


def _download(url: str, target: Path, max_bytes: int) -> None:
    """Fetch a feed over HTTP; its address comes from the configuration, so it may be a private one."""
    backend = GuardedBackend(allow_private=True)
    backend.deadline.at = time.monotonic() + _DOWNLOAD_S
    transport = GuardedTransport(backend, max_connections=1, retries=3, trust_env=True)
    with httpx.Client(timeout=60, transport=transport, headers={"Accept-Encoding": "gzip"}) as client:
        request = client.build_request("GET", url)
        for _ in range(_MAX_REDIRECTS + 1):
            with closing(client.send(request, stream=True)) as response:
                if response.next_request is None:
                    _save(response, url, target, max_bytes)
                    return
                request = response.next_request  # httpx itself would unpack what comes with a redirect
    raise InputError(
        f"{url} is still a redirect after {_MAX_REDIRECTS}.", fix="Check catalog.feed and the server."
    )


def _save(response: httpx.Response, url: str, target: Path, max_bytes: int) -> None:
    status = response.status_code
    if status != 200:
        kind = TransientError if status == 429 or status >= 500 else InputError
        raise kind(f"{url} answered {status}.", fix="Check catalog.feed and the server.")
    with target.open("wb") as file:
        for piece in iter_body(response):
            file.write(piece)
            if file.tell() > max_bytes:
                raise InputError(f"{url} has over {max_bytes:,} bytes.", fix="Raise catalog.max_feed_bytes.")


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the feed's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_feed(path: Path, config: CatalogConfig, scratch: Path) -> Iterator[FeedRecord]:
    """Yield the records of a local feed file; memory is one record or one small batch.

    ``scratch`` is a folder for a decompressed copy of a columnar feed. Raises :class:`InputError` if
    the feed cannot be read on; broken records are yielded as such.
    """
    try:
        kind = config.format if config.format != "auto" else detect_format(path, config)
        logger.info("reading %s as %s", path.name, kind)
        if kind in ("parquet", "arrow"):
            plain = _decompressed(path, scratch, config.max_feed_bytes)
            yield from read_parquet(plain) if kind == "parquet" else read_arrow(plain)
        else:
            with _open(path, config.max_feed_bytes) as stream:
                yield from _read_text(kind, stream, config)
    except (pa.ArrowException, UnicodeDecodeError) as error:  # a name of a column may be no UTF-8
        raise InputError(
            f"The feed is not a readable {kind} file: {error}.",
            fix="Write it again; a file cut off while it was copied is the usual cause.",
        ) from None
    except OSError as error:
        raise InputError(
            f"{path.name} is cut off or damaged: {error}.", fix="Export or copy the feed again, whole."
        ) from None


def _read_text(kind: str, stream: BinaryIO, config: CatalogConfig) -> Iterator[FeedRecord]:
    if kind == "xml":
        return read_xml(stream, max_row_bytes=config.max_row_bytes)
    text = read_lines(stream, encoding=config.encoding, max_row_bytes=config.max_row_bytes)
    if kind == "jsonl":
        return read_jsonl(text)
    delimiter = config.delimiter or ("\t" if kind == "tsv" else None)
    records = read_delimited(text, delimiter=delimiter, max_row_chars=config.max_row_bytes)
    return read_shopify(records) if kind == "shopify" else records


def detect_format(path: Path, config: CatalogConfig) -> str:
    """Name the format by the file's name; if that says nothing, or says CSV, by its first bytes."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in _COMPRESSIONS]
    kind = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind not in (None, "csv"):
        return str(kind)
    with _open(path, config.max_feed_bytes) as stream:
        head = stream.read(65_536)
    text = head.decode(config.encoding, errors="replace").lstrip("\ufeff \r\n\t")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    if text.startswith("<"):
        return "xml"
    if text.startswith(("{", "[")):
        return "jsonl"
    first_line = next(iter(text.splitlines()), "")
    return "shopify" if is_shopify(next(csv.reader([first_line]), [])) else "csv"


def _open(path: Path, max_bytes: int) -> BinaryIO:
    """Open a feed for reading, decompressed, bounded and buffered."""
    compression = compression_of(path)
    # Arrow's decompression, unlike most, notices a feed that is cut off.
    source = pa.CompressedInputStream(pa.OSFile(str(path)), compression) if compression else path.open("rb")
    return io.BufferedReader(_BoundedReader(source, max_bytes), 1 << 16)


class _BoundedReader(io.RawIOBase):
    """Ends a feed that decompresses into more than ``limit`` bytes."""

    def __init__(self, source: BinaryIO, limit: int) -> None:
        super().__init__()
        self._source, self._limit, self._num_bytes = source, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        self._num_bytes += len(data)
        if self._num_bytes > self._limit:
            raise InputError(
                f"The feed has more than {self._limit:,} bytes after decompression.",
                fix="Raise catalog.max_feed_bytes if that is right; otherwise look at the feed.",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def compression_of(path: Path) -> str | None:
    """Return ``gzip`` or ``zstd``, by the file's first bytes; ``None`` for a file that is not compressed."""
    with path.open("rb") as file:
        magic = file.read(4)
    return "gzip" if magic[:2] == _GZIP else "zstd" if magic == _ZSTD else None


def _decompressed(path: Path, scratch: Path, max_bytes: int) -> Path:
    if not compression_of(path):
        return path
    target = scratch / "feed.plain"
    with _open(path, max_bytes) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    return target
