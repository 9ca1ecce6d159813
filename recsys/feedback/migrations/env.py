"""How Alembic runs our migrations: over the connection, and in the transaction, that it is given.

Does not know: where the database is.
"""

from alembic import context

from recsys.feedback.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by making the table anew
    compare_server_default=True,
)
context.run_migrations()
