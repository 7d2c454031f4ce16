"""The journal's half about what we promised: requests for storage commitment by peers, until they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, insert, select, update

from dicom_node.journal.schema import Database, promises

Reference = tuple[str, str]
"""SOP class UID and SOP instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A peer's request that waits for our report."""

    transaction_uid: str
    peer: str
    references: tuple[Reference, ...]
    attempts: int


class PromiseJournal(Database):
    """Whom we still owe a report; a restart does not forget it."""

    def promise(self, transaction_uid: str, peer: str, references: Sequence[Reference], now: float) -> bool:
        """Record a request that is answered with success; False when the peer has used this UID before."""
        same = and_(promises.c.transaction_uid == transaction_uid, promises.c.peer == peer)
        row = {"transaction_uid": transaction_uid, "peer": peer, "named": list(references)}
        with self._write() as connection:
            if connection.execute(select(promises.c.peer).where(same)).first():
                return False
            connection.execute(insert(promises).values(**row, attempts=0, next_attempt_at=now, open=True))
            return True

    def due_promises(self, now: float) -> list[Promise]:
        """Return the requests whose report is to be sent now."""
        due = select(promises).where(promises.c.open, promises.c.next_attempt_at <= now)
        with self._read() as connection:
            return [
                Promise(
                    transaction_uid=row.transaction_uid,
                    peer=row.peer,
                    references=tuple((sop_class_uid, uid) for sop_class_uid, uid in row.named),
                    attempts=row.attempts,
                )
                for row in connection.execute(due.order_by(promises.c.next_attempt_at))
            ]

    def postpone_promise(self, promise: Promise, next_attempt_at: float) -> None:
        """Record a report that did not reach the peer."""
        self._change(promise, attempts=promise.attempts + 1, next_attempt_at=next_attempt_at)

    def close_promise(self, promise: Promise) -> None:
        """Record that the report arrived, or that it was given up; its Transaction UID stays used."""
        self._change(promise, open=False)

    def _change(self, promise: Promise, **values: object) -> None:
        this = and_(promises.c.transaction_uid == promise.transaction_uid, promises.c.peer == promise.peer)
        with self._write() as connection:
            connection.execute(update(promises).where(this).values(**values))
