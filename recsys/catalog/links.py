"""Image links: where one leads (a file inside the allowed folder, an HTTP address, an object of a store),
and what a file or an object holds. :mod:`recsys.catalog.fetch` gets what is behind an address.
"""

import os
import re
import stat
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fsspec

from recsys.workspace.normalise import ImageError

_MAX_LINK_CHARS = 4096
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """Where a link leads."""

    kind: Literal["file", "http", "object"]
    address: str
    """A path with symlinks resolved, or a URL; the host of an HTTP address is checked on connecting."""
    signature: str | None = None
    """Of a file, its size and modification time: while they stay, the file counts as unchanged."""


class LinkResolver:
    """Resolves links against a base folder or URL, and refuses what leads out of it."""

    def __init__(self, base: str) -> None:
        """``base`` is a local folder, an ``http(s):`` URL or an fsspec URL; relative links start there."""
        self._base = base if base.endswith("/") else base + "/"
        self._folder = None if "://" in base else Path(base).resolve()

    def resolve(self, link: str) -> ImageTarget:
        """Return where ``link`` leads.

        Raises :class:`ImageError` with reason ``bad_link``, ``refused_path`` or ``image_not_found``.
        """
        if len(link) > _MAX_LINK_CHARS or "\0" in link:
            raise ImageError(
                "bad_link", f"The link has {len(link)} characters or a NUL in it.", fix="Correct it."
            )
        try:
            return self._resolve(link)
        except ValueError as error:  # from urllib, for a malformed address
            raise ImageError("bad_link", f"{link} is not a valid address: {error}.") from None

    def _resolve(self, link: str) -> ImageTarget:
        scheme = found.group(1).lower() if (found := _SCHEME.match(link)) else ""
        if scheme in ("http", "https"):
            return _http(link)
        if scheme == "file":
            parts = urllib.parse.urlsplit(link)
            if parts.netloc not in ("", "localhost"):
                raise ImageError("refused_path", f"{link} names a file of another machine.")
            return self._file(urllib.request.url2pathname(parts.path), link)
        if scheme == "data" or (scheme and "://" in link):
            raise ImageError("bad_link", f"{scheme}: links are not fetched; use http(s):, file: or a path.")
        if self._folder is not None:
            return self._file(link, link)
        if self._base.startswith(("http://", "https://")):
            return _http(urllib.parse.urljoin(self._base, link))
        if link.startswith("/") or ".." in Path(link).parts:
            raise ImageError("refused_path", f"{link} leads out of {self._base}.")
        return ImageTarget("object", self._base + link)

    def _file(self, path: str, link: str) -> ImageTarget:
        if self._folder is None:
            raise ImageError(
                "refused_path", f"{link} is a local file, and catalog.images.base is {self._base}."
            )
        try:
            resolved = (self._folder / path).resolve()  # checked before it is known whether it exists
            if not resolved.is_relative_to(self._folder):
                raise ImageError(
                    "refused_path",
                    f"{link} leads out of the folder of the feed's images.",
                    fix="Move the image there, or set catalog.images.base to a folder that holds it.",
                )
            status = resolved.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ImageError("image_not_found", f"There is no file {link}.") from None
        except (OSError, ValueError, RuntimeError) as error:
            raise ImageError("image_not_found", f"{link} cannot be opened: {error}.") from None
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("image_not_found", f"{link} is not a regular file.")
        return ImageTarget("file", str(resolved), f"{status.st_size}-{status.st_mtime_ns}")


def _http(url: str) -> ImageTarget:
    parts = urllib.parse.urlsplit(url)
    host, _ = parts.hostname, parts.port  # urllib checks both when they are read
    if not host:
        raise ImageError("bad_link", f"{url} names no host.")
    return ImageTarget("http", url)


def default_base(feed: str) -> str:
    """Return the folder, or the URL up to the last slash, that a feed lies in."""
    if feed.startswith("file:"):
        feed = urllib.request.url2pathname(urllib.parse.urlsplit(feed).path)
    return feed.rpartition("/")[0] or "." if "://" in feed else str(Path(feed).parent)


def read_file(path: str, max_bytes: int) -> bytes:
    """Read an image file; raises :class:`ImageError` if it is too large, a symlink now, or gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following links
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageError("image_not_found", f"The file cannot be read: {error.strerror}.") from None
    check_size(len(data), max_bytes)
    return data


def read_object(url: str, max_bytes: int, known_signature: str | None) -> tuple[str | None, bytes | None]:
    """Return an object's signature (its ETag, or size and time, if the store gives one) and its bytes.

    The bytes are ``None`` if the signature is still ``known_signature``. Raises :class:`ImageError`.
    """
    try:
        filesystem, path = fsspec.url_to_fs(url)
        info = filesystem.info(path)
        known = [info.get(key) for key in ("ETag", "etag", "LastModified", "mtime", "created")]
        signature = "|".join(map(str, [*known, info.get("size")])) if any(known) else None
        if signature is not None and signature == known_signature:
            return signature, None
        with filesystem.open(path, "rb") as file:
            data: bytes = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError("image_not_found", f"There is no object {url}.") from None
    except OSError as error:
        raise ImageError("image_unavailable", f"{url} could not be read: {error}.") from None
    check_size(len(data), max_bytes)
    return signature, data


def check_size(num_bytes: int, max_bytes: int) -> None:
    """Raise :class:`ImageError` for a file over the limit."""
    if num_bytes > max_bytes:
        raise ImageError(
            "image_oversized",
            f"The file has more than {max_bytes:,} bytes.",
            fix="Export a smaller file, or raise catalog.images.max_bytes.",
        )
