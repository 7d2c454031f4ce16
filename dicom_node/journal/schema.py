"""The tables of the journal. A change of a table needs a new revision in `migrations/versions`.

A column that can hold more than its type says has its rule in `info["valid"]`, by which `damaged_rows` checks rows.
"""

from __future__ import annotations

from sqlalchemy import (
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

from dicom_node.identifiers import is_uid
from dicom_node.jobs import DeliveryState, JobState, Priority
from dicom_node.journal.column_rules import (
    Json,
    are_pairs,
    are_texts,
    are_uids,
    is_ascii,
    is_day,
    is_key,
    is_key_or_empty,
    one_of,
)
from dicom_node.prior import PriorSearch

metadata = MetaData()

SENT, FETCHED = "sent", "fetched"
"""Role of a series in `acquisitions`: sent by a peer unrequested, or fetched by us."""


def _uid(name: str, *, key: bool = False, index: bool | None = None) -> Column[str]:
    return Column(name, String(64), primary_key=key, nullable=False, index=index, info={"valid": is_uid})


def _job_key(name: str = "job_key", *, key: bool = True) -> Column[str]:
    return Column(name, String(64), primary_key=key, nullable=not key, info={"valid": is_key})


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    """UTC, seconds since 1970."""
    return Column(name, Double, nullable=nullable)


series = Table(
    "series",
    metadata,
    _uid("series_uid", key=True),
    _uid("study_uid", index=True),
    _time("last_arrival"),
    Column("dirty", Boolean, nullable=False, index=True),
)

instances = Table(
    "instances",
    metadata,
    Column("series_uid", ForeignKey("series.series_uid"), primary_key=True, info={"valid": is_uid}),
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    Column("calling_ae_title", String(16), nullable=False),
    Column("data_set_sha256", String(64), nullable=False, info={"valid": is_ascii}),
    _time("arrived_at"),
    Index("instances_by_uid", "sop_instance_uid"),
)

selections = Table(
    "selections",
    metadata,
    _uid("series_uid", key=True),
    _uid("study_uid", index=True),
    Column("points", Integer),
    Column("reasons", Json, nullable=False, info={"valid": are_texts}),
    Column("slices", Integer, nullable=False),
    Column("is_chosen", Boolean, nullable=False),
    Column("is_forced", Boolean, nullable=False),
    Column("cut_lungs_ml", Double),
)

jobs = Table(
    "jobs",
    metadata,
    _job_key(),
    _uid("study_uid"),
    _uid("series_uid", index=True),
    Column("config_hash", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("sop_instance_uids", Json, nullable=False, info={"valid": are_uids}),
    Column("images_sha256", String(64), nullable=False, server_default="", info={"valid": is_key_or_empty}),
    _job_key("replaces", key=False),
    Column("state", String(16), nullable=False, index=True, info={"valid": one_of(*JobState)}),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    _time("lease_until", nullable=True),
    Column("enqueue_count", Integer, nullable=False),
    _time("next_enqueue_at"),
    _time("created_at"),
    _time("updated_at"),
    _time("files_removed_at", nullable=True),
    Column("priority", Integer, nullable=False, server_default="2", info={"valid": frozenset(Priority).__contains__}),
)

documents = Table(
    "documents",
    metadata,
    Column("job_key", ForeignKey("jobs.job_key"), primary_key=True, info={"valid": is_key}),
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
    _job_key(),
    _uid("sop_instance_uid", key=True),
    Column("peer", Text, primary_key=True),
    Column("storage_commitment", Boolean, nullable=False),
    Column("state", String(16), nullable=False, index=True, info={"valid": one_of(*DeliveryState)}),
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
    Column("named", Json, nullable=False, info={"valid": are_pairs}),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at"),
    Column("open", Boolean, nullable=False, index=True),
)

acquisitions = Table(
    "acquisitions",
    metadata,
    _uid("series_uid", key=True),
    _uid("study_uid"),
    Column("patient_key", String(64), index=True, info={"valid": is_key}),
    Column("person_key", String(64), index=True, info={"valid": is_key}),
    Column("acquired_on", String(14), info={"valid": is_day}),
    Column("role", String(8), nullable=False, info={"valid": one_of(SENT, FETCHED)}),
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
    Column("refers_to", Json, nullable=False, info={"valid": are_pairs}),
    Index("prior_results_by_ct", "ct_series_uid"),
)

searches = Table(
    "prior_searches",
    metadata,
    _uid("series_uid", key=True),
    Column("search", String(16), nullable=False, info={"valid": one_of(*PriorSearch)}),
    Column("reason", Text),
    _time("ended_at"),
)

job_searches = Table(
    "job_searches",
    metadata,
    _job_key(),
    Column("search", String(16), nullable=False, info={"valid": one_of(*PriorSearch)}),
    Column("reason", Text),
)

job_priors = Table(
    "job_priors",
    metadata,
    _job_key(),
    Column("position", Integer, primary_key=True),
    _uid("study_uid"),
    _uid("series_uid"),
    _job_key("prior_job_key", key=False),
    Column("ct_uids", Json, nullable=False, info={"valid": are_uids}),
    Column("results", Json, nullable=False, info={"valid": are_pairs}),
)

quarantined = Table(
    "quarantined",
    metadata,
    Column("table_name", String(32), primary_key=True),
    Column("row_key", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    _time("found_at"),
)
