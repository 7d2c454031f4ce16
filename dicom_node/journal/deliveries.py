"""Journal records of deliveries, one per document and peer."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from dicom_node.jobs import DeliveryState, JobState
from dicom_node.journal.database import Database
from dicom_node.journal.delivery_records import DeliveryRecord, select_deliveries
from dicom_node.journal.job_states import WITHOUT_RESULTS, change, state_in
from dicom_node.journal.schema import FETCHED, acquisitions, deliveries, documents, jobs
from dicom_node.settings import Peer


class DeliveryJournal:
    """Deliveries of documents to peers, and their states."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, job_key: str, peers: Sequence[Peer], now: float) -> None:
        """Create the missing deliveries of the job's documents to these peers, and delete those to other peers."""
        with self._database.write() as connection:
            of_job = deliveries.c.job_key == job_key
            names = [peer.name for peer in peers]
            connection.execute(delete(deliveries).where(of_job, deliveries.c.peer.not_in(names)))
            for peer in peers:
                _ensure_peer(connection, job_key, peer, now)
            update_job_state(connection, job_key, now)

    def jobs_to_plan(self, peers: Sequence[Peer], *, with_backfill: bool = True) -> list[str]:
        """Return the keys of the undelivered jobs whose deliveries do not match these peers.

        with_backfill: include the jobs of prior scans that we fetched.
        """
        states = [JobState.ANALYSED, JobState.DELIVERED, JobState.REJECTED]
        undelivered = and_(jobs.c.state.in_(states), jobs.c.files_removed_at.is_(None))
        if not with_backfill:
            fetched = select(acquisitions.c.series_uid).where(acquisitions.c.role == FETCHED)
            undelivered = and_(undelivered, jobs.c.series_uid.not_in(fetched))
        expected = {(peer.name, peer.storage_commitment) for peer in peers}
        with self._database.read() as connection:
            of_jobs = select(documents.c.job_key, documents.c.sop_instance_uid).join(jobs).where(undelivered)
            planned: dict[tuple[str, str], set[tuple[str, bool]]] = {
                (row.job_key, row.sop_instance_uid): set() for row in connection.execute(of_jobs)
            }
            of_job = deliveries.c.job_key == jobs.c.job_key
            for row in connection.execute(select(deliveries).join(jobs, of_job).where(undelivered)):
                if (row.job_key, row.sop_instance_uid) in planned:  # not if its document is damaged
                    planned[row.job_key, row.sop_instance_uid].add((row.peer, row.storage_commitment))
        return sorted({job_key for (job_key, _), members in planned.items() if members != expected})

    def of_job(self, job_key: str) -> list[DeliveryRecord]:
        """Return all deliveries of a job."""
        return self._deliveries(deliveries.c.job_key == job_key)

    def due(self, now: float) -> list[DeliveryRecord]:
        """Return the deliveries that are due, grouped by job and peer."""
        return self._deliveries(
            deliveries.c.state == DeliveryState.PENDING,
            deliveries.c.next_attempt_at <= now,
            jobs.c.state.not_in(WITHOUT_RESULTS),
        )

    def mark_stored(self, delivery: DeliveryRecord, now: float) -> None:
        """Record that the peer has stored the document."""
        self._mark(delivery, DeliveryState.STORED, None, now)

    def mark_refused(self, delivery: DeliveryRecord, reason: str, now: float) -> None:
        """Record that the peer refuses this document for good."""
        self._mark(delivery, DeliveryState.REFUSED, reason, now)

    def postpone(self, delivery: DeliveryRecord, reason: str, next_attempt_at: float) -> None:
        """Record a failed attempt to send or to request commitment, and the time of the next one."""
        values = {"attempts": delivery.attempts + 1, "reason": reason, "next_attempt_at": next_attempt_at}
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(is_delivery(delivery)).values(**values))

    def awaiting_commitment(self, now: float) -> list[DeliveryRecord]:
        """Return the stored deliveries that need storage commitment and are not part of a transaction."""
        return self._deliveries(
            deliveries.c.state == DeliveryState.STORED,
            deliveries.c.storage_commitment,
            deliveries.c.transaction_uid.is_(None),
            deliveries.c.next_attempt_at <= now,
            jobs.c.state.not_in(WITHOUT_RESULTS),
        )

    def _mark(self, delivery: DeliveryRecord, state: DeliveryState, reason: str | None, now: float) -> None:
        values = {"state": state, "reason": reason, "next_attempt_at": now}
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(is_delivery(delivery)).values(**values))
            update_job_state(connection, delivery.job_key, now)

    def _deliveries(self, *conditions: ColumnElement[bool]) -> list[DeliveryRecord]:
        with self._database.read() as connection:
            return select_deliveries(connection, *conditions)


def clear_results(connection: Connection, job_key: str) -> None:
    """Delete the documents and deliveries of a job that is computed again."""
    connection.execute(delete(deliveries).where(deliveries.c.job_key == job_key))
    connection.execute(delete(documents).where(documents.c.job_key == job_key))


def _ensure_peer(connection: Connection, job_key: str, peer: Peer, now: float) -> None:
    at_peer = and_(deliveries.c.job_key == job_key, deliveries.c.peer == peer.name)
    changed = and_(at_peer, deliveries.c.storage_commitment != peer.storage_commitment)
    connection.execute(update(deliveries).where(changed).values(storage_commitment=peer.storage_commitment))
    known = set(connection.execute(select(deliveries.c.sop_instance_uid).where(at_peer)).scalars())
    expected = connection.execute(select(documents.c.sop_instance_uid).where(documents.c.job_key == job_key)).scalars()
    row = {
        "job_key": job_key,
        "peer": peer.name,
        "storage_commitment": peer.storage_commitment,
        "state": DeliveryState.PENDING,
    }
    for uid in set(expected) - known:
        start = {"sop_instance_uid": uid, "attempts": 0, "next_attempt_at": now}
        connection.execute(insert(deliveries).values(**row, **start))


def update_job_state(connection: Connection, job_key: str, now: float) -> None:
    """Set the state of the job from the states of its deliveries."""
    current = state_in(connection, job_key)
    of_job = deliveries.c.job_key == job_key
    members = select_deliveries(connection, of_job)
    recorded = connection.execute(select(func.count()).select_from(deliveries).where(of_job)).scalar_one()
    # Of a damaged delivery nobody knows whether it was made.
    if current not in (JobState.ANALYSED, JobState.DELIVERED) or not members or len(members) < recorded:
        return
    target = _state_from(members)
    if target != current:
        refused = [member for member in members if member.state is DeliveryState.REFUSED]
        reason = f"{refused[0].peer}: {refused[0].reason}" if target is JobState.FAILED else None
        change(connection, job_key, target, now, reason=reason)


def _state_from(members: list[DeliveryRecord]) -> JobState:
    states = {member.state for member in members}
    if DeliveryState.PENDING in states:
        return JobState.ANALYSED
    if DeliveryState.REFUSED in states:
        return JobState.FAILED
    open_requests = [member for member in members if member.state is DeliveryState.STORED and member.storage_commitment]
    return JobState.DELIVERED if open_requests else JobState.COMMITTED


def is_delivery(delivery: DeliveryRecord) -> ColumnElement[bool]:
    """Return the condition that a row is of this delivery."""
    return and_(
        deliveries.c.job_key == delivery.job_key,
        deliveries.c.sop_instance_uid == delivery.document.sop_instance_uid,
        deliveries.c.peer == delivery.peer,
    )
