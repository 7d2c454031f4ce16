"""Journal records of the storage commitment transactions that we requested."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from dicom_node.jobs import DeliveryState
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.deliveries import is_delivery, update_job_state
from dicom_node.journal.delivery_records import (
    DeliveryRecord,
    TransactionRecord,
    select_deliveries,
    transaction_of,
)
from dicom_node.journal.schema import deliveries, transactions


class TransactionJournal:
    """Our storage commitment transactions, open and closed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, transaction_uid: str, peer: str, sop_instance_uids: Collection[str], due_at: float) -> None:
        """Record a commitment request; call this before it is sent, because the report may arrive at once."""
        row = {"transaction_uid": transaction_uid, "peer": peer, "due_at": due_at, "open": True}
        with self._database.write() as connection:
            connection.execute(insert(transactions).values(**row))
            connection.execute(
                update(deliveries)
                .where(
                    deliveries.c.peer == peer,
                    deliveries.c.state == DeliveryState.STORED,
                    deliveries.c.sop_instance_uid.in_(sop_instance_uids),
                )
                .values(transaction_uid=transaction_uid)
            )

    def get(self, transaction_uid: str) -> TransactionRecord | None:
        """Return a commitment transaction, open or closed; None if it is not ours."""
        found = self._transactions(transactions.c.transaction_uid == transaction_uid)
        return found[0] if found else None

    def overdue(self, now: float) -> list[TransactionRecord]:
        """Return the open transactions whose report is overdue."""
        return self._transactions(and_(transactions.c.open, transactions.c.due_at <= now))

    def cancel(self, transaction_uid: str, reason: str, retry_at: float) -> None:
        """Close a transaction whose request did not reach the peer; its documents stay stored for a new request."""
        with self._database.write() as connection:
            _close(connection, transaction_uid)
            again = {"transaction_uid": None, "reason": reason, "next_attempt_at": retry_at}
            connection.execute(
                update(deliveries)
                .where(deliveries.c.transaction_uid == transaction_uid)
                .values(attempts=deliveries.c.attempts + 1, **again)
            )

    def record_report(
        self, transaction_uid: str, committed: Collection[str], failed: Mapping[str, str], now: float, retry_at: float
    ) -> bool:
        """Record the report of a request; documents that it does not commit are sent again at `retry_at`.

        Return False if the transaction is unknown or closed. An overdue transaction is recorded with all failed.
        """
        with self._database.write() as connection:
            if not _close(connection, transaction_uid):
                return False
            members = select_deliveries(connection, deliveries.c.transaction_uid == transaction_uid)
            for member in members:
                uid = member.document.sop_instance_uid
                reason = None if uid in committed else failed.get(uid, "not named in the commitment result")
                values = _committed() if reason is None else _pending_again(member, reason, retry_at)
                connection.execute(update(deliveries).where(is_delivery(member)).values(**values))
            for job_key in {member.job_key for member in members}:
                update_job_state(connection, job_key, now)
            return True

    def _transactions(self, condition: ColumnElement[bool]) -> list[TransactionRecord]:
        with self._database.read() as connection:
            rows = connection.execute(select(transactions).where(condition).order_by(transactions.c.due_at)).all()
            return records(connection, transactions, rows, lambda row: transaction_of(connection, row))


def _close(connection: Connection, transaction_uid: str) -> bool:
    is_open = and_(transactions.c.transaction_uid == transaction_uid, transactions.c.open)
    return connection.execute(update(transactions).where(is_open).values(open=False)).rowcount == 1


def _committed() -> dict[str, object]:
    return {"state": DeliveryState.COMMITTED, "reason": None}


def _pending_again(delivery: DeliveryRecord, reason: str, retry_at: float) -> dict[str, object]:
    again = {"attempts": delivery.attempts + 1, "next_attempt_at": retry_at, "transaction_uid": None}
    return {"state": DeliveryState.PENDING, "reason": reason, **again}
