"""Settings of the catalog stage: the feed, its columns, its images, the guards."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator

from recsys.config.base import Section

FeedFormat = Literal["auto", "csv", "tsv", "xml", "shopify", "jsonl", "parquet", "arrow"]
FeedColumn = Literal[
    "id", "title", "description", "brand", "google_product_category", "product_type", "color", "size",
    "material", "pattern", "gender", "age_group", "link", "image_link", "additional_image_link",
    "availability", "price", "sale_price", "currency", "gtin", "mpn", "item_group_id", "updated_at",
]  # fmt: skip
FEED_COLUMNS: tuple[FeedColumn, ...] = get_args(FeedColumn)
"""Columns a feed can fill: Google Merchant's names, and ``currency`` where prices do not say theirs."""


class ColumnSource(Section):
    """Where the values of one product column come from. The source column's name alone is enough."""

    column: str | tuple[str, ...]
    """Name of the source column; of several, the first that has a value in the row is taken."""
    when: dict[str, str | tuple[str, ...]] = Field(default={})
    """Source column → value (or any of several values) a row must have; other rows get no value."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The source columns, in order of preference."""
        return (self.column,) if isinstance(self.column, str) else self.column


def _short(value: Any) -> Any:
    return {"column": value} if isinstance(value, str | list | tuple) else value


Source = Annotated[ColumnSource, BeforeValidator(_short)]


class ImagesConfig(Section):
    """How images are fetched, checked and normalised."""

    base: str | None = None
    """Folder or URL that relative image paths start from; unset means the feed's own folder. A local
    path outside it, symlinks included, is refused."""
    max_side: int = Field(default=384, ge=32, le=4096)
    """Longest side of a normalised image in pixels; smaller images are never enlarged. 256 to 512 suits
    encoders that look at 160 to 384 pixels."""
    quality: int = Field(default=90, ge=50, le=100)
    """JPEG quality of a normalised image."""
    min_side: int = Field(default=16, ge=1)
    """An image with a side under this many pixels is rejected: it is a tracking pixel or a placeholder."""
    max_pixels: int = Field(default=50_000_000, ge=10_000, le=170_000_000)
    """An image with more pixels is rejected before it is decoded."""
    max_bytes: int = Field(default=20_000_000, ge=10_000)
    """A larger file is rejected; a download stops there."""
    max_per_product: int = Field(default=10, ge=1, le=1000)
    """Image links taken of one product, the first ones; further ones are reported and never fetched."""
    shard_size: int = Field(default=4096, ge=1)
    """Images per image-store shard: a kill can cost this much work."""
    concurrency: int = Field(default=16, ge=1, le=256)
    """Downloads at a time."""
    decode_workers: int | None = Field(default=None, ge=1)
    """Processes that decode; unset means one per CPU core."""
    decode_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds that decoding one image may take; then its process is ended and the image is rejected."""
    timeout_s: float = Field(default=20.0, gt=0)
    """Seconds without an answer after which an attempt has failed; a whole download may take three times
    as long."""
    retries: int = Field(default=3, ge=0, le=10)
    """Further attempts after a failure that another attempt can help (no answer, 429, 5xx)."""
    backoff_s: float = Field(default=0.5, ge=0)
    """Wait before the first further attempt; doubles with each, with jitter."""
    max_backoff_s: float = Field(default=30.0, ge=0)
    """Longest wait between attempts, also when the server's Retry-After asks for more."""
    max_redirects: int = Field(default=5, ge=0, le=20)
    """Redirects followed for one image; every address on the way is checked."""
    host_failures: int = Field(default=20, ge=1)
    """After this many failures in a row at one host, no more of its images are fetched."""
    allow_private_addresses: bool = False
    """Fetch from loopback, private and link-local addresses. Off, because others write the feed and
    could reach into your network; prefer ``private_hosts``."""
    private_hosts: tuple[str, ...] = ()
    """Host names that may resolve to a private address, such as an image server of your own."""
    user_agent: str = "recsys-catalog/0.1"
    """Sent with every request."""


class GuardsConfig(Section):
    """When a run stops before harm. Shares are of 1."""

    max_rejected_share: float = Field(default=0.2, ge=0, le=1)
    """Largest share of the feed's rows that may be rejected."""
    allow_rejected: bool = False
    """Accept any share of rejected rows."""
    max_rejected_image_share: float = Field(default=0.3, ge=0, le=1)
    """Largest share of the feed's image links that may be rejected."""
    allow_rejected_images: bool = False
    """Accept any share of rejected images."""
    max_gone_share: float = Field(default=0.2, ge=0, le=1)
    """Largest share of the live catalog that may be gone from the new snapshot, and by which it may be
    smaller than the largest catalog of the last ``nights``."""
    nights: int = Field(default=7, ge=1, le=365)
    """Days whose losses add up against ``max_gone_share``."""
    allow_gone: bool = False
    """Accept any share of gone products; later nights are compared with what was accepted."""
    allow_empty: bool = False
    """Accept a feed without any product."""


class CatalogConfig(Section):
    """Where products come from and what is accepted."""

    feed: str = "catalog/feed.csv"
    """Path or URL of the feed: local, ``file:``, ``http(s):`` or any fsspec URL such as ``s3://``."""
    format: FeedFormat = "auto"
    """Format of the feed; ``auto`` looks at its name and first bytes. gzip and zstd are always recognised."""
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """Separator of CSV fields; unset means it is found from the header line."""
    encoding: str = "utf-8"
    """Text encoding of CSV, TSV and JSON Lines."""
    columns: dict[FeedColumn, Source] = Field(default={})
    """Product column → source column. A product column that is not named here is taken from the source
    column of the same name, if there is one. Other columns go under ``attributes``."""
    ignore: tuple[str, ...] = ()
    """Source columns that are never taken, neither by name nor by ``attributes = "rest"``."""
    attributes: Literal["rest"] | dict[str, Source] = Field(default={})
    """Custom attributes: a list of source columns, a table attribute = source column, or ``"rest"`` for
    every column that nothing else uses."""
    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    """ISO 4217 code of prices that name none."""
    separators: str = "|,"
    """Separators of several values in one field; the first that occurs in a field splits it."""
    strip_html: bool = True
    """Remove markup and entities from text columns."""
    max_text_chars: int = Field(default=20_000, ge=100)
    """Longer texts are cut and reported."""
    max_row_bytes: int = Field(default=16_000_000, ge=10_000)
    """Longest record of a text feed in bytes (characters for CSV); a longer one means the feed is broken."""
    max_feed_bytes: int = Field(default=100_000_000_000, ge=10_000)
    """Longest feed in bytes, after decompression."""
    images: ImagesConfig = ImagesConfig()
    guards: GuardsConfig = GuardsConfig()

    @field_validator("attributes", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {name: name for name in value} if isinstance(value, list | tuple) else value
