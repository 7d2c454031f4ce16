"""Runs the revisions on the connection that `upgrade` opened; Alembic executes this module."""

from __future__ import annotations

from alembic import context

from dicom_node.journal.schema import metadata

# Both databases run CREATE and ALTER inside a transaction, so an interrupted upgrade leaves the journal as it was.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
