"""Runs the jobs of a stream: on a CPU over the cores, on a GPU beside decoding and copying.

On a CPU each worker thread decodes and encodes whole batches with one thread of arithmetic. The usual
way, one batch after the other with all cores inside each operation, makes every operation wait for its
slowest thread, and a decoding thread, or another process, always slows one of them.

On a GPU worker threads decode ahead into pinned memory, batches are copied on a stream of their own, and
results travel back while the next batch is computed.

Features of texts, kept between streams.

Runs an iterator ahead of its reader, in a thread, by a bounded number of items.

What a stream works on: chunks of rows, the jobs they need, and the rows their results go to.

    N = rows of a chunk, U = its different images, T = its different texts, F = features of a tower
"""

import hashlib
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from queue import Full, Queue
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder import fusion
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import Content
from recsys.encoder.towers.base import Tokens
from recsys.workspace.embeddings import Vectors

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


T = TypeVar("T")


class _End:
    """The last message: the source ended, or failed with ``error``."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class prefetch(Generic[T]):  # noqa: N801 - used like a function, as itertools' classes are
    """Iterate over ``source``, which runs up to ``depth`` items ahead in a thread of its own.

    An exception of the source is raised where its item would have come. :meth:`close` stops the thread.
    """

    def __init__(self, source: Iterator[T], *, depth: int) -> None:
        self._queue: Queue[T | _End] = Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._stop.is_set():
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, _End):
            self.close()
            if item.error is not None:
                raise item.error
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop the thread and wait for it; items that were read ahead are dropped."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self, source: Iterator[T]) -> None:
        error: BaseException | None = None
        try:
            for item in source:
                if not self._put(item):
                    return
        except BaseException as found:  # noqa: BLE001 - nothing is hidden: the reader raises it
            error = found
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except Full:
                continue
            return True
        return False


_WINDOW = 16
"""Earlier chunks in which an image is looked up before it is encoded again."""


class Results:
    """Features of U images or T texts, filled batch by batch."""

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
    """Some consecutive rows: which images and texts they have and, once finished, their features."""

    contents: list[Content]
    slots: dict[bytes, int] = field(default_factory=dict)
    """Image → its row in ``images``."""
    text_slots: dict[str | None, int] = field(default_factory=dict)
    """Text → its row in ``texts``."""
    borrowed: list[tuple[int, "Chunk", int]] = field(default_factory=list)
    """Own slot, the earlier chunk that has the image, its slot there."""
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
            projected = encoder.project_image(self.images.to(encoder.mean.device)).cpu().numpy()
        has_image = np.array([bool(content.images) for content in self.contents])
        has_text = np.array([content.text is not None for content in self.contents])
        image = fusion.mean_images(projected, *self.image_rows())
        return fusion.fuse(image, self.text_vectors(encoder), has_image, has_text)


@dataclass(frozen=True)
class Job:
    """One forward pass: images, or texts, of one chunk."""

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

    An image that one of the last chunks had, and a text that the cache (with the tower's digest) has, is
    not encoded again. Texts are sorted by length, the longest first: little is padded, and the batch that
    needs the most memory comes before any time was spent.
    """
    recent: deque[Chunk] = deque(maxlen=_WINDOW)
    source = iter(contents)
    while some := list(islice(source, chunk_size)):
        chunk = Chunk(some)
        new_images = _new_images(chunk, recent)
        recent.append(chunk)
        for start in range(0, len(new_images), batch_size):
            yield Job(chunk, sha256s=tuple(new_images[start : start + batch_size]))
        _find_texts(chunk, cache)
        texts = sorted(chunk.new_texts, key=len, reverse=True)
        for start in range(0, len(texts), batch_size):
            yield Job(chunk, texts=tuple(texts[start : start + batch_size]))
        yield chunk


def _new_images(chunk: Chunk, recent: deque[Chunk]) -> list[bytes]:
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


