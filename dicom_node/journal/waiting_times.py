"""The times in the journal that something waits for: moved with the clock, and cut where they are too far ahead."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Update, and_, update

from dicom_node.jobs import DeliveryState, JobState
from dicom_node.journal.database import Database
from dicom_node.journal.schema import commitment_requests, deliveries, jobs, series, transactions

_TOLERANCE_S = 5.0
"""Times of different threads and hosts may differ by this much without being in the future."""
_OPEN = (DeliveryState.PENDING, DeliveryState.STORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LongestPauses:
    """The longest pauses of the settings, in seconds."""

    enqueue_s: float
    retry_s: float
    commitment_s: float


class WaitingTimes:
    """What is waited for: series by their last arrival, jobs, deliveries and commitments by their next attempt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def move(self, seconds: float) -> None:
        """Move every time that something waits for, since the clock was moved: each waits as long as it would have."""
        with self._database.write() as connection:
            for column, is_open in _WAITING:
                connection.execute(update(column.table).where(is_open).values({column: column + seconds}))

    def cut(self, now: float, longest: LongestPauses) -> int:
        """Correct times that no pause explains, as after a restart with another clock; return their number.

        A series cannot have arrived in the future: it arrived now. An attempt later than after its longest pause is due
        now; a commitment, whose documents would be sent again, after its time limit.
        """
        statements = (
            _limited(series.c.last_arrival, now, now),
            _limited(jobs.c.next_enqueue_at, now + longest.enqueue_s, now, jobs.c.state == JobState.QUEUED),
            _limited(deliveries.c.next_attempt_at, now + longest.retry_s, now, deliveries.c.state.in_(_OPEN)),
            _limited(commitment_requests.c.next_attempt_at, now + longest.retry_s, now, commitment_requests.c.open),
            _limited(
                transactions.c.due_at,
                now + longest.commitment_s,
                now + longest.commitment_s,
                transactions.c.open,
            ),
        )
        with self._database.write() as connection:
            return sum(connection.execute(statement).rowcount for statement in statements)


_WAITING: tuple[tuple[Column[float], ColumnElement[bool]], ...] = (
    (series.c.last_arrival, series.c.dirty),
    (jobs.c.next_enqueue_at, jobs.c.state == JobState.QUEUED),
    (deliveries.c.next_attempt_at, deliveries.c.state.in_(_OPEN)),
    (commitment_requests.c.next_attempt_at, commitment_requests.c.open),
    (transactions.c.due_at, transactions.c.open),
)


def _limited(column: Column[float], latest: float, instead: float, *conditions: ColumnElement[bool]) -> Update:
    too_late = and_(column > latest + _TOLERANCE_S, *conditions)
    return update(column.table).where(too_late).values({column: instead})
