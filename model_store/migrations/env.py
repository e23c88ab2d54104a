"""Run by alembic: applies the migrations on the connection that the catalogue hands over."""

from alembic import context

from model_store import tables

context.configure(connection=context.config.attributes["connection"], target_metadata=tables.metadata)
with context.begin_transaction():
    context.run_migrations()
