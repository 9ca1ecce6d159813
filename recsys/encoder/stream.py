"""Runs the jobs of a stream: on a CPU over the cores, on a GPU beside decoding and copying.

On a CPU each worker thread decodes and encodes whole batches with one thread of arithmetic. The usual
way, one batch after the other with all cores inside each operation, makes every operation wait for its
slowest thread, and a decoding thread, or another process, always slows one of them.

On a GPU worker threads decode ahead into pinned memory, batches are copied on a stream of their own, and
results travel back while the next batch is computed.

Does not know: rows and vectors.
"""

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, Self

import torch

from recsys.config.embedding import EmbeddingConfig
from recsys.encoder.chunks import Chunk, Job, plan_jobs
from recsys.encoder.model import ProductEncoder
from recsys.encoder.prefetch import prefetch
from recsys.encoder.template import Content
from recsys.encoder.text_cache import TextCache
from recsys.encoder.towers.base import Tokens


class Images(Protocol):
    """Where pictures come from: :class:`recsys.workspace.images.ImageStore`, or a fake."""

    def jpeg(self, sha256: bytes, /) -> bytes:
        """Return the JPEG of one picture; called from several threads."""


@dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """How a stream is run; nothing here changes a vector beyond rounding."""

    batch_size: int | None = None
    """Pictures, or texts, per forward pass; unset takes 32 on a CPU and 256 on a GPU."""
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
