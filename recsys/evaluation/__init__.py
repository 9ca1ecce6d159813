"""Evaluation: exact retrieval figures per candidate encoder, the gate, and the report of a run.

    exact       exact search and graded ranks, in chunks of bounded memory
    metrics     recall@k, hit@k, precision@k, nDCG@k, R-precision, MAP@R from graded ranks
    relevance   which gallery products are right answers to which queries
    products    columns, components and splits of a snapshot
    answers     a task's right answers, from what its configuration names
    defaults    the tasks of a catalog for which nobody configured any
    tasks       retrieval tasks of the configuration, resolved against a snapshot and its split
    judged      the task that people's judgements make
    statistics  bootstrap over components: intervals of figures and of paired differences
    figures     every task of one candidate, per query and summarised
    evidence    what the gate reads of a task
    gate        who challenges, and whether it takes over; pure
    candidates  champion, base, fine-tuned and interpolations; their embeddings, once each
    features    images under a frozen image tower, read once for all candidates
    judgement   all tasks of all candidates on the same queries
    trial       one evaluation's material, failures included
    decision    a night's decision
    examples    neighbours of a few products under two encoders
    record      what evaluation.json holds
    run         the stage's door: ``run`` (with the gate) and ``judge`` (one encoder, no gate)

Does not know: how encoders are trained, feeds, indexes.
"""
