"""The key of a scan's patient without the issuer of the patient ID."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; of a scan that is recorded already, the issuer is not known any more."""
    op.add_column("acquisitions", sa.Column("person_key", sa.String(64)))
    op.create_index(op.f("ix_acquisitions_person_key"), "acquisitions", ["person_key"])
    op.execute("UPDATE acquisitions SET person_key = patient_key")
