"""The machinery of :mod:`recsys.encoder.inference`: what is read ahead, in which batches, into which rows.

    N = rows of a chunk, U = its different pictures, T = its different texts, F = features of a tower

Does not know: product rows; it sees contents (a text, some pictures).
"""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.encoder import fusion
from recsys.encoder.model import ProductEncoder
from recsys.encoder.prefetch import prefetch
from recsys.encoder.template import Content
from recsys.encoder.text_cache import TextCache
from recsys.encoder.towers.base import Tokens
from recsys.workspace.embeddings import Vectors

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]

_WINDOW = 16
"""Earlier chunks whose pictures are looked up before a picture is encoded again."""


class Images(Protocol):
    """Where pictures come from: :class:`recsys.workspace.images.ImageStore`, or a fake."""

    def jpeg(self, sha256: bytes, /) -> bytes:
        """Return the JPEG of one picture; called from several threads."""


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """How a stream is run; nothing here changes a vector beyond rounding."""

    batch_size: int = 64
    """Pictures, or texts, per forward pass."""
    chunk_size: int = 1024
    """Rows read, sorted and finished together."""
    num_workers: int = 2
    """Threads that decode; 0 decodes in line."""
    device: str = "auto"
    """``auto`` takes a GPU where there is one."""
    overlap: bool | None = None
    """Decode ahead while the model computes; unset does so on a GPU only."""

    def torch_device(self) -> torch.device:
        """Return the device that ``device`` stands for."""
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class _Results:
    """Features of U or T things, filled batch by batch; on a GPU the copy back is awaited at the end."""

    device: torch.device
    parts: list[tuple[NDArray[np.int64], torch.Tensor]] = field(default_factory=list)
    known: list[tuple[NDArray[np.int64], torch.Tensor]] = field(default_factory=list)
    _done: torch.cuda.Event | None = None

    def add(self, slots: NDArray[np.int64], features: torch.Tensor) -> None:
        """Take one batch's features; its copy to the host is started, not awaited."""
        if self.device.type == "cuda":
            host = torch.empty(features.shape, dtype=features.dtype, pin_memory=True)
            host.copy_(features, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()
            features = host
        self.parts.append((slots, features))

    def gather(self, count: int, dim: int) -> torch.Tensor:
        """Return ``[count, dim]`` float32 on the CPU."""
        if self._done is not None:
            self._done.synchronize()
        out = torch.zeros(count, dim)
        for slots, features in (*self.known, *self.parts):
            out[torch.from_numpy(slots)] = features.float()
        return out


@dataclass
class Chunk:
    """Some consecutive rows: which pictures and texts they have, and, once run, the features."""

    device: torch.device
    has_image: NDArray[np.bool_]
    has_text: NDArray[np.bool_]
    image_offsets: NDArray[np.int64]
    image_index: NDArray[np.int64]
    text_index: NDArray[np.int64]
    slots: dict[bytes, int]
    num_texts: int
    new_texts: list[tuple[int, str]] = field(default_factory=list)
    image_results: _Results = field(init=False)
    text_results: _Results = field(init=False)
    borrowed: list[tuple[int, "Chunk", int]] = field(default_factory=list)
    images: torch.Tensor = field(init=False)
    texts: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.image_results, self.text_results = _Results(self.device), _Results(self.device)

    def finish(self, encoder: ProductEncoder) -> None:
        """Gather features on the CPU; earlier chunks are finished by now."""
        self.images = self.image_results.gather(len(self.slots), encoder.image_tower.dim)
        for slot, chunk, theirs in self.borrowed:
            self.images[slot] = chunk.images[theirs]
        self.texts = self.text_results.gather(self.num_texts, encoder.text_tower.dim)
        self.borrowed = []

    def text_vectors(self, encoder: ProductEncoder) -> Float32:
        """Return unit vectors ``[T, D]``."""
        with torch.inference_mode():
            projected: Float32 = encoder.project_text(self.texts.to(encoder.mean.device)).cpu().numpy()
        return projected

    def vectors(self, encoder: ProductEncoder) -> Vectors:
        """Return both halves of each row ``[N, D]``, the missing ones replaced."""
        with torch.inference_mode():
            pictures = encoder.project_image(self.images.to(encoder.mean.device)).cpu().numpy()
        image = fusion.mean_images(pictures, self.image_offsets, self.image_index)
        return fusion.fuse(image, self.text_vectors(encoder)[self.text_index], self.has_image, self.has_text)


@dataclass(frozen=True)
class _ImageBatch:
    chunk: Chunk
    slots: NDArray[np.int64]
    pixels: torch.Tensor


@dataclass(frozen=True)
class _TextBatch:
    chunk: Chunk
    slots: NDArray[np.int64]
    texts: list[str]
    tokens: Tokens


_Work = _ImageBatch | _TextBatch | Chunk


class Stream:
    """One run of one encoder over one stream of contents."""

    def __init__(
        self,
        encoder: ProductEncoder,
        images: Images,
        options: InferenceOptions,
        cache: TextCache | None,
        *,
        read_texts: bool = True,
    ) -> None:
        self.options, self.images, self.cache = options, images, cache
        self.device = options.torch_device()
        self.encoder = encoder.to(self.device).eval()
        self.read_texts = read_texts
        self.digest = encoder.text_digest() if cache is not None else ""
        self.copies = (
            torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        )
        self.recent: deque[Chunk] = deque(maxlen=_WINDOW)

    def run(self, contents: Iterable[Content]) -> Iterator[Chunk]:
        """Yield finished chunks in order."""
        overlap = self.options.overlap if self.options.overlap is not None else self.device.type == "cuda"
        pool = ThreadPoolExecutor(self.options.num_workers, "decode") if self.options.num_workers else None
        work: Iterator[_Work] = self._prepare(iter(contents), pool)
        if overlap:
            work = prefetch(work, depth=4)
        ended: Chunk | None = None
        try:
            for item in work:
                if not isinstance(item, Chunk):
                    self._encode(item)
                    continue
                if ended is not None:  # one chunk late: the next one is under way while its copy is awaited
                    yield self._finished(ended)
                ended = item
            if ended is not None:
                yield self._finished(ended)
        finally:
            if isinstance(work, prefetch):
                work.close()
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _finished(self, chunk: Chunk) -> Chunk:
        chunk.finish(self.encoder)
        if self.cache is not None:
            for slot, text in chunk.new_texts:
                self.cache.put(self.digest, text, chunk.texts[slot].numpy().copy())
        return chunk

    # -- ahead of the model ----------------------------------------------------------------------

    def _prepare(self, contents: Iterator[Content], pool: ThreadPoolExecutor | None) -> Iterator[_Work]:
        while batch := list(islice(contents, self.options.chunk_size)):
            chunk, new_images, new_texts = self._plan(batch)
            step = self.options.batch_size
            for start in range(0, len(new_images), step):
                some = new_images[start : start + step]
                slots = np.array([chunk.slots[sha] for sha in some], np.int64)
                yield _ImageBatch(chunk, slots, self._decode(some, pool))
            new_texts.sort(
                key=lambda pair: len(pair[1]), reverse=True
            )  # the largest batch first: memory shows at once
            for start in range(0, len(new_texts), step):
                part = new_texts[start : start + step]
                texts = [text for _, text in part]
                tokens = self._pin(self.encoder.tokenize(texts))
                yield _TextBatch(chunk, np.array([slot for slot, _ in part], np.int64), texts, tokens)
            yield chunk

    def _plan(self, contents: list[Content]) -> tuple[Chunk, list[bytes], list[tuple[int, str]]]:
        slots: dict[bytes, int] = {}
        text_slots: dict[str, int] = {}
        index = [slots.setdefault(sha, len(slots)) for content in contents for sha in content.images]
        if self.read_texts:
            text_index = [text_slots.setdefault(content.text or "", len(text_slots)) for content in contents]
        else:
            text_index = []
        chunk = Chunk(
            device=self.device,
            has_image=np.array([bool(c.images) for c in contents]),
            has_text=np.array([c.text is not None for c in contents]),
            image_offsets=np.cumsum([0, *(len(c.images) for c in contents)], dtype=np.int64),
            image_index=np.array(index, np.int64),
            text_index=np.array(text_index, np.int64),
            slots=slots,
            num_texts=len(text_slots),
        )
        new_images = []
        for sha, slot in slots.items():
            earlier = next((c for c in reversed(self.recent) if sha in c.slots), None)
            if earlier is None:
                new_images.append(sha)
            else:
                chunk.borrowed.append((slot, earlier, earlier.slots[sha]))
        for text, slot in text_slots.items():
            known = self.cache.get(self.digest, text) if self.cache is not None else None
            if known is None:
                chunk.new_texts.append((slot, text))
            else:
                chunk.text_results.known.append((np.array([slot]), torch.from_numpy(known)[None]))
        self.recent.append(chunk)
        return chunk, new_images, list(chunk.new_texts)

    def _decode(self, sha256s: list[bytes], pool: ThreadPoolExecutor | None) -> torch.Tensor:
        """Return ``[B, 3, S, S]`` uint8 in channels-last memory, pinned for a GPU."""
        size = self.encoder.preprocess.image_size
        out = torch.empty(
            (len(sha256s), size, size, 3), dtype=torch.uint8, pin_memory=self.copies is not None
        )
        target = out.numpy()

        def fill(i: int) -> None:
            target[i] = self.encoder.preprocess.pixels(self.images.jpeg(sha256s[i]))

        for _ in map(fill, range(len(sha256s))) if pool is None else pool.map(fill, range(len(sha256s))):
            pass
        return out.permute(0, 3, 1, 2)

    def _pin(self, tokens: Tokens) -> Tokens:
        return {k: t.pin_memory() for k, t in tokens.items()} if self.copies is not None else tokens

    # -- the model -------------------------------------------------------------------------------

    def _encode(self, work: _ImageBatch | _TextBatch) -> None:
        autocast = torch.autocast("cuda", torch.bfloat16) if self.copies is not None else nullcontext()
        with torch.inference_mode(), autocast:
            if isinstance(work, _ImageBatch):
                pixels = self._upload({"pixels": work.pixels})["pixels"]
                work.chunk.image_results.add(work.slots, self.encoder.image_features(pixels))
            else:
                tokens = self._upload(work.tokens)
                work.chunk.text_results.add(work.slots, self.encoder.text_features(tokens))

    def _upload(self, tensors: Tokens) -> Tokens:
        """Copy a batch to the device on a stream of its own, so that it overlaps the one being computed."""
        if self.copies is None:
            return {name: t.to(self.device) for name, t in tensors.items()}
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.copies):
            moved = {name: t.to(self.device, non_blocking=True) for name, t in tensors.items()}
        compute.wait_stream(self.copies)
        for tensor in moved.values():
            tensor.record_stream(compute)
        return moved
