"""Google Merchant's XML feed: RSS 2.0 ``item`` or Atom ``entry`` elements, streamed.

Entity declarations, and so entity bombs, and external references are refused.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from recsys.catalog.readers import FeedRecord
from recsys.errors import InputError

_RECORDS = ("item", "entry")
_GOOGLE = "http://base.google.com/"
_MAX_DEPTH = 32


def read_xml(stream: BinaryIO, *, max_row_bytes: int) -> Iterator[FeedRecord]:
    """Yield one record per ``item`` or ``entry``; repeated elements become lists, nested ones mappings.

    ``g:id`` wins over a plain ``id``. Raises :class:`InputError` for XML that is malformed, declares
    entities, or has a record over ``max_row_bytes``.
    """
    source = _Bounded(stream, max_row_bytes)
    path: list[Element] = []
    number = 0
    try:
        for event, element in iterparse(source, events=("start", "end")):
            if event == "start":
                path.append(element)
                if len(path) > _MAX_DEPTH:
                    raise _too_large(f"is nested over {_MAX_DEPTH} deep", max_row_bytes)
                continue
            path.pop()
            if _local(element.tag) in _RECORDS:
                number += 1
                yield FeedRecord(number, _values(element))
                source.start_record()
            if not any(_local(parent.tag) in _RECORDS for parent in path):
                element.clear()
                if path:
                    path[-1].remove(element)
    except DefusedXmlException as error:
        raise InputError(
            f"The feed declares entities or external references, which are never followed: {error!r}.",
            fix="Export the feed without a DOCTYPE; write characters directly or as &#...;",
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(
            f"The feed is not well-formed XML after {number} products: {error}.",
            fix="Export it again, whole; a copy that stopped early is the usual cause.",
        ) from None


class _Bounded:
    """Counts what the parser reads of one record, so that an endless one cannot fill the memory."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit, self._num_bytes = stream, limit, 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._num_bytes += len(data)
        if self._num_bytes > self._limit + max(size, 0):
            raise _too_large(f"has over {self._limit:,} bytes", self._limit)
        return data

    def start_record(self) -> None:
        self._num_bytes = 0


def _too_large(found: str, limit: int) -> InputError:
    return InputError(
        f"A record of the XML feed {found}; at most {limit:,} bytes and {_MAX_DEPTH} levels are read.",
        fix="Check that it is a Google Merchant feed; raise catalog.max_row_bytes if such records are right.",
    )


def _values(element: Element) -> dict[str, Any]:
    plain: dict[str, list[Any]] = {}
    google: dict[str, list[Any]] = {}
    for child in element:
        values = google if _GOOGLE in str(child.tag) else plain
        text = (child.text or "").strip() or child.get("href") or ""
        values.setdefault(_local(child.tag), []).append(_values(child) if len(child) else text)
    return {name: v[0] if len(v) == 1 else v for name, v in {**plain, **google}.items()}


def _local(tag: Any) -> str:
    return str(tag).rpartition("}")[2]
