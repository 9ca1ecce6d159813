"""Settings of the embedding stage: batches, shards, decode workers."""

from typing import Literal

from pydantic import Field

from recsys.config.base import Section


class EmbeddingConfig(Section):
    """How a snapshot is streamed through an encoder. Nothing here changes a vector."""

    shard_size: int = Field(default=20_000, ge=1)
    """Products per shard: the unit of work that a kill can cost, and that a worker takes."""
    batch_size: int = Field(default=64, ge=1, le=8192)
    """Pictures, or texts, per forward pass: 32 to 128 on a CPU, 256 to 1024 on a GPU."""
    chunk_size: int = Field(default=1024, ge=1, le=65_536)
    """Products that are read, sorted by text length and written together; bounds the memory."""
    num_workers: int = Field(default=2, ge=0, le=256)
    """Threads that decode pictures; 0 decodes in line. The number of cores is a good choice."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs; ``auto`` takes a GPU where there is one."""
