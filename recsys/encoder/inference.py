"""Products, texts and images in, vectors out: streamed through an encoder in order, in bounded memory.

Rows are taken a chunk at a time. Of each chunk, every different image is decoded and encoded once, in batches
that are full whatever the number of images per product, and every different text once, sorted by length, so
that little is padded. Batches run some way ahead of the reader:

- On a CPU each worker thread decodes and encodes whole batches with one thread of arithmetic. The usual way,
  one batch after the other with all cores inside each operation, makes every operation wait for its slowest
  thread, and a decoding thread, or another process, always slows one of them.
- On a GPU worker threads decode ahead into pinned memory, and batches are copied on a stream of their own
  beside the computing.

What a batch gives of an image is what the tower's early stages say. The late stages and the projection into
the shared space follow when a chunk is finished; then the images of a product are averaged, and a missing
modality is replaced by the other.

    N = rows, U = different images, T = different texts, B = batch, D = dimensions of the shared space,
    F = features of a tower, E = values of the image tower's early step, H = values of a text's own words
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.memory import keep_freed_memory
from recsys.encoder.model import ProductEncoder
from recsys.encoder.template import Content
from recsys.encoder.towers.base import Tokens
from recsys.machine import available_cores
from recsys.workspace.embeddings import Vectors
from recsys.workspace.features import FeatureStore

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
T = TypeVar("T")

_RECENT_CHUNKS = 16
"""Earlier chunks in which an image is looked up before it is encoded again."""
_CPU_IMAGES, _CPU_TEXTS = 8, 32
"""Batch sizes on a CPU. The activations of 32 images at 224 pixels are blocks that a thread's heap does not
hold: the kernel zeroes their pages again in every layer, which takes as long as the arithmetic."""
_READ_AHEAD = 4
"""Batches that are decoded, or tokenised, ahead of a GPU."""
_LATE_IMAGES = 32
"""Images that go through the late stages at once on a CPU: their maps are small."""


_NOT_YET = torch.empty(0, 0)


class Images(Protocol):
    """Where images come from: :class:`recsys.workspace.image_store.ImageStore`, or a fake."""

    def jpeg(self, sha256: bytes, /) -> bytes:
        """Return the JPEG of one image; called from several threads."""


def embed_products(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    store: FeatureStore | None = None,
) -> Iterator[Vectors]:
    """Yield the vectors of ``rows`` in order, ``options.chunk_size`` rows at a time.

    A row maps column names of the product schema to values; at least ``encoder.content.columns`` are there.
    The encoder is moved to the device and put in eval mode. What ``store`` has of its towers is not computed
    again; of frozen towers, and of those whose features the store keeps, it gets what is new. Raises
    :class:`~recsys.errors.ArtifactError` for an image that ``images`` lacks.
    """
    contents = (encoder.content.read(row) for row in rows)
    for chunk in Stream(encoder, images, options, store).run(contents):
        yield _project(encoder, chunk)


def embed_all(
    encoder: ProductEncoder,
    rows: Iterable[Mapping[str, Any]],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    store: FeatureStore | None = None,
) -> Vectors:
    """Return the vectors of ``rows`` in one piece, ``[N, D]`` each."""
    empty, none = np.empty((0, encoder.dim), np.float32), np.empty(0, np.bool_)
    parts = embed_products(encoder, rows, images, options, store=store)
    columns = zip(Vectors(empty, empty, none, none), *parts, strict=True)
    return Vectors(*(np.concatenate(column) for column in columns))


def image_features(
    encoder: ProductEncoder,
    sha256s: Iterable[bytes],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    store: FeatureStore | None = None,
) -> Float32:
    """Return the image tower's features ``[N, F]`` of some images, before the projection."""
    empty = np.empty((0, encoder.image_tower.dim), np.float32)
    early = early_features(encoder, sha256s, images, options, store=store)
    parts = [_in_slices(encoder, encoder.image_features, torch.from_numpy(part)) for part in early]
    return np.concatenate([empty, *parts])


