"""The embedding stage: streams a snapshot through an encoder, only the rows that the cache lacks.

    run     the door: plan, embed_shard, collect, and all three in a row
    cache   what the shards of one encoder already hold
    rows    content keys of a snapshot, and some of its rows
    tables  the files of plans and sets
    worker  embeds one shard: the only part that needs torch

The cache is the shards themselves (kind ``embeddings``). A plan (kind ``embedding-plans``) lists the rows
that are missing; a shard is a slice of it, so a kill costs at most the shards in hand.

Does not know: training, the gate, the index. Planning and collecting need no torch.
"""
