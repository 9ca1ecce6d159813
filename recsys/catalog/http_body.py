"""The body of an HTTP response, whoever sends it: one compression is undone, in pieces of bounded size.

httpx would undo any number of them, each without a bound.
"""

import zlib
from collections.abc import Iterator

import httpx

_PIECE_BYTES = 1 << 18
_WBITS = {"": None, "identity": None, "gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content encoding → zlib's name for it."""


class RefusedEncodingError(Exception):
    """A response has a content encoding that cannot be undone within bounds."""


def iter_body(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body of a streamed ``response``, its compression undone, in pieces of at most 256 KiB.

    Raises :class:`RefusedEncodingError`, and httpx's errors: ``DecodingError`` for compressed data that is
    damaged or ends early, ``RemoteProtocolError`` for a body shorter than its Content-Length.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _WBITS:
        raise RefusedEncodingError(f"the content encoding {encoding[:60]!r}; none or gzip was expected")
    wbits = _WBITS[encoding]
    if wbits is None:
        yield from response.iter_raw()
        return
    decoder = zlib.decompressobj(wbits)
    try:
        for chunk in response.iter_raw():
            rest, piece = chunk, b""
            while rest or (len(piece) == _PIECE_BYTES and not decoder.eof):
                if decoder.eof:  # gzip may go on with another member
                    decoder = zlib.decompressobj(wbits)
                yield (piece := decoder.decompress(rest, _PIECE_BYTES))
                rest = decoder.unconsumed_tail or decoder.unused_data
    except zlib.error as error:
        raise httpx.DecodingError(f"its compression is damaged: {error}") from None
    if not decoder.eof:
        raise httpx.DecodingError("its compression ends early")
