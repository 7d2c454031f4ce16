"""Read-only records of deliveries and commitment transactions, built from journal rows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, select

from dicom_node.jobs import DeliveryState
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.schema import deliveries, documents, jobs
from dicom_node.series import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """The delivery of one document to one peer."""

    job_key: str
    peer: str
    document: Document
    state: DeliveryState
    reason: str | None
    attempts: int
    next_attempt_at: float
    storage_commitment: bool
    """Whether storage commitment is requested from this peer."""
    transaction_uid: str | None
    """The commitment transaction that it is part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """A storage commitment transaction that we requested."""

    transaction_uid: str
    peer: str
    due_at: float
    open: bool
    sop_instance_uids: tuple[str, ...]
    attempts: int
    """The largest number of attempts of its deliveries."""


def select_deliveries(connection: Connection, *conditions: ColumnElement[bool]) -> list[DeliveryRecord]:
    """Return the deliveries that meet all conditions, grouped by job and peer."""
    statement = (
        select(deliveries, documents.c.sop_class_uid, documents.c.file_name)
        .join_from(deliveries, documents)
        .join(jobs, jobs.c.job_key == deliveries.c.job_key)
        .where(*conditions)
        .order_by(jobs.c.created_at, deliveries.c.job_key, deliveries.c.peer, documents.c.file_name)
    )
    return records(connection, deliveries, connection.execute(statement), _delivery)


def _delivery(row: Row[tuple[object, ...]]) -> DeliveryRecord:
    return DeliveryRecord(
        job_key=row.job_key,
        peer=row.peer,
        document=Document(
            sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid, file_name=row.file_name
        ),
        state=DeliveryState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        storage_commitment=row.storage_commitment,
        transaction_uid=row.transaction_uid,
    )


def transaction_of(connection: Connection, row: Row[tuple[object, ...]]) -> TransactionRecord:
    """Return a transaction with the instances that it refers to."""
    members = select_deliveries(connection, deliveries.c.transaction_uid == row.transaction_uid)
    return TransactionRecord(
        transaction_uid=row.transaction_uid,
        peer=row.peer,
        due_at=row.due_at,
        open=row.open,
        sop_instance_uids=tuple(sorted(member.document.sop_instance_uid for member in members)),
        attempts=max((member.attempts for member in members), default=0),
    )
