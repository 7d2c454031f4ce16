"""The journal's half about results on their way: one delivery per document and peer. Sends nothing itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from dicom_node.jobs import JobState
from dicom_node.journal.delivery_records import (
    DeliveryRecord,
    DeliveryState,
    TransactionRecord,
    select_deliveries,
    transaction_of,
)
from dicom_node.journal.prior_schema import FETCHED, acquisitions
from dicom_node.journal.schema import Database, change, deliveries, documents, jobs, state_of, transactions
from dicom_node.settings import Peer

_NO_LONGER_WANTED = (JobState.SUPERSEDED, JobState.QUEUED, JobState.RUNNING)


class DeliveryJournal(Database):
    """What is to be sent where, and how far that is."""

    def ensure_deliveries(self, job_key: str, peers: Sequence[Peer], now: float) -> None:
        """Make the job's deliveries those of its documents to these peers; what was done already stays."""
        with self._write() as connection:
            of_job = deliveries.c.job_key == job_key
            names = [peer.name for peer in peers]
            connection.execute(delete(deliveries).where(of_job, deliveries.c.peer.not_in(names)))
            for peer in peers:
                _ensure_peer(connection, job_key, peer, now)
            _settle(connection, job_key, now)

    def unplanned(self, peers: Sequence[Peer], *, with_backfill: bool = True) -> list[str]:
        """Return the keys of the jobs on their way whose deliveries are not (yet) those to these peers.

        with_backfill: also of earlier scans that we fetched, and nobody asked us to analyse.
        """
        on_its_way: ColumnElement[bool] = jobs.c.state.in_([JobState.ANALYSED, JobState.DELIVERED, JobState.REJECTED])
        if not with_backfill:
            fetched = select(acquisitions.c.series_uid).where(acquisitions.c.role == FETCHED)
            on_its_way = and_(on_its_way, jobs.c.series_uid.not_in(fetched))
        wanted = {(peer.name, peer.storage_commitment) for peer in peers}
        with self._read() as connection:
            of_jobs = select(documents.c.job_key, documents.c.sop_instance_uid).join(jobs).where(on_its_way)
            planned: dict[tuple[str, str], set[tuple[str, bool]]] = {
                (row.job_key, row.sop_instance_uid): set() for row in connection.execute(of_jobs)
            }
            for delivery in select_deliveries(connection, on_its_way):
                members = planned[delivery.job_key, delivery.document.sop_instance_uid]
                members.add((delivery.peer, delivery.storage_commitment))
        return sorted({job_key for (job_key, _), members in planned.items() if members != wanted})

    def deliveries_of(self, job_key: str) -> list[DeliveryRecord]:
        """Return all deliveries of a job."""
        return self._deliveries(deliveries.c.job_key == job_key)

    def due_deliveries(self, now: float) -> list[DeliveryRecord]:
        """Return what is to be sent now, the documents of one job and peer beside each other."""
        return self._deliveries(
            deliveries.c.state == DeliveryState.PENDING,
            deliveries.c.next_attempt_at <= now,
            jobs.c.state.not_in(_NO_LONGER_WANTED),
        )

    def mark_stored(self, delivery: DeliveryRecord, now: float) -> None:
        """Record that the peer answered the C-STORE with success."""
        self._mark(delivery, DeliveryState.STORED, None, now)

    def mark_refused(self, delivery: DeliveryRecord, reason: str, now: float) -> None:
        """Record that the peer will not take this document, ever."""
        self._mark(delivery, DeliveryState.REFUSED, reason, now)

    def postpone(self, delivery: DeliveryRecord, reason: str, next_attempt_at: float) -> None:
        """Record a failed attempt, to send or to ask for commitment, and when the next one is."""
        values = {"attempts": delivery.attempts + 1, "reason": reason, "next_attempt_at": next_attempt_at}
        with self._write() as connection:
            connection.execute(update(deliveries).where(_is(delivery)).values(**values))

    def awaiting_commitment(self, now: float) -> list[DeliveryRecord]:
        """Return what was stored by peers that are asked for commitment, and is in no open transaction."""
        return self._deliveries(
            deliveries.c.state == DeliveryState.STORED,
            deliveries.c.storage_commitment,
            deliveries.c.transaction_uid.is_(None),
            deliveries.c.next_attempt_at <= now,
            jobs.c.state.not_in(_NO_LONGER_WANTED),
        )

    def open_transaction(
        self, transaction_uid: str, peer: str, sop_instance_uids: Collection[str], due_at: float
    ) -> None:
        """Record a request for commitment; do this before it is sent, for its answer may be fast."""
        row = {"transaction_uid": transaction_uid, "peer": peer, "due_at": due_at, "open": True}
        with self._write() as connection:
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

    def transaction(self, transaction_uid: str) -> TransactionRecord | None:
        """Return a commitment transaction, open or closed; None when it is not ours."""
        found = self._transactions(transactions.c.transaction_uid == transaction_uid)
        return found[0] if found else None

    def overdue_transactions(self, now: float) -> list[TransactionRecord]:
        """Return the open transactions whose answer should have come."""
        return self._transactions(and_(transactions.c.open, transactions.c.due_at <= now))

    def cancel_transaction(self, transaction_uid: str, reason: str, retry_at: float) -> None:
        """Close a transaction whose request did not reach the peer; its documents stay stored, for another request."""
        with self._write() as connection:
            _close(connection, transaction_uid)
            again = {"transaction_uid": None, "reason": reason, "next_attempt_at": retry_at}
            connection.execute(
                update(deliveries)
                .where(deliveries.c.transaction_uid == transaction_uid)
                .values(attempts=deliveries.c.attempts + 1, **again)
            )

    def record_commitment(
        self, transaction_uid: str, committed: Collection[str], failed: Mapping[str, str], now: float, retry_at: float
    ) -> bool:
        """Record the answer to a request; what is not committed by it is sent again at `retry_at`.

        False when the transaction is unknown or closed already. An overdue transaction is recorded as all failed.
        """
        with self._write() as connection:
            if not _close(connection, transaction_uid):
                return False
            members = select_deliveries(connection, deliveries.c.transaction_uid == transaction_uid)
            for member in members:
                uid = member.document.sop_instance_uid
                reason = None if uid in committed else failed.get(uid, "not named in the commitment result")
                values = _committed() if reason is None else _to_be_sent_again(member, reason, retry_at)
                connection.execute(update(deliveries).where(_is(member)).values(**values))
            for job_key in {member.job_key for member in members}:
                _settle(connection, job_key, now)
            return True

    def _mark(self, delivery: DeliveryRecord, state: DeliveryState, reason: str | None, now: float) -> None:
        values = {"state": state, "reason": reason, "next_attempt_at": now}
        with self._write() as connection:
            connection.execute(update(deliveries).where(_is(delivery)).values(**values))
            _settle(connection, delivery.job_key, now)

    def _deliveries(self, *conditions: ColumnElement[bool]) -> list[DeliveryRecord]:
        with self._read() as connection:
            return select_deliveries(connection, *conditions)

    def _transactions(self, condition: ColumnElement[bool]) -> list[TransactionRecord]:
        with self._read() as connection:
            rows = connection.execute(select(transactions).where(condition).order_by(transactions.c.due_at)).all()
            return [transaction_of(connection, row) for row in rows]


