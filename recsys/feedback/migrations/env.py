"""Alembic's environment: runs the migrations over the connection and in the transaction it is given."""

from alembic import context

from recsys.feedback.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by copying the table
    compare_server_default=True,
)
context.run_migrations()
