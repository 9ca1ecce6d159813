"""The embedding stage: streams a snapshot through an encoder, only the rows that the cache lacks.

    run       plan, embed_shard, collect, and all three in a row
    cache     what the shards of one encoder already hold, by content key
    reencode  some products encoded anew, past the cache, for the audit of a publication

The cache is the shards themselves (kind ``embeddings``). A plan (kind ``embedding-plans``) lists the rows
that are missing; a shard is a slice of it, so a kill costs at most the shards in hand.

Does not know: training, the gate, the index.
"""
