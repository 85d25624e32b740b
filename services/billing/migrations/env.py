"""Runs migrations on the connection that billing gives; its transaction is the caller's."""

from alembic import context

from services.billing.stores.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
