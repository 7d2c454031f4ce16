"""A delivery and a commitment transaction as the journal holds them, read from its rows. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Row, select

from dicom_node.journal.schema import deliveries, documents, jobs
from dicom_node.series import Document


class DeliveryState(StrEnum):
    """Where one document stands with one peer."""

    PENDING = "PENDING"
    """To be sent, or sent again."""
    STORED = "STORED"
    """The peer answered its C-STORE with success."""
    COMMITTED = "COMMITTED"
    """The peer has taken responsibility for it."""
    REFUSED = "REFUSED"
    """The peer does not want it, final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One document for one peer, as the journal holds it."""

    job_key: str
    peer: str
    document: Document
    state: DeliveryState
    reason: str | None
    attempts: int
    next_attempt_at: float
    storage_commitment: bool
    """Whether this peer is asked for storage commitment."""
    transaction_uid: str | None
    """The commitment transaction that was opened for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRecord:
    """A request for storage commitment, as the journal holds it."""

    transaction_uid: str
    peer: str
    due_at: float
    open: bool
    sop_instance_uids: tuple[str, ...]
    attempts: int
    """The most that any of its deliveries has had."""


def select_deliveries(connection: Connection, *conditions: ColumnElement[bool]) -> list[DeliveryRecord]:
    """Return the deliveries that meet these conditions, the documents of one job and peer beside each other."""
    statement = (
        select(deliveries, documents.c.sop_class_uid, documents.c.file_name)
        .join_from(deliveries, documents)
        .join(jobs, jobs.c.job_key == deliveries.c.job_key)
        .where(*conditions)
        .order_by(jobs.c.created_at, deliveries.c.job_key, deliveries.c.peer, documents.c.file_name)
    )
    return [_delivery(row) for row in connection.execute(statement)]


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
    """Return a transaction with what it is about."""
    members = select_deliveries(connection, deliveries.c.transaction_uid == row.transaction_uid)
    return TransactionRecord(
        transaction_uid=row.transaction_uid,
        peer=row.peer,
        due_at=row.due_at,
        open=row.open,
        sop_instance_uids=tuple(sorted(member.document.sop_instance_uid for member in members)),
        attempts=max((member.attempts for member in members), default=0),
    )
