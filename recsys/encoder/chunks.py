"""What a stream works on: chunks of rows, the jobs they need, and the rows their results go to.

    N = rows of a chunk, U = its different pictures, T = its different texts, F = features of a tower

Does not know: threads, devices' streams, product rows; it sees contents (a text, some pictures).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.encoder import fusion
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import Content
from recsys.encoder.text_cache import TextCache
from recsys.workspace.embeddings import Vectors

Float32 = NDArray[np.float32]

_WINDOW = 16
"""Earlier chunks in which a picture is looked up before it is encoded again."""


class Results:
    """Features of U pictures or T texts, filled batch by batch."""

    def __init__(self) -> None:
        self._parts: list[tuple[list[int], torch.Tensor]] = []
        self._copied: torch.cuda.Event | None = None

    def add(self, slots: list[int], features: torch.Tensor) -> None:
        """Take the features ``[B, F]`` of some slots; the copy from a GPU is started, not awaited."""
        if features.device.type == "cuda":
            host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
            host.copy_(features, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()
            features = host
        self._parts.append((slots, features))

    def gather(self, count: int, dim: int) -> torch.Tensor:
        """Return ``[count, dim]`` float32 on the CPU and forget the parts."""
        if self._copied is not None:
            self._copied.synchronize()
        gathered = torch.zeros(count, dim)
        for slots, features in self._parts:
            gathered[slots] = features.float()
        self._parts = []
        return gathered


@dataclass(eq=False)
class Chunk:
    """Some consecutive rows: which pictures and texts they have and, once finished, their features."""

    contents: list[Content]
    slots: dict[bytes, int] = field(default_factory=dict)
    """Picture → its row in ``images``."""
    text_slots: dict[str | None, int] = field(default_factory=dict)
    """Text → its row in ``texts``."""
    borrowed: list[tuple[int, "Chunk", int]] = field(default_factory=list)
    """Own slot, the earlier chunk that has the picture, its slot there."""
    new_texts: list[str] = field(default_factory=list)
    image_results: Results = field(default_factory=Results)
    text_results: Results = field(default_factory=Results)
    images: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    """``[U, F]`` once finished."""
    texts: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    """``[T, F]`` once finished."""

    def finish(self, encoder: ProductEncoder) -> None:
        """Gather the features; every job of this chunk is done and every earlier chunk finished."""
        self.images = self.image_results.gather(len(self.slots), encoder.image_tower.dim)
        for slot, chunk, theirs in self.borrowed:
            self.images[slot] = chunk.images[theirs]
        self.borrowed = []
        self.texts = self.text_results.gather(len(self.text_slots), encoder.text_tower.dim)

    def text_rows(self) -> NDArray[np.int64]:
        """Return the row of ``texts`` of each content, ``[N]``; -1 where none is needed."""
        return np.array([self.text_slots.get(_text(c), -1) for c in self.contents], np.int64)

    def image_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return offsets ``[N + 1]`` and rows of ``images``: content n has those from offset n to n + 1."""
        offsets = np.cumsum([0, *(len(c.images) for c in self.contents)], dtype=np.int64)
        return offsets, np.array([self.slots[s] for c in self.contents for s in c.images], np.int64)

    def text_vectors(self, encoder: ProductEncoder) -> Float32:
        """Return the text vector of each content, ``[N, D]``, unit norm; zero where none is needed."""
        with torch.inference_mode():
            projected: Float32 = encoder.project_text(self.texts.to(encoder.mean.device)).cpu().numpy()
        rows = self.text_rows()
        vectors = np.zeros((len(rows), encoder.dim), np.float32)
        vectors[rows >= 0] = projected[rows[rows >= 0]]
        return vectors

    def vectors(self, encoder: ProductEncoder) -> Vectors:
        """Return both halves of each row ``[N, D]``, the missing ones replaced."""
        with torch.inference_mode():
            pictures = encoder.project_image(self.images.to(encoder.mean.device)).cpu().numpy()
        has_image = np.array([bool(content.images) for content in self.contents])
        has_text = np.array([content.text is not None for content in self.contents])
        image = fusion.mean_images(pictures, *self.image_rows())
        return fusion.fuse(image, self.text_vectors(encoder), has_image, has_text)


@dataclass(frozen=True)
class Job:
    """One forward pass: pictures, or texts, of one chunk."""

    chunk: Chunk
    sha256s: tuple[bytes, ...] = ()
    texts: tuple[str, ...] = ()

    def done(self, features: torch.Tensor) -> None:
        """Take the features ``[B, F]``."""
        if self.sha256s:
            self.chunk.image_results.add([self.chunk.slots[sha] for sha in self.sha256s], features)
        else:
            self.chunk.text_results.add([self.chunk.text_slots[text] for text in self.texts], features)


def plan_jobs(
    contents: Iterable[Content], *, chunk_size: int, batch_size: int, cache: tuple[TextCache, str] | None
) -> Iterator[Job | Chunk]:
    """Yield each chunk's jobs and then the chunk itself.

    A picture that one of the last chunks had, and a text that the cache (with the tower's digest) has, is
    not encoded again. Texts are sorted by length, the longest first: little is padded, and the batch that
    needs the most memory comes before any time was spent.
    """
    recent: deque[Chunk] = deque(maxlen=_WINDOW)
    source = iter(contents)
    while some := list(islice(source, chunk_size)):
        chunk = Chunk(some)
        pictures = _new_pictures(chunk, recent)
        recent.append(chunk)
        for start in range(0, len(pictures), batch_size):
            yield Job(chunk, sha256s=tuple(pictures[start : start + batch_size]))
        _find_texts(chunk, cache)
        texts = sorted(chunk.new_texts, key=len, reverse=True)
        for start in range(0, len(texts), batch_size):
            yield Job(chunk, texts=tuple(texts[start : start + batch_size]))
        yield chunk


def _new_pictures(chunk: Chunk, recent: deque[Chunk]) -> list[bytes]:
    new = []
    for sha in (sha for content in chunk.contents for sha in content.images):
        if sha in chunk.slots:
            continue
        slot = chunk.slots[sha] = len(chunk.slots)
        earlier = next((c for c in reversed(recent) if sha in c.slots), None)
        if earlier is None:
            new.append(sha)
        else:
            chunk.borrowed.append((slot, earlier, earlier.slots[sha]))
    return new


def _find_texts(chunk: Chunk, cache: tuple[TextCache, str] | None) -> None:
    for text in dict.fromkeys(_text(content) for content in chunk.contents):
        if text is None:
            continue
        slot = chunk.text_slots[text] = len(chunk.text_slots)
        known = cache[0].get(cache[1], text) if cache is not None else None
        if known is None:
            chunk.new_texts.append(text)
        else:
            chunk.text_results.add([slot], torch.from_numpy(known)[None])


def _text(content: Content) -> str | None:
    """Return the text to encode: the content's; an empty one for a content that has nothing at all."""
    return "" if content.text is None and not content.images else content.text
