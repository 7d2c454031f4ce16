"""The quarantine of damaged rows, when the results of a job were removed, and how urgent a job is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    """Create the table, and the columns; what is recorded already is routine."""
    op.add_column("jobs", sa.Column("files_removed_at", sa.Double()))
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="2"))
    op.create_table(
        "quarantined",
        sa.Column("table_name", sa.String(32), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("found_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "row_key"),
    )