def early_features(
    encoder: ProductEncoder,
    sha256s: Iterable[bytes],
    images: Images,
    options: EmbeddingConfig | None = None,
    *,
    store: FeatureStore | None = None,
) -> Iterator[NDArray[Any]]:
    """Yield what the image tower's early stages say of some images, in order, ``[N, E]`` in all."""
    chunks = Stream(encoder, images, options, store).run(Content(None, (sha256,)) for sha256 in sha256s)
    for chunk in chunks:
        yield chunk.early_images.cpu().numpy()[chunk.image_rows()]


def text_features(
    encoder: ProductEncoder,
    texts: Sequence[str],
    options: EmbeddingConfig | None = None,
    *,
    store: FeatureStore | None = None,
) -> Float32:
    """Return what the projection reads ``[N, F + H]`` of some texts: the tower's features and the words."""
    chunks = Stream(encoder, None, options, store).run(Content(text, ()) for text in texts)
    parts = [chunk.text_features.cpu().numpy()[chunk.text_rows()] for chunk in chunks]
    return np.concatenate([np.empty((0, encoder.text_projection.in_features), np.float32), *parts])


@torch.inference_mode()
def _project(encoder: ProductEncoder, chunk: "Chunk") -> Vectors:
    """Return both vectors of each content of a chunk whose features are there."""
    device = encoder.mean.device
    images = _in_slices(encoder, encoder.project_image, chunk.early_images)
    projected = encoder.project_text(chunk.text_features.to(device)).cpu().numpy()
    rows = chunk.text_rows()
    texts = np.zeros((len(rows), encoder.dim), np.float32)
    texts[rows >= 0] = projected[rows[rows >= 0]]
    counts = np.array([len(content.images) for content in chunk.contents], np.int64)
    has_text = np.array([content.text is not None for content in chunk.contents], np.bool_)
    return fuse(mean_images(images[chunk.image_rows()], counts), texts, counts > 0, has_text)


def _in_slices(
    encoder: ProductEncoder, late: Callable[[torch.Tensor], torch.Tensor], early: torch.Tensor
) -> Float32:
    """Return ``late`` of early features ``[U, E]``; late stages take a slice per core on a CPU."""
    device = encoder.mean.device

    def run(part: torch.Tensor) -> Float32:
        with torch.inference_mode():  # of this thread
            values: Float32 = late(part.to(device)).cpu().numpy()
        return values

    if not encoder.image_tower.late_stages or not len(early):
        return run(early)
    if device.type != "cpu":
        return np.concatenate([run(part) for part in torch.split(early, 16 * _LATE_IMAGES)])
    with _one_thread_each(available_cores()) as pool:
        return np.concatenate(list(pool.map(run, torch.split(early, _LATE_IMAGES))))


