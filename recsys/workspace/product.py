"""The product schema: what a row of ``products.parquet`` is.

Column names are those of the Google Merchant product feed, because shops already export it. The
catalog stage writes this schema, every later stage reads it.
"""

import pyarrow as pa

MAX_ID_LENGTH = 256
"""Longest product id in characters (Unicode code points), the same for feeds, requests and judgements."""

TEXT_COLUMNS = (
    "title", "description", "brand", "google_product_category", "product_type", "color", "size", "material",
    "pattern", "gender", "age_group",
)  # fmt: skip
"""Columns that say what a product is; with the images they are its *content*, and may be embedded."""

PAYLOAD_COLUMNS = (
    "link", "image_link", "availability", "price", "sale_price", "currency", "gtin", "mpn", "item_group_id",
)  # fmt: skip
"""Columns that are shown or filtered on but never embedded: a change of them touches payloads only."""

PRODUCTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *[pa.field(name, pa.string()) for name in TEXT_COLUMNS],
        pa.field("link", pa.string()),
        pa.field("image_link", pa.string()),  # of the first image, as the feed gave it
        pa.field("availability", pa.string()),  # in_stock, out_of_stock, preorder, backorder
        pa.field("price", pa.float64()),
        pa.field("sale_price", pa.float64()),
        pa.field("currency", pa.string()),  # ISO 4217
        pa.field("gtin", pa.string()),
        pa.field("mpn", pa.string()),
        pa.field("item_group_id", pa.string()),
        pa.field("updated_at", pa.timestamp("us", tz="UTC")),
        pa.field("attributes", pa.map_(pa.string(), pa.string()), nullable=False),  # custom attributes
        pa.field("images", pa.list_(pa.binary(32)), nullable=False),  # sha256 of accepted sources, feed order
        pa.field("content_hash", pa.binary(16), nullable=False),  # of TEXT_COLUMNS, attributes and images
        pa.field("payload_hash", pa.binary(16), nullable=False),  # of PAYLOAD_COLUMNS
    ]
)
"""One row per accepted product, unique and ascending by ``id`` (compared as UTF-8 bytes)."""

REJECTED = pa.schema(
    [
        pa.field("id", pa.string()),  # as far as it could be read
        pa.field("row", pa.int64(), nullable=False),  # 1-based row of the feed, header not counted
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),  # what was found, shortened
        pa.field("reason", pa.string(), nullable=False),  # code, such as image_truncated
        pa.field("message", pa.string(), nullable=False),  # one sentence for a person
        pa.field("scope", pa.string(), nullable=False),  # product: the row is out; image, value: it stays
    ]
)
"""One row per rejected product, image or value, in ``rejected.parquet``."""
