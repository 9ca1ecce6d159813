"""Search for people and for services: the HTTP API, the merchandiser's page, rules and judgements.

    run       serve: the door
    query     what can be asked and answered
    live      what is live, with its encoder and images; follows the alias
    finder    asks the index, ranks, explains
    rank      folding, diversity, rules: arrays and plain values in, an order out
    rules     what a rule is and when it acts
    lookup    products by id and words, as one types
    feedback  rules and judgements in a database; judgements become training pairs
    http      the API and the page

Does not know: how anything is trained or published.
"""
