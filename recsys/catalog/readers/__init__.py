"""Feed readers: one module per family of formats, each a generator of records in feed order.

    feed        finds, fetches and decompresses the feed, and picks the reader
    delimited   CSV and TSV
    shopify     Shopify's product CSV, its several rows per product put together
    jsonl       JSON Lines
    xml         Google Merchant's RSS and Atom
    columnar    Parquet and Arrow

Do not know: the column map, types, products.
"""

from recsys.catalog.readers.record import Record

__all__ = ["Record"]
