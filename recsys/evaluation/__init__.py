"""Evaluation: exact retrieval figures per candidate encoder, the gate, and the report of a run.

    exact       exact search and graded ranks, in chunks of bounded memory
    metrics     recall@k, hit@k, precision@k, nDCG@k, R-precision, MAP@R from graded ranks
    relevance   which gallery products are right answers to which queries
    tasks       retrieval tasks of the configuration, resolved against a snapshot and its split
    statistics  bootstrap over components: intervals of figures and of paired differences
    gate        the decision: promote or keep, with reasons in words
    candidates  champion, base, fine-tuned and interpolations; their embeddings, once each
    figures     every task of one candidate
    examples    neighbours of a few products under two encoders
    run         the stage's door: ``run`` (with the gate) and ``judge`` (one encoder, no gate)

Does not know: how encoders are trained, feeds, indexes.
"""
