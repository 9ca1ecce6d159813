"""Settings of the embedding stage: batches, shards, decode workers."""

from pydantic import Field

from recsys.config.base import Section


class EmbeddingConfig(Section):
    """How a snapshot is streamed through the encoder."""

    shard_size: int = Field(default=20_000, ge=1)
    """Products per shard: the unit of work that a kill can cost."""
    batch_size: int = Field(default=64, ge=1)
    """Products per forward pass."""
    num_workers: int = Field(default=2, ge=0)
    """Threads that decode pictures ahead of the model; 0 decodes in line."""
