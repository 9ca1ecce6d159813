"""Evaluation: retrieval scores of every candidate encoder, and the gate that decides which one serves.

    run          the stage: candidates → evaluator → gate → record
    candidates   champion, base, fine-tuned and interpolations; their embeddings, once each
    evaluator    all tasks of all candidates on the same queries
    tasks        retrieval tasks, configured, default or from judgements, resolved against a snapshot
    relevance    which gallery products are relevant to which queries
    products     columns, components and splits of a snapshot
    scores       every metric of every query, means and intervals
    gate         who challenges, and whether it takes over; pure
    examples     neighbours of a few products under two encoders
    record       what is written of all this

Does not know: how encoders are trained, feeds, indexes.
"""
