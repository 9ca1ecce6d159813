"""A small record in an object store that several machines change: who was not first is refused.

S3, and what speaks its protocol, compares on the server (``If-Match``, ``If-None-Match`` of ``PutObject``).
Where a server ignores these headers, as some old ones do, the last change wins.
"""

from collections.abc import Mapping
from typing import Any

from recsys.errors import DamagedError
from recsys.workspace import checksums


def can_swap(fs: Any) -> bool:
    """Tell whether an fsspec file system changes a file only if it is what it was."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "s3" in protocols


class SharedRecord:
    """A sealed record at ``path`` of a file system that :func:`can_swap`."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs, self._path = fs, path

    def tag(self) -> str | None:
        """Return what tells the record's present state from all others; ``None``: there is no record."""
        try:
            return str(self._fs.info(self._path, refresh=True)["ETag"])
        except FileNotFoundError:
            return None

    def read(self) -> tuple[dict[str, Any] | None, str | None]:
        """Return the record and its tag, ``None`` twice if there is none; raises :class:`DamagedError`."""
        tag = self.tag()  # first: with an older tag than the record's, swap() refuses
        try:
            return checksums.unseal(self._fs.cat_file(self._path)), tag
        except FileNotFoundError:
            return None, None
        except checksums.RecordError as error:
            raise DamagedError(
                f"{self._path} is damaged: it {error}.",
                fix="Delete that file while nothing runs: it is written anew.",
            ) from None

    def swap(self, value: Mapping[str, Any], tag: str | None) -> str | None:
        """Write ``value`` if the record's tag is still ``tag``; return the new tag, ``None`` if it is not.

        Values have to differ from each other: one that is found there was written by an attempt whose answer
        was lost.
        """
        condition = {"IfMatch": tag} if tag else {"mode": "create"}
        try:
            answer = self._fs.pipe_file(self._path, checksums.seal(value).encode(), **condition)
        except OSError as error:
            if not _is_refusal(error):
                raise
            found, tag = self.read()
            return tag if found == value else None
        return str(answer["ETag"])


def _is_refusal(error: OSError) -> bool:
    if isinstance(error, FileExistsError | FileNotFoundError):  # there is one; there is none to match
        return True
    response = getattr(error.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status in (409, 412)  # changed just now; changed before
