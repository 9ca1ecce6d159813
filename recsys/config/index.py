"""Settings of the index: engine, alias, search parameters, building, audit thresholds."""

from pydantic import Field, field_validator, model_validator

from recsys.config.base import ATTRIBUTE_PREFIX, Section


class IndexConfig(Section):
    """Where vectors are published, how they are searched and how a build is audited."""

    url: str | None = None
    """URL of a Qdrant server; unset means Qdrant Edge, in process, inside the workspace."""
    api_key: str | None = Field(default=None, repr=False)
    """Key of that server; give it by ``QDRANT_API_KEY``, or an Airflow connection, rather than in a file."""
    alias: str = "products"
    """The name that readers use; collections are called ``<alias>__<encoder>__<snapshot>__<random>``."""
    prefer_grpc: bool = True
    """Talk gRPC to the server: several times faster than REST for vectors."""
    grpc_port: int = Field(default=6334, ge=1, le=65535)
    """Port of the server's gRPC listener."""
    timeout_s: int = Field(default=60, ge=1)
    """Seconds one request may take."""
    retries: int = Field(default=4, ge=0, le=20)
    """Times a request is sent again after a failure that may pass, with growing pauses."""

    attributes: tuple[str, ...] = ()
    """Custom attributes to filter on: each gets a payload index. Without one a filter costs a hundredfold.
    ``fit`` and ``attributes.fit`` are the same."""

    hnsw_m: int = Field(default=16, ge=4, le=128)
    """Links per point in the HNSW graph; 16 to 32 suits up to a few million products."""
    ef_construct: int = Field(default=128, ge=16, le=2048)
    """Candidates looked at when a point is linked in; 100 to 256 is usual."""
    ef: int = Field(default=256, ge=16, le=4096)
    """Candidates looked at per query. The pure weights 0 and 1 need more than an even mix; see the ADR."""
    quantize: bool = True
    """Keep an int8 copy of the vectors in RAM to search in, and score the best again with the originals."""
    oversampling: float = Field(default=4.0, ge=1, le=32)
    """Candidates scored again, as a multiple of the limit; 1 loses a tenth of recall."""
    vectors_on_disk: bool = False
    """Leave original vectors on disk; with ``quantize`` that needs a quarter of the RAM."""
    indexing_threshold_kb: int = Field(default=10_000, ge=10)
    """Segments below this many kilobytes of vectors are searched exactly and get no graph; at least 10."""
    max_indexing_threads: int = Field(default=0, ge=0)
    """Threads that build the graph; 0 lets the engine choose."""
    indexing_timeout_s: float = Field(default=3600, gt=0)
    """Seconds to wait for a server to finish indexing before the build counts as failed. With Qdrant Edge
    and a workspace in an object store: after which other machines take over from one that indexes."""

    batch_size: int = Field(default=1000, ge=1, le=100_000)
    """Points per upsert."""
    batch_bytes: int = Field(default=16_000_000, ge=100_000)
    """Bytes per upsert, estimated; a server refuses requests above its own limit (32 MB by default)."""
    shard_number: int = Field(default=1, ge=1)
    """Shards of a server's collection."""
    replication_factor: int = Field(default=1, ge=1)
    """Copies of each shard on a server cluster."""
    change_in_place: float = Field(default=0.1, ge=0, le=1)
    """Share of the products up to which a change is written into a server's live collection (one request,
    ``batch_size`` products, always is); for a larger one a collection is built beside it and switched to."""
    keep_previous: int = Field(default=2, ge=1)
    """Earlier encoders whose last collection is kept for rollback; at least one."""

    audit_sample: int = Field(default=64, ge=1, le=10_000)
    """Products whose vectors, payloads and neighbours are checked before a collection is published."""
    reencode_sample: int = Field(default=919, ge=1, le=100_000)
    """Products that are encoded anew from their images and texts, others each night, and compared with the
    index; one that differs is enough to refuse. 919 find 0.5% wrong vectors with a probability of 99%
    (ln 0.01 / ln 0.995); 459 find 1%."""
    recall_k: int = Field(default=10, ge=1, le=100)
    """Neighbours per audit query."""
    min_recall: float = Field(default=0.95, ge=0, le=1)
    """Least recall@k against exact search, at each weight of image and text; 0.9 to 0.99. Real catalogs
    reach 0.99 and more with the search settings above; see docs/adr."""

    @field_validator("attributes")
    @classmethod
    def _without_prefix(cls, attributes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.removeprefix(ATTRIBUTE_PREFIX) for name in attributes)

    @field_validator("alias")
    @classmethod
    def _alias_is_plain(cls, alias: str) -> str:
        if not alias or not all(c.isalnum() or c in "-_" for c in alias) or "__" in alias:
            raise ValueError(
                "an alias is letters, digits, - and single _ (it becomes part of collection names)"
            )
        return alias

    @model_validator(mode="after")
    def _search_looks_at_enough(self) -> "IndexConfig":
        if self.oversampling > 1 and self.ef < self.recall_k:
            raise ValueError("ef must be at least recall_k: a search cannot return more than it looks at")
        return self
