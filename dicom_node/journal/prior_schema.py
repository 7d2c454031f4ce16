"""Tables of the journal for prior scans. They are separate, so that opening an older journal adds them."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Double, Index, Integer, String, Table, Text

from dicom_node.journal.schema import metadata

SENT, FETCHED = "sent", "fetched"
"""Role of a series: sent by a peer unrequested, or fetched by us."""

acquisitions = Table(
    "acquisitions",
    metadata,
    Column("series_uid", String(64), primary_key=True),
    Column("study_uid", String(64), nullable=False),
    Column("patient_key", String(64), index=True),
    Column("acquired_on", String(14)),
    Column("role", String(8), nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("read_at", Double, nullable=False),
)
results = Table(
    "prior_results",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("sop_class_uid", String(64), nullable=False),
    Column("series_uid", String(64), nullable=False),
    Column("study_uid", String(64), nullable=False),
    Column("ct_series_uid", String(64), primary_key=True),
    Column("is_ours", Boolean, nullable=False),
    Column("refers_to", JSON, nullable=False),
    Index("prior_results_by_ct", "ct_series_uid"),
)
searches = Table(
    "prior_searches",
    metadata,
    Column("series_uid", String(64), primary_key=True),
    Column("search", String(16), nullable=False),
    Column("reason", Text),
    Column("ended_at", Double, nullable=False),
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
    Column("study_uid", String(64), nullable=False),
    Column("series_uid", String(64), nullable=False),
    Column("prior_job_key", String(64)),
    Column("ct_uids", JSON, nullable=False),
    Column("results", JSON, nullable=False),
)
