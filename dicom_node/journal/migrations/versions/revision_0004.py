"""Hashes of data sets in place of those of files; with each job the hash of its images, and the job it replaces."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Empty the hashes, which were of files: the node computes those of the data sets when it starts.

    Jobs that are there keep their keys, in which content had no part.
    """
    op.execute("ALTER TABLE instances RENAME COLUMN file_sha256 TO data_set_sha256")
    op.execute("UPDATE instances SET data_set_sha256 = ''")
    op.add_column("jobs", sa.Column("images_sha256", sa.String(64), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("replaces", sa.String(64)))
