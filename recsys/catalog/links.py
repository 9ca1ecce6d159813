"""Where an image's link leads: a file inside the allowed folder, an HTTP address, or nowhere.

Does not know: what is behind the link.
"""

import os
import re
import stat
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import fsspec

from recsys.workspace.normalise import ImageError

_MAX_LINK_CHARS = 4096
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A regular file inside the base folder, symlinks resolved."""

    path: str
    signature: str
    """Size and modification time: equal, and the file is taken to be unchanged."""


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """An address to fetch; its host is checked when it is connected to."""

    url: str


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """An object under a base that is an object store's URL."""

    url: str


Target = FileTarget | HttpTarget | StoreTarget


class LinkResolver:
    """Resolves links against a base folder or URL, and refuses what leads out of it."""

    def __init__(self, base: str) -> None:
        """``base`` is a local folder, an ``http(s):`` URL, or an fsspec URL, of which paths are relative."""
        self._base = base if base.endswith("/") else base + "/"
        self._is_url = "://" in base
        self._folder = None if self._is_url else Path(base).resolve()

    def resolve(self, link: str) -> Target:
        """Return where ``link`` leads.

        Raises :class:`ImageError` with reason ``bad_link``, ``refused_path`` or ``image_not_found``.
        """
        if len(link) > _MAX_LINK_CHARS or "\0" in link:
            raise ImageError(
                "bad_link", f"The link has {len(link)} characters or a NUL in it.", fix="Correct it."
            )
        try:
            return self._resolve(link)
        except ValueError as error:  # what urllib says of a malformed address
            raise ImageError("bad_link", f"{link} is not a valid address: {error}.") from None

    def _resolve(self, link: str) -> Target:
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
        return self._under_url(link) if self._is_url else self._file(link, link)

    def _under_url(self, link: str) -> Target:
        if self._base.startswith(("http://", "https://")):
            return _http(urllib.parse.urljoin(self._base, link))
        if link.startswith("/") or ".." in Path(link).parts:
            raise ImageError("refused_path", f"{link} leads out of {self._base}.")
        return StoreTarget(self._base + link)

    def _file(self, path: str, link: str) -> FileTarget:
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
        return FileTarget(str(resolved), f"{status.st_size}-{status.st_mtime_ns}")


def _http(url: str) -> HttpTarget:
    parts = urllib.parse.urlsplit(url)
    host, _ = parts.hostname, parts.port  # both are checked when they are asked for
    if not host:
        raise ImageError("bad_link", f"{url} names no host.")
    return HttpTarget(url)


def default_base(feed: str) -> str:
    """Return the folder, or the URL up to the last slash, that a feed lies in."""
    if feed.startswith("file:"):
        feed = urllib.request.url2pathname(urllib.parse.urlsplit(feed).path)
    return feed.rpartition("/")[0] or "." if "://" in feed else str(Path(feed).parent)


def read_file(target: FileTarget, max_bytes: int) -> bytes:
    """Read an image file; raises :class:`ImageError` where it is too large or went away."""
    try:
        handle = os.open(target.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, opened without following links
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageError("image_not_found", f"The file cannot be read: {error.strerror}.") from None
    if len(data) > max_bytes:
        raise oversized(max_bytes)
    return data


def read_object(target: StoreTarget, max_bytes: int) -> bytes:
    """Read an object of a store; raises :class:`ImageError` as :func:`read_file` does."""
    try:
        with fsspec.open(target.url, "rb") as file:
            data: bytes = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError("image_not_found", f"There is no object {target.url}.") from None
    except OSError as error:
        raise ImageError("image_unavailable", f"{target.url} could not be read: {error}.") from None
    if len(data) > max_bytes:
        raise oversized(max_bytes)
    return data


def store_signature(target: StoreTarget) -> str | None:
    """Return what changes when the object does (ETag, or size and time), where the store says it."""
    filesystem, path = fsspec.url_to_fs(target.url)
    try:
        info = filesystem.info(path)
    except FileNotFoundError:
        raise ImageError("image_not_found", f"There is no object {target.url}.") from None
    except OSError as error:
        raise ImageError("image_unavailable", f"{target.url} could not be read: {error}.") from None
    known = [info.get(key) for key in ("ETag", "etag", "size", "LastModified", "mtime", "created")]
    return "|".join(map(str, known)) if any(value is not None for value in known[:2] + known[3:]) else None


def oversized(max_bytes: int) -> ImageError:
    """Return the error of a file over the limit."""
    return ImageError(
        "image_oversized",
        f"The file has more than {max_bytes:,} bytes.",
        fix="Export a smaller file, or raise catalog.images.max_bytes.",
    )
