"""Journal records of the selection: the series of each study with their scores, and which one was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, exists, insert, select, update

from dicom_node.identifiers import RESULTS
from dicom_node.jobs import JobState
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.schema import FETCHED, acquisitions, instances, jobs, selections, series
from dicom_node.journal.series import received_series
from dicom_node.selection.score import Score
from dicom_node.series import Series

_WITH_RESULT = (JobState.ANALYSED, JobState.DELIVERED, JobState.COMMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRecord:
    """The score of a series, and whether it was chosen among those of its study."""

    series_uid: str
    study_uid: str
    score: Score
    slices: int
    is_chosen: bool = False
    is_forced: bool = False
    cut_lungs_ml: float | None = None
    """The lung that it shows, if a worker found that the scan ends within the lungs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySeries:
    """A received CT series of a study that has something new, and what its last job came to."""

    series: Series
    is_fetched: bool
    was_rejected: bool
    has_result: bool


class SelectionJournal:
    """Scores and choices; empty if every series is analysed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_studies(self) -> dict[str, list[StudySeries]]:
        """Return the CT series of every study in which one is dirty, without partly retrieved ones."""
        is_partial = exists().where(acquisitions.c.series_uid == series.c.series_uid, ~acquisitions.c.is_complete)
        images = exists().where(
            instances.c.series_uid == series.c.series_uid, instances.c.sop_class_uid.not_in(RESULTS)
        )
        dirty = select(series.c.study_uid).where(series.c.dirty, ~is_partial)
        studies: dict[str, list[StudySeries]] = {}
        with self._database.read() as connection:
            found = select(series).where(series.c.study_uid.in_(dirty), ~is_partial, images)
            rows = connection.execute(found.order_by(series.c.last_arrival)).all()
            for one in records(connection, series, rows, lambda row: _study_series(connection, row)):
                studies.setdefault(one.series.study_uid, []).append(one)
        return studies

    def of_study(self, study_uid: str) -> list[SelectionRecord]:
        """Return the records of a study."""
        return self._records(study_uid)

    def all(self) -> list[SelectionRecord]:
        """Return every record, study by study, the chosen one and then the best ones first."""
        return self._records()

    def record_score(self, found: Series, score: Score, slices: int) -> None:
        """Record the score of a series whose headers were read; what a person or a worker decided stays."""
        scored = {"points": score.points, "reasons": list(score.reasons), "slices": slices}
        with self._database.write() as connection:
            this = update(selections).where(selections.c.series_uid == found.series_uid)
            if connection.execute(this.values(**scored)).rowcount == 0:
                _insert(connection, found.series_uid, found.study_uid, **scored)

    def force(self, series_uid: str) -> bool:
        """Choose a series whatever its score, until it is rejected; False if the series is not stored."""
        with self._database.write() as connection:
            of_series = series.c.series_uid == series_uid
            found = connection.execute(select(series).where(of_series)).first()
            if found is None:
                return False
            of_study = update(selections).where(selections.c.study_uid == found.study_uid)
            connection.execute(of_study.values(is_forced=False))
            forced = {"is_forced": True, "cut_lungs_ml": None}
            this = update(selections).where(selections.c.series_uid == series_uid)
            if connection.execute(this.values(**forced)).rowcount == 0:
                _insert(connection, series_uid, found.study_uid, **forced)
            connection.execute(update(series).where(of_series).values(dirty=True))
            return True

    def decide(self, chosen: Series | None, set_aside: Iterable[Series]) -> None:
        """Record a choice; the others are done without a job, unless something has arrived since."""
        with self._database.write() as connection:
            if chosen is not None:
                this = selections.c.series_uid == chosen.series_uid
                connection.execute(update(selections).where(this).values(is_chosen=True))
            for one in set_aside:
                unchanged = and_(series.c.series_uid == one.series_uid, series.c.last_arrival <= one.last_arrival)
                connection.execute(update(series).where(unchanged).values(dirty=False))
                this = selections.c.series_uid == one.series_uid
                connection.execute(update(selections).where(this).values(is_chosen=False))

    def may_be_put_back(self, series_uid: str) -> bool:
        """Whether another series of the study could be analysed instead of one whose lungs are cut.

        That is one that suits, was not rejected, and of which no worker has found its lungs cut, too.
        """
        with self._database.read() as connection:
            own = connection.execute(select(selections).where(selections.c.series_uid == series_uid)).first()
            if own is None or own.is_forced:
                return False
            others = select(series).join(selections, selections.c.series_uid == series.c.series_uid)
            suitable = and_(selections.c.points.is_not(None), selections.c.cut_lungs_ml.is_(None))
            of_study = and_(selections.c.study_uid == own.study_uid, selections.c.series_uid != series_uid)
            rows = connection.execute(others.where(of_study, suitable)).all()
            found = records(connection, series, rows, lambda row: _study_series(connection, row))
            return any(not one.was_rejected for one in found)

    def _records(self, study_uid: str | None = None) -> list[SelectionRecord]:
        best_first = (selections.c.study_uid, selections.c.is_chosen.desc(), selections.c.points.desc())
        found = select(selections).order_by(*best_first, selections.c.series_uid)
        with self._database.read() as connection:
            chosen = found if study_uid is None else found.where(selections.c.study_uid == study_uid)
            return records(connection, selections, connection.execute(chosen), _record)


def reopen_others(connection: Connection, series_uid: str, cut_lungs_ml: float | None = None) -> None:
    """Have the study of a series decided again, which a worker has rejected or, for its cut lungs, put back."""
    this = selections.c.series_uid == series_uid
    study_uid = connection.execute(select(selections.c.study_uid).where(this)).scalar()
    ends = {"is_forced": False, "is_chosen": False, "cut_lungs_ml": cut_lungs_ml}
    connection.execute(update(selections).where(this).values(**ends))
    others = select(selections.c.series_uid).where(selections.c.study_uid == study_uid, ~this)
    connection.execute(update(series).where(series.c.series_uid.in_(others)).values(dirty=True))


def _study_series(connection: Connection, row: Row[tuple[object, ...]]) -> StudySeries:
    found = received_series(connection, row)
    of_series = select(jobs).where(jobs.c.series_uid == row.series_uid, jobs.c.state != JobState.SUPERSEDED)
    job = connection.execute(of_series.order_by(jobs.c.updated_at.desc())).first()
    is_current = job is not None and job.images_sha256 == found.images_sha256
    fetched = select(acquisitions).where(acquisitions.c.series_uid == row.series_uid, acquisitions.c.role == FETCHED)
    return StudySeries(
        series=found,
        is_fetched=connection.execute(fetched).first() is not None,
        # A file that arrived since may repair the series.
        was_rejected=bool(
            job is not None and is_current and job.state == JobState.REJECTED and job.updated_at >= row.last_arrival
        ),
        has_result=bool(job is not None and is_current and job.state in _WITH_RESULT),
    )


def _insert(connection: Connection, series_uid: str, study_uid: str, **values: object) -> None:
    unknown: dict[str, object] = {"points": None, "reasons": [], "slices": 0, "is_chosen": False, "is_forced": False}
    connection.execute(insert(selections).values(series_uid=series_uid, study_uid=study_uid, **unknown | values))


def _record(row: Row[tuple[object, ...]]) -> SelectionRecord:
    return SelectionRecord(
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        score=Score(points=row.points, reasons=tuple(row.reasons)),
        slices=row.slices,
        is_chosen=row.is_chosen,
        is_forced=row.is_forced,
        cut_lungs_ml=row.cut_lungs_ml,
    )
