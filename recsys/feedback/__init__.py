"""What people say: rules and judgements, kept in a database, with an audit trail.

    run         the door of the night: judgements as an artifact
    store       what can be asked and said: rules, judgements, the trail
    records     what the store answers with
    checks      what is refused before it reaches the database
    database    SQLite or PostgreSQL: connections, transactions, errors
    tables      the schema; migrations/ is how databases get there
    aggregate    what several people said of a pair, put together

Does not know: HTTP, ranking.
"""
