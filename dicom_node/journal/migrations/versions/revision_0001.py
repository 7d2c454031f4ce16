"""The tables of version 0.1.0."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables; a table comes after those that it refers to."""
    _create_received()
    _create_jobs()
    _create_deliveries()
    _create_priors()


def _create_received() -> None:
    op.create_table(
        "series",
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("last_arrival", sa.Double(), nullable=False),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("series_uid"),
    )
    op.create_index(op.f("ix_series_dirty"), "series", ["dirty"])
    op.create_table(
        "instances",
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("file_sha256", sa.String(64), nullable=False),
        sa.Column("arrived_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["series_uid"], ["series.series_uid"]),
        sa.PrimaryKeyConstraint("series_uid", "sop_instance_uid"),
    )
    op.create_index("instances_by_uid", "instances", ["sop_instance_uid"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("job_key", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uids", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", sa.Double()),
        sa.Column("enqueue_count", sa.Integer(), nullable=False),
        sa.Column("next_enqueue_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_key"),
    )
    op.create_index(op.f("ix_jobs_series_uid"), "jobs", ["series_uid"])
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"])
    op.create_table(
        "documents",
        sa.Column("job_key", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_key"], ["jobs.job_key"]),
        sa.PrimaryKeyConstraint("job_key", "sop_instance_uid"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "commitment_requests",
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("named", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_uid", "peer"),
    )
    op.create_index(op.f("ix_commitment_requests_open"), "commitment_requests", ["open"])
    op.create_table(
        "transactions",
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("transaction_uid"),
    )
    op.create_index(op.f("ix_transactions_open"), "transactions", ["open"])
    op.create_table(
        "deliveries",
        sa.Column("job_key", sa.String(64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("peer", sa.Text(), nullable=False),
        sa.Column("storage_commitment", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("transaction_uid", sa.String(64)),
        sa.ForeignKeyConstraint(
            ["job_key", "sop_instance_uid"], ["documents.job_key", "documents.sop_instance_uid"], ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["transaction_uid"], ["transactions.transaction_uid"]),
        sa.PrimaryKeyConstraint("job_key", "sop_instance_uid", "peer"),
    )
    op.create_index(op.f("ix_deliveries_state"), "deliveries", ["state"])
    op.create_index(op.f("ix_deliveries_transaction_uid"), "deliveries", ["transaction_uid"])


def _create_priors() -> None:
    op.create_table(
        "acquisitions",
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("patient_key", sa.String(64)),
        sa.Column("acquired_on", sa.String(14)),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("is_complete", sa.Boolean(), nullable=False),
        sa.Column("read_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("series_uid"),
    )
    op.create_index(op.f("ix_acquisitions_patient_key"), "acquisitions", ["patient_key"])
    op.create_table(
        "job_priors",
        sa.Column("job_key", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("prior_job_key", sa.String(64)),
        sa.Column("ct_uids", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("job_key", "position"),
    )
    op.create_table(
        "job_searches",
        sa.Column("job_key", sa.String(64), nullable=False),
        sa.Column("search", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("job_key"),
    )
    op.create_table(
        "prior_results",
        sa.Column("sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("sop_class_uid", sa.String(64), nullable=False),
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("study_uid", sa.String(64), nullable=False),
        sa.Column("ct_series_uid", sa.String(64), nullable=False),
        sa.Column("is_ours", sa.Boolean(), nullable=False),
        sa.Column("refers_to", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("sop_instance_uid", "ct_series_uid"),
    )
    op.create_index("prior_results_by_ct", "prior_results", ["ct_series_uid"])
    op.create_table(
        "prior_searches",
        sa.Column("series_uid", sa.String(64), nullable=False),
        sa.Column("search", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("ended_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("series_uid"),
    )
