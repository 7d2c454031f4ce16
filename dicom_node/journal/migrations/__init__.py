"""The Alembic environment of the journal: one module per revision in `versions`."""
