"""Journal records of storage commitment requests from peers, kept until the report is sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, and_, func, insert, select, update

from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.schema import commitment_requests

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """A storage commitment request from a peer that waits for our report."""

    transaction_uid: str
    peer: str
    references: tuple[Reference, ...]
    attempts: int


class CommitmentJournal:
    """Storage commitment requests from peers; they survive a restart."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, transaction_uid: str, peer: str, references: Sequence[Reference], now: float) -> bool:
        """Record a request; False if the peer has used this Transaction UID before."""
        same = and_(commitment_requests.c.transaction_uid == transaction_uid, commitment_requests.c.peer == peer)
        row = {"transaction_uid": transaction_uid, "peer": peer, "named": list(references)}
        with self._database.write() as connection:
            if connection.execute(select(commitment_requests.c.peer).where(same)).first():
                return False
            connection.execute(insert(commitment_requests).values(**row, attempts=0, next_attempt_at=now, open=True))
            return True

    def count_open(self, peer: str) -> int:
        """Return how many requests of a peer wait for their report."""
        waiting = and_(commitment_requests.c.open, commitment_requests.c.peer == peer)
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(commitment_requests).where(waiting)).scalar_one()

    def due(self, now: float, peer: str, limit: int) -> list[CommitmentRequest]:
        """Return the requests of a peer whose report is due, the oldest first, at most `limit`."""
        due = select(commitment_requests).where(
            commitment_requests.c.open,
            commitment_requests.c.peer == peer,
            commitment_requests.c.next_attempt_at <= now,
        )
        with self._database.read() as connection:
            found: list[CommitmentRequest] = []
            for row in connection.execute(due.order_by(commitment_requests.c.next_attempt_at)):
                found += records(connection, commitment_requests, [row], _request)
                if len(found) == limit:
                    break
            return found

    def close_others(self, peers: Collection[str]) -> int:
        """Close the requests of all other peers, which are no longer configured, and return their number."""
        others = and_(commitment_requests.c.open, commitment_requests.c.peer.not_in(peers))
        with self._database.write() as connection:
            return connection.execute(update(commitment_requests).where(others).values(open=False)).rowcount

    def postpone(self, request: CommitmentRequest, next_attempt_at: float) -> None:
        """Record a failed attempt to send the report, and the time of the next one."""
        self._change(request, attempts=request.attempts + 1, next_attempt_at=next_attempt_at)

    def close(self, request: CommitmentRequest) -> None:
        """Record that the report was sent or given up; the Transaction UID stays used."""
        self._change(request, open=False)

    def _change(self, request: CommitmentRequest, **values: object) -> None:
        this = and_(
            commitment_requests.c.transaction_uid == request.transaction_uid,
            commitment_requests.c.peer == request.peer,
        )
        with self._database.write() as connection:
            connection.execute(update(commitment_requests).where(this).values(**values))


def _request(row: Row[tuple[object, ...]]) -> CommitmentRequest:
    return CommitmentRequest(
        transaction_uid=row.transaction_uid,
        peer=row.peer,
        references=tuple((sop_class_uid, uid) for sop_class_uid, uid in row.named),
        attempts=row.attempts,
    )
