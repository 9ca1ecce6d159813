"""What people say: rules and judgements, kept in a database, with an audit trail.

    store       what can be asked and said: rules, judgements, the trail
    records     what the store answers with
    checks      what is refused before it reaches the database
    database    SQLite or PostgreSQL: connections, transactions, errors
    tables      the schema; migrations/ is how databases get there

Does not know: HTTP, ranking.
"""
