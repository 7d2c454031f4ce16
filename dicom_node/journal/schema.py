"""The tables of the journal. A change of a table needs a new revision in `migrations/versions`."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

SENT, FETCHED = "sent", "fetched"
"""Role of a series in `acquisitions`: sent by a peer unrequested, or fetched by us."""


def _uid(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String(64), primary_key=key, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    """UTC, seconds since 1970."""
    return Column(name, Double, nullable=nullable)


series = Table(
    "series",
    metadata,
    _uid("series_uid", key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    _time("last_arrival"),
    Column("dirty", Boolean, nullable=False, index=True),
)

instances = Table(
    "instances",
    metadata,
    Column("series_uid", ForeignKey("series.series_uid"), primary_key=True),
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    Column("calling_ae_title", String(16), nullable=False),
    Column("data_set_sha256", String(64), nullable=False),
    _time("arrived_at"),
    Index("instances_by_uid", "sop_instance_uid"),
)

selections = Table(
    "selections",
    metadata,
    _uid("series_uid", key=True),
    Column("study_uid", String(64), nullable=False, index=True),
    Column("points", Integer),
    Column("reasons", JSON, nullable=False),
    Column("slices", Integer, nullable=False),
    Column("is_chosen", Boolean, nullable=False),
    Column("is_forced", Boolean, nullable=False),
    Column("cut_lungs_ml", Double),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_key", String(64), primary_key=True),
    _uid("study_uid"),
    Column("series_uid", String(64), nullable=False, index=True),
    Column("config_hash", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("sop_instance_uids", JSON, nullable=False),
    Column("images_sha256", String(64), nullable=False, server_default=""),
    Column("replaces", String(64)),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    _time("lease_until", nullable=True),
    Column("enqueue_count", Integer, nullable=False),
    _time("next_enqueue_at"),
    _time("created_at"),
    _time("updated_at"),
)

documents = Table(
    "documents",
    metadata,
    Column("job_key", ForeignKey("jobs.job_key"), primary_key=True),
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    Column("file_name", Text, nullable=False),
)

transactions = Table(
    "transactions",
    metadata,
    _uid("transaction_uid", key=True),
    Column("peer", Text, nullable=False),
    _time("due_at"),
    Column("open", Boolean, nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("job_key", String(64), primary_key=True),
    _uid("sop_instance_uid", key=True),
    Column("peer", Text, primary_key=True),
    Column("storage_commitment", Boolean, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at"),
    Column("transaction_uid", ForeignKey("transactions.transaction_uid"), index=True),
    ForeignKeyConstraint(
        ["job_key", "sop_instance_uid"], ["documents.job_key", "documents.sop_instance_uid"], ondelete="CASCADE"
    ),
)

commitment_requests = Table(
    "commitment_requests",
    metadata,
    _uid("transaction_uid", key=True),
    Column("peer", Text, primary_key=True),
    Column("named", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at"),
    Column("open", Boolean, nullable=False, index=True),
)

acquisitions = Table(
    "acquisitions",
    metadata,
    _uid("series_uid", key=True),
    _uid("study_uid"),
    Column("patient_key", String(64), index=True),
    Column("person_key", String(64), index=True),
    Column("acquired_on", String(14)),
    Column("role", String(8), nullable=False),
    Column("is_complete", Boolean, nullable=False),
    _time("read_at"),
)

results = Table(
    "prior_results",
    metadata,
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    _uid("series_uid"),
    _uid("study_uid"),
    _uid("ct_series_uid", key=True),
    Column("is_ours", Boolean, nullable=False),
    Column("refers_to", JSON, nullable=False),
    Index("prior_results_by_ct", "ct_series_uid"),
)

searches = Table(
    "prior_searches",
    metadata,
    _uid("series_uid", key=True),
    Column("search", String(16), nullable=False),
    Column("reason", Text),
    _time("ended_at"),
)

job_searches = Table(
    "job_searches",
    metadata,
    Column("job_key", String(64), primary_key=True),
    Column("search", String(16), nullable=False),
    Column("reason", Text),
)

job_priors = Table(
    "job_priors",
    metadata,
    Column("job_key", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    _uid("study_uid"),
    _uid("series_uid"),
    Column("prior_job_key", String(64)),
    Column("ct_uids", JSON, nullable=False),
    Column("results", JSON, nullable=False),
)
