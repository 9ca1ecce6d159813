"""Features of texts, kept between streams.

Does not know: how features are made.
"""

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class TextCache:
    """Features of texts by text tower and text: candidates that share a frozen tower read each text once.

    Holds at most ``max_entries`` features (1.5 KB each at 384 dimensions), the least recently used go first.
    """

    def __init__(self, max_entries: int = 200_000) -> None:
        self._features: OrderedDict[bytes, Float32] = OrderedDict()
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._features)

    def get(self, digest: str, text: str) -> Float32 | None:
        """Return the features ``[F]`` of ``text`` under the tower with this digest, if they are here."""
        key = _text_key(digest, text)
        found = self._features.get(key)
        if found is not None:
            self._features.move_to_end(key)
        return found

    def put(self, digest: str, text: str, features: Float32) -> None:
        """Remember the features ``[F]`` of ``text``."""
        self._features[_text_key(digest, text)] = features
        if len(self._features) > self._max_entries:
            self._features.popitem(last=False)


def _text_key(digest: str, text: str) -> bytes:
    return hashlib.blake2b(f"{digest}\0{text}".encode(), digest_size=16).digest()
