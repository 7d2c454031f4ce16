"""The table of the selection of one series of a study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table, and the index by which the series of a study are found."""
    op.create_index(op.f("ix_series_study_uid"), "series", ["study_uid"])
    op.create_table(
        "selections",
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("points", sa.Integer()),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("slices", sa.Integer(), nullable=False),
        sa.Column("is_chosen", sa.Boolean(), nullable=False),
        sa.Column("is_forced", sa.Boolean(), nullable=False),
        sa.Column("cut_lungs_ml", sa.Double()),
        sa.PrimaryKeyConstraint("series_uid"),
    )
    op.create_index(op.f("ix_selections_study_uid"), "selections", ["study_uid"])
