"""What people say: rules and judgements, kept in a database, with an audit trail.

Does not know: HTTP, ranking.
"""