@contextmanager
def _one_thread_each(num_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose workers compute with one thread, as the caller does meanwhile.

    The caller's small operations must not spin on busy cores; and part of what a worker sets is not its own
    but the process's, so it is set back.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pool = ThreadPoolExecutor(num_workers, "encode", initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)


def mean_images(images: Float32, counts: Int64) -> Float32:
    """Return the mean of each product's images as unit vectors ``[N, D]``; zero where it has none.

    ``images`` are unit vectors ``[sum(counts), D]``, the ``counts[n]`` of product n after those of n - 1.
    """
    sums = np.zeros((len(counts), images.shape[1]), np.float32)
    has = np.flatnonzero(counts)
    if len(has):
        starts = np.cumsum(counts) - counts
        sums[has] = np.add.reduceat(images, starts[has], axis=0)
    return unit(sums)


def unit(vectors: Float32) -> Float32:
    """Scale rows ``[N, D]`` to unit norm; a zero row stays zero."""
    scaled: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return scaled


def fuse(image: Float32, text: Float32, has_image: NDArray[np.bool_], has_text: NDArray[np.bool_]) -> Vectors:
    """Return both halves ``[N, D]`` with a missing one replaced by the other.

    A product with neither keeps what ``text`` holds for it (the encoder gives the vector of an empty
    text) in both halves, and both flags are false.
    """
    return Vectors(
        np.where(has_image[:, None], image, text),
        np.where((has_image & ~has_text)[:, None], image, text),
        has_image,
        has_text,
    )


@dataclass(eq=False)
class Batch:
    """One forward pass: over images or over texts."""

    sha256s: Sequence[bytes] = ()
    texts: Sequence[str] = ()
    features: torch.Tensor = _NOT_YET  # [B, E] or [B, F], on the encoder's device, once it is encoded


Place = tuple[Batch, int]  # where the features of an image or a text are: a batch and the row in it
Encoded = Callable[[], torch.Tensor]  # waits for a batch's features
Start = Callable[[Batch], Encoded]  # starts to encode a batch


@dataclass(eq=False)
class Chunk:
    """Some consecutive contents, and where the features of their images and texts are."""

    contents: list[Content]
    images: dict[bytes, Place] = field(default_factory=dict)
    texts: dict[str, Place] = field(default_factory=dict)
    early_images: torch.Tensor = _NOT_YET  # [U, E] in the order of `images`, once every batch is encoded
    text_features: torch.Tensor = _NOT_YET  # [T, F + H] in the order of `texts`

    def image_rows(self) -> Int64:
        """Return the row of ``early_images`` of each content's images, one content after the other."""
        row = {sha256: i for i, sha256 in enumerate(self.images)}
        return np.array([row[s] for content in self.contents for s in content.images], np.int64)

    def text_rows(self) -> Int64:
        """Return the row of ``text_features`` of each content, ``[N]``; -1 where no text is needed."""
        row: dict[str | None, int] = {text: i for i, text in enumerate(self.texts)}
        return np.array([row.get(_text(content), -1) for content in self.contents], np.int64)


def precision_of(options: EmbeddingConfig) -> Literal["fp32", "bf16"]:
    """Return what the towers compute in on this machine."""
    if options.precision == "auto":
        return "bf16" if device_of(options).type == "cuda" else "fp32"
    return options.precision


def device_of(options: EmbeddingConfig) -> torch.device:
    """Return what the towers run on: ``auto`` is a CUDA device where there is one."""
    if options.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(options.device)


class Stream:
    """One run of an encoder over contents."""

    def __init__(
        self,
        encoder: ProductEncoder,
        images: Images | None,
        options: EmbeddingConfig | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        """Move the encoder to the device that ``options`` names and put it in eval mode.

        ``images`` may be ``None`` where no content has any, ``store`` where nothing is kept.
        """
        options = options or EmbeddingConfig()
        self._device = device_of(options)
        cuda = self._device.type == "cuda"
        self._encoder = encoder.to(self._device).eval()
        self._images = images
        self._chunk_size = options.chunk_size
        self._image_batch = options.batch_size or (256 if cuda else _CPU_IMAGES)
        self._text_batch = options.batch_size or (256 if cuda else _CPU_TEXTS)
        self._num_workers = available_cores() if options.num_workers is None else options.num_workers
        self._precision = precision_of(options)
        self._half = self._precision == "bf16"
        self._store = store
        self._towers: dict[str, str] = {}  # image and text tower, by their names in the store
        self._copies: Any = torch.cuda.Stream(self._device) if cuda else None  # type: ignore[no-untyped-call]
        self._tokenizing = threading.Lock()

    def run(self, contents: Iterable[Content]) -> Iterator[Chunk]:
        """Yield the chunks with their features, in order."""
        with ExitStack() as stack:
            if self._store is not None:
                stack.callback(self._store.flush)
            if self._num_workers == 0:
                start, ahead = self._in_calling_thread()
            elif self._device.type == "cpu":
                start, ahead = self._batch_per_core(stack)
            else:
                start, ahead = self._read_ahead(stack)
            waiting: deque[Chunk | tuple[Batch, Encoded]] = deque()
            for item in self._plan(iter(contents)):
                waiting.append(item if isinstance(item, Chunk) else (item, start(item)))
                while len(waiting) > ahead:
                    yield from self._take(waiting)
            while waiting:
                yield from self._take(waiting)

    def _take(self, waiting: "deque[Chunk | tuple[Batch, Encoded]]") -> Iterator[Chunk]:
        """Wait for the first that was started: keep a batch's features, yield a chunk."""
        first = waiting.popleft()
        if isinstance(first, Chunk):
            yield self._finish(first)
        else:
            batch, encoded = first
            batch.features = encoded()
            self._keep(batch)

    def _plan(self, contents: Iterator[Content]) -> Iterator[Batch | Chunk]:
        """Yield each chunk's batches and then the chunk.

        An image that one of the last chunks had, and what the store has, is not encoded again. The longest
        texts come first: the batch that needs the most memory comes before much time is spent.
        """
        recent: dict[bytes, Place] = {}
        while some := list(islice(contents, self._chunk_size)):
            chunk = Chunk(some)
            sha256s = dict.fromkeys(sha256 for content in some for sha256 in content.images)
            chunk.images = {sha256: recent[sha256] for sha256 in sha256s if sha256 in recent}
            chunk.images |= self._known("image", {s: s for s in sha256s if s not in recent})
            new_images = [sha256 for sha256 in sha256s if sha256 not in chunk.images]
            for start in range(0, len(new_images), self._image_batch):
                batch = Batch(sha256s=new_images[start : start + self._image_batch])
                chunk.images |= {sha256: (batch, row) for row, sha256 in enumerate(batch.sha256s)}
                yield batch
            recent |= chunk.images
            for sha256 in list(recent)[: -_RECENT_CHUNKS * self._chunk_size]:
                del recent[sha256]

            texts = dict.fromkeys(text for content in some if (text := _text(content)) is not None)
            chunk.texts = self._known("text", {text: _text_key(text) for text in texts})
            new_texts = sorted((t for t in texts if t not in chunk.texts), key=len, reverse=True)
            for start in range(0, len(new_texts), self._text_batch):
                batch = Batch(texts=new_texts[start : start + self._text_batch])
                chunk.texts |= {text: (batch, row) for row, text in enumerate(batch.texts)}
                yield batch
            yield chunk

    def _finish(self, chunk: Chunk) -> Chunk:
        """Gather the features of a chunk whose batches are encoded."""
        chunk.early_images = _gather(chunk.images.values(), self._encoder.image_tower.early_dim)
        features = _gather(chunk.texts.values(), self._encoder.text_tower.dim)
        chunk.text_features = self._encoder.with_words(features, self._encoder.lexical(list(chunk.texts)))
        return chunk

    def _tower(self, which: Literal["image", "text"], store: FeatureStore) -> str:
        """Return the name of a tower in the store, which keeps a frozen one's features from now on.

        It takes a hash of all weights: a stream of texts alone does not need that of the image tower.
        """
        if which not in self._towers:
            encoder, image = self._encoder, which == "image"
            digest = encoder.image_digest() if image else encoder.text_digest()
            self._towers[which] = name = f"{digest}-{self._precision}"
            if (encoder.config.image if image else encoder.config.text).is_frozen:
                store.keep(name)
        return self._towers[which]

    def _known(self, which: Literal["image", "text"], keys: Mapping[T, bytes]) -> dict[T, Place]:
        """Return where the features of images or texts are that the store has."""
        if self._store is None or not keys:
            return {}
        found = self._store.find(self._tower(which, self._store), keys.values())
        if not found:
            return {}
        batch = Batch(features=torch.from_numpy(np.stack(list(found.values()))).to(self._device))
        row = {key: i for i, key in enumerate(found)}
        return {item: (batch, row[key]) for item, key in keys.items() if key in row}

    def _keep(self, batch: Batch) -> None:
        """Give a batch's features to the store, if it keeps those of the tower."""
        if self._store is None:
            return
        tower = self._tower("image" if batch.sha256s else "text", self._store)
        if tower in self._store:
            keys = batch.sha256s or [_text_key(text) for text in batch.texts]
            self._store.add(tower, dict(zip(keys, batch.features.cpu().numpy(), strict=True)))

    # -- three ways to run: each returns a function that starts a batch, and how many run ahead ---

    def _in_calling_thread(self) -> tuple[Start, int]:
        return lambda batch: partial(self._encode, batch), 0

    def _batch_per_core(self, stack: ExitStack) -> tuple[Start, int]:
        keep_freed_memory()
        pool = stack.enter_context(_one_thread_each(self._num_workers))
        return lambda batch: pool.submit(self._encode, batch).result, 2 * self._num_workers

    def _read_ahead(self, stack: ExitStack) -> tuple[Start, int]:
        decoders = ThreadPoolExecutor(self._num_workers, "decode")
        stack.callback(decoders.shutdown, cancel_futures=True)
        reader = ThreadPoolExecutor(1, "read")  # one batch after the other, each by all decoders
        stack.callback(reader.shutdown, cancel_futures=True)

        def start(batch: Batch) -> Encoded:
            inputs = reader.submit(self._read, batch, decoders)
            return lambda: self._forward(batch, inputs.result())

        return start, _READ_AHEAD

    # -- what is done with a batch -----------------------------------------------------------------

    def _encode(self, batch: Batch) -> torch.Tensor:
        return self._forward(batch, self._read(batch))

    def _read(self, batch: Batch, decoders: ThreadPoolExecutor | None = None) -> Tokens:
        """Return what the tower reads, on the CPU; pinned where it goes to a GPU."""
        pinned = self._copies is not None
        if not batch.sha256s:
            with self._tokenizing:  # fast tokenizers refuse to be used by two threads at once
                tokens = self._encoder.text_tower.tokenize(list(batch.texts))
            return {name: tensor.pin_memory() for name, tensor in tokens.items()} if pinned else tokens
        size = self._encoder.preprocess.image_size
        images = self._images
        assert images is not None
        pixels = torch.empty((len(batch.sha256s), size, size, 3), dtype=torch.uint8, pin_memory=pinned)
        target = pixels.numpy()

        def decode(row: int) -> None:
            target[row] = self._encoder.preprocess.pixels(images.jpeg(batch.sha256s[row]))

        for _ in (decoders.map if decoders else map)(decode, range(len(target))):
            pass
        return {"pixels": pixels.permute(0, 3, 1, 2)}  # channels-last memory

    @torch.inference_mode()
    def _forward(self, batch: Batch, inputs: Tokens) -> torch.Tensor:
        """Return features ``[B, E]`` or ``[B, F]``; on CUDA the inputs are copied beside the computing."""
        if self._copies is None:
            inputs = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        else:
            compute = torch.cuda.current_stream(self._device)
            with torch.cuda.stream(self._copies):
                inputs = {n: tensor.to(self._device, non_blocking=True) for n, tensor in inputs.items()}
            compute.wait_stream(self._copies)
            for tensor in inputs.values():
                tensor.record_stream(compute)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            if batch.sha256s:
                return self._encoder.early_image(inputs["pixels"])
            return self._encoder.text_features(inputs)


def _gather(places: Collection[Place], width: int) -> torch.Tensor:
    """Return the features at some places, ``[len(places), width]``."""
    if not places:
        return torch.empty(0, width)
    batches = list(dict.fromkeys(batch for batch, _ in places))
    starts = np.cumsum([0, *(len(batch.features) for batch in batches)])
    start = dict(zip(batches, starts.tolist(), strict=False))
    return torch.cat([batch.features for batch in batches])[[start[b] + row for b, row in places]]


def _text_key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _text(content: Content) -> str | None:
    """Return the text to encode: the content's; an empty one for a content that has nothing at all."""
    return "" if content.text is None and not content.images else content.text