def clear_results(connection: Connection, job_key: str) -> None:
    """Forget a job's documents and their deliveries: it is computed again."""
    connection.execute(delete(deliveries).where(deliveries.c.job_key == job_key))
    connection.execute(delete(documents).where(documents.c.job_key == job_key))


def _ensure_peer(connection: Connection, job_key: str, peer: Peer, now: float) -> None:
    at_peer = and_(deliveries.c.job_key == job_key, deliveries.c.peer == peer.name)
    changed = and_(at_peer, deliveries.c.storage_commitment != peer.storage_commitment)
    connection.execute(update(deliveries).where(changed).values(storage_commitment=peer.storage_commitment))
    known = set(connection.execute(select(deliveries.c.sop_instance_uid).where(at_peer)).scalars())
    wanted = connection.execute(select(documents.c.sop_instance_uid).where(documents.c.job_key == job_key)).scalars()
    row = {
        "job_key": job_key,
        "peer": peer.name,
        "storage_commitment": peer.storage_commitment,
        "state": DeliveryState.PENDING,
    }
    for uid in set(wanted) - known:
        start = {"sop_instance_uid": uid, "attempts": 0, "next_attempt_at": now}
        connection.execute(insert(deliveries).values(**row, **start))


def _settle(connection: Connection, job_key: str, now: float) -> None:
    """Give the job the state that its deliveries say."""
    current = state_of(connection, job_key)
    members = select_deliveries(connection, deliveries.c.job_key == job_key)
    if current not in (JobState.ANALYSED, JobState.DELIVERED) or not members:
        return
    target = _state_by(members)
    if target is not current:
        refused = [member for member in members if member.state is DeliveryState.REFUSED]
        reason = f"{refused[0].peer}: {refused[0].reason}" if target is JobState.FAILED else None
        change(connection, job_key, target, now, reason=reason)


def _state_by(members: list[DeliveryRecord]) -> JobState:
    states = {member.state for member in members}
    if DeliveryState.PENDING in states:
        return JobState.ANALYSED
    if DeliveryState.REFUSED in states:
        return JobState.FAILED
    open_requests = [member for member in members if member.state is DeliveryState.STORED and member.storage_commitment]
    return JobState.DELIVERED if open_requests else JobState.COMMITTED


def _close(connection: Connection, transaction_uid: str) -> bool:
    is_open = and_(transactions.c.transaction_uid == transaction_uid, transactions.c.open)
    return connection.execute(update(transactions).where(is_open).values(open=False)).rowcount == 1


def _committed() -> dict[str, object]:
    return {"state": DeliveryState.COMMITTED, "reason": None}


def _to_be_sent_again(delivery: DeliveryRecord, reason: str, retry_at: float) -> dict[str, object]:
    again = {"attempts": delivery.attempts + 1, "next_attempt_at": retry_at, "transaction_uid": None}
    return {"state": DeliveryState.PENDING, "reason": reason, **again}


def _is(delivery: DeliveryRecord) -> ColumnElement[bool]:
    return and_(
        deliveries.c.job_key == delivery.job_key,
        deliveries.c.sop_instance_uid == delivery.document.sop_instance_uid,
        deliveries.c.peer == delivery.peer,
    )
