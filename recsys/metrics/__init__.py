"""Exact search, retrieval metrics and the bootstrap: arrays in, arrays out, below every stage.

    exact           every score of some queries, in chunks of bounded memory, and the best of each
    retrieval       recall@k, hit@k, precision@k, nDCG@k, R-precision, MAP@R, agreement@k, per query
    bootstrap       intervals of means and of paired differences, resampled by component
    clusters        means with cluster-robust errors; group means drawn towards each other
    neighbourhoods  k nearest of each of a set, hubness, how many stay the same

Does not know: products, tasks, encoders.
"""
