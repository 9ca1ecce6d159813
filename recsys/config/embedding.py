"""Settings of the embedding stage: batches, shards, decode workers."""

from typing import Literal

from pydantic import Field

from recsys.config.base import Section


class EmbeddingConfig(Section):
    """How a snapshot is streamed through an encoder. Nothing here but ``precision`` changes a vector."""

    shard_size: int = Field(default=20_000, ge=1)
    """Products per shard: the work that one worker takes and that a kill can cost."""
    batch_size: int | None = Field(default=None, ge=1, le=8192)
    """Images, or texts, per forward pass; unset takes 32 on a CPU and 256 on a GPU."""
    chunk_size: int = Field(default=1024, ge=1, le=65_536)
    """Products that are read, sorted by text length and written together; bounds the memory."""
    num_workers: int | None = Field(default=None, ge=0, le=256)
    """Threads that decode images and, on a CPU, encode them; unset takes one per core, 0 none."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs; ``auto`` takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the towers: ``auto`` is bfloat16 on a GPU and float32 elsewhere. What an encoder's first vectors
    were made with prevails, on whatever machine later ones are made."""
