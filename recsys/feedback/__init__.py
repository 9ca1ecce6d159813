"""What people say: merchandisers' rules and judgements of products, kept in a database with an audit trail.

    rules        a rule, what it acts on and what it moves
    judgements   a judgement of two products, and what several people's come to
    store        adds, changes and lists both; the audit trail
    validation   the limits of what the store accepts
    rule_cache   the active rules in memory
    database     SQLite or PostgreSQL: schema, migrations, transactions
    run          export: judgements become an artifact that training reads

Does not know: HTTP, ranking.
"""
