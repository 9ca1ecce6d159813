"""The catalog stage: the shop's feed and images in, a catalog snapshot out.

    run              the stage's door: reads the feed, looks at its images, writes the snapshot
    readers          feed formats: each yields records in feed order
    rows             one record to one product row, by the column map (columns) and type checks (values)
    staging          the rows on disk while images are fetched: a run that was killed goes on from there
    ingest_images    looks at every image link: links, fetch and ssrf bring the bytes, image_state remembers
    compaction       image shards that are mostly unused become fewer, full ones
    snapshot_writer  products.parquet and rejected.parquet in id order
    diff             what changed against the snapshot in service
    guards           what stops a run before it harms the live catalog

Does not know: encoders, the index, or what a snapshot is used for.
"""