class Images(Protocol):
    """Where images come from: :class:`recsys.workspace.image_store.ImageStore`, or a fake."""

    def jpeg(self, sha256: bytes, /) -> bytes:
        """Return the JPEG of one image; called from several threads."""


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """How a stream is run; nothing here changes a vector beyond rounding."""

    batch_size: int | None = None
    """Images, or texts, per forward pass; unset takes 32 on a CPU and 256 on a GPU."""
    chunk_size: int = 1024
    """Rows read, sorted and finished together; bounds the memory."""
    num_workers: int | None = None
    """Threads; unset takes one per core. 0 does everything in the calling thread."""
    device: str = "auto"
    """``auto`` takes a GPU where there is one."""

    @classmethod
    def of(cls, config: EmbeddingConfig) -> Self:
        """Return what the configuration says."""
        return cls(
            batch_size=config.batch_size,
            chunk_size=config.chunk_size,
            num_workers=config.num_workers,
            device=config.device,
        )

    def torch_device(self) -> torch.device:
        """Return the device that ``device`` stands for."""
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Stream:
    """One run of one encoder over one stream of contents."""

    def __init__(
        self,
        encoder: ProductEncoder,
        images: Images,
        options: InferenceOptions | None = None,
        cache: TextCache | None = None,
    ) -> None:
        self._options, self._images = options or InferenceOptions(), images
        self._device = self._options.torch_device()
        self._encoder = encoder.to(self._device).eval()
        self._cache = (cache, encoder.text_digest()) if cache is not None else None
        self._copies: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._copies = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._tokenizing = threading.Lock()
        workers = self._options.num_workers
        self._num_workers = available_cores() if workers is None else workers

    def run(self, contents: Iterable[Content]) -> Iterator[Chunk]:
        """Yield finished chunks in order."""
        jobs = plan_jobs(
            contents,
            chunk_size=self._options.chunk_size,
            batch_size=self._options.batch_size or (256 if self._device.type == "cuda" else 32),
            cache=self._cache,
        )
        if self._num_workers == 0:
            chunks = self._run_inline(jobs)
        elif self._device.type == "cpu":
            chunks = self._run_cores(jobs)
        else:
            chunks = self._run_ahead(jobs)
        for chunk in chunks:
            chunk.finish(self._encoder)
            if self._cache is not None:
                for text in chunk.new_texts:
                    self._cache[0].put(
                        self._cache[1], text, chunk.texts[chunk.text_slots[text]].numpy().copy()
                    )
            yield chunk

    # -- three ways to run -----------------------------------------------------------------------

    def _run_inline(self, jobs: Iterator[Job | Chunk]) -> Iterator[Chunk]:
        for job in jobs:
            if isinstance(job, Chunk):
                yield job
            else:
                job.done(self._compute(job))

    def _run_cores(self, jobs: Iterator[Job | Chunk]) -> Iterator[Chunk]:
        """Whole jobs on worker threads, in order, at most two per worker ahead of the reader."""
        waiting: deque[tuple[Job, Future[torch.Tensor]] | Chunk] = deque()
        in_flight, threads = 0, torch.get_num_threads()
        torch.set_num_threads(1)  # of the reader too: its small operations must not spin on busy cores
        pool = ThreadPoolExecutor(
            self._num_workers, "encode", initializer=torch.set_num_threads, initargs=(1,)
        )
        try:
            exhausted = False
            while waiting or not exhausted:
                while not exhausted and in_flight < 2 * self._num_workers:
                    item = next(jobs, None)
                    if item is None:
                        exhausted = True
                    elif isinstance(item, Chunk):
                        waiting.append(item)
                    else:
                        waiting.append((item, pool.submit(self._compute, item)))
                        in_flight += 1
                if not waiting:
                    break
                first = waiting.popleft()
                if isinstance(first, Chunk):
                    yield first
                else:
                    first[0].done(first[1].result())
                    in_flight -= 1
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)

    def _run_ahead(self, jobs: Iterator[Job | Chunk]) -> Iterator[Chunk]:
        """Decode in threads some batches ahead of the device, which computes one batch after the other."""
        pool = ThreadPoolExecutor(self._num_workers, "decode")
        ready = prefetch(((job, self._inputs(job, pool)) for job in jobs), depth=4)
        ended: Chunk | None = None
        try:
            for job, inputs in ready:
                if isinstance(job, Chunk):
                    if ended is not None:  # one chunk late: the next is under way while its copy is awaited
                        yield ended
                    ended = job
                else:
                    job.done(self._forward(job, self._upload(inputs)))
            if ended is not None:
                yield ended
        finally:
            ready.close()
            pool.shutdown(cancel_futures=True)

    # -- the pieces of a job ---------------------------------------------------------------------

    def _compute(self, job: Job) -> torch.Tensor:
        return self._forward(job, self._upload(self._inputs(job, None)))

    def _inputs(self, job: Job | Chunk, pool: ThreadPoolExecutor | None) -> Tokens:
        """Return what the model reads for a job, on the CPU; pinned where it goes to a GPU."""
        if isinstance(job, Chunk):
            return {}
        if job.sha256s:
            return {"pixels": self._decode(job.sha256s, pool)}
        with self._tokenizing:  # fast tokenizers refuse to be used by two threads at once
            tokens = self._encoder.tokenize(list(job.texts))
        return {name: t.pin_memory() for name, t in tokens.items()} if self._copies is not None else tokens

    def _decode(self, sha256s: tuple[bytes, ...], pool: ThreadPoolExecutor | None) -> torch.Tensor:
        """Return ``[B, 3, S, S]`` uint8 in channels-last memory."""
        size = self._encoder.preprocess.image_size
        shape = (len(sha256s), size, size, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._copies is not None)
        target = pixels.numpy()

        def fill(i: int) -> None:
            target[i] = self._encoder.preprocess.pixels(self._images.jpeg(sha256s[i]))

        for _ in (map if pool is None else pool.map)(fill, range(len(sha256s))):
            pass
        return pixels.permute(0, 3, 1, 2)

    @torch.inference_mode()
    def _forward(self, job: Job, inputs: Tokens) -> torch.Tensor:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._copies is not None):
            if job.sha256s:
                return self._encoder.image_features(inputs["pixels"])
            return self._encoder.text_features(inputs)

    def _upload(self, tensors: Tokens) -> Tokens:
        """Copy a batch to the device; on CUDA by a stream of its own, so that it overlaps computing."""
        if self._copies is None:
            return {name: t.to(self._device) for name, t in tensors.items()}
        compute = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._copies):
            moved = {name: t.to(self._device, non_blocking=True) for name, t in tensors.items()}
        compute.wait_stream(self._copies)
        for tensor in moved.values():
            tensor.record_stream(compute)
        return moved


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
