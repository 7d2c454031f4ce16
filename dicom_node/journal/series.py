"""Journal records of received series and instances, by UID."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, insert, or_, select, update

from dicom_node.identifiers import RESULTS
from dicom_node.journal.damaged_rows import all_records, records
from dicom_node.journal.database import Database
from dicom_node.journal.schema import FETCHED, SENT, acquisitions, instances, results, series
from dicom_node.series import Instance, Series, images_sha256

_UIDS_PER_STATEMENT = 500  # SQLite limits the parameters of a statement


class SeriesJournal:
    """Received series and their instances; a dirty series has instances that no job includes yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_instances(
        self, arrived: Sequence[Instance], now: float, *, is_fetched: bool = False, repaired: Collection[str] = ()
    ) -> int:
        """Record instances that are on disk, and return how many are new, have other content or were repaired.

        is_fetched: we requested them. An unrequested instance makes its series SENT: it is analysed and delivered.
        repaired: UIDs of those whose file was gone or damaged before, so that a job may have failed.
        """
        last = {(instance.series_uid, instance.sop_instance_uid): instance for instance in arrived}
        with self._database.write() as connection:
            for series_uid, study_uid in {(instance.series_uid, instance.study_uid) for instance in last.values()}:
                _touch_series(connection, series_uid, study_uid, now)
                if not is_fetched:
                    fetched = and_(acquisitions.c.series_uid == series_uid, acquisitions.c.role == FETCHED)
                    connection.execute(update(acquisitions).where(fetched).values(role=SENT, is_complete=True))
            known = _hashes(connection, [uid for _, uid in last])
            changed = {
                key: instance
                for key, instance in last.items()
                if known.get(key) != instance.data_set_sha256 or instance.sop_instance_uid in repaired
            }
            if changed:
                _replace(connection, list(changed.values()), now)
                _open(connection, [instance for key, instance in changed.items() if known.get(key) != ""])
            return len(changed)

    def quiet(self, before: float) -> list[Series]:
        """Return the dirty series whose last instance arrived before `before` (UTC, seconds since 1970).

        A fetched series is complete when its retrieval succeeded, whatever the time; if it failed, never.
        """
        of_series = acquisitions.c.series_uid == series.c.series_uid
        is_partial = exists().where(of_series, ~acquisitions.c.is_complete)
        is_fetched = exists().where(of_series, acquisitions.c.role == FETCHED)
        is_quiet = or_(series.c.last_arrival < before, is_fetched)
        with self._database.read() as connection:
            ready = select(series).where(series.c.dirty, ~is_partial, is_quiet)
            quiet = ready.order_by(series.c.last_arrival)
            rows = connection.execute(quiet).all()
            return records(connection, series, rows, lambda row: received_series(connection, row))

    def stored_uids(self, series_uid: str) -> tuple[str, ...]:
        """Return the sorted SOP Instance UIDs of the stored instances of a series, without those of damaged rows."""
        with self._database.read() as connection:
            return stored_uids(connection, series_uid)

    def recorded_uids(self, series_uid: str) -> set[str]:
        """Return the SOP Instance UIDs of a series whose rows are whole: not damaged, and with a hash."""
        with self._database.read() as connection:
            rows = _rows_of(connection, series_uid)
            return {uid for uid, sha256 in records(connection, instances, rows, _data_set) if sha256}

    def data_sets(self, series_uid: str) -> dict[str, str]:
        """Return the hash of the data set of each stored instance of a series, by SOP Instance UID.

        It is empty for an instance of a journal that had none, until the node has computed it. Raises DamagedRecord.
        """
        with self._database.read() as connection:
            return dict(data_sets_of(connection, series_uid))

    def data_set_sha256(self, series_uid: str, sop_instance_uid: str) -> str:
        """Return the hash of the data set of an instance; empty if it is not stored, or has none yet."""
        same = and_(instances.c.series_uid == series_uid, instances.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as connection:
            return connection.execute(select(instances.c.data_set_sha256).where(same)).scalar() or ""

    def stored_among(self, sop_instance_uids: Collection[str]) -> set[str]:
        """Return which of these instances are stored."""
        with self._database.read() as connection:
            return stored_among(connection, sop_instance_uids)

    def instances(self, sop_instance_uids: Collection[str]) -> list[Instance]:
        """Return the stored ones of these instances, once per series that they were received in."""
        stored = list[Instance]()
        with self._database.read() as connection:
            for some in _parts(sorted(sop_instance_uids)):
                of_some = select(instances, series.c.study_uid).join_from(instances, series)
                found = connection.execute(of_some.where(instances.c.sop_instance_uid.in_(some)))
                stored += records(connection, instances, found, _instance)
        return stored

    def forget(self, series_uid: str) -> bool:
        """Delete the records of a series whose files are to be deleted; its jobs stay.

        Return False, with nothing deleted, if something has arrived since, so that it is dirty. A series of which
        only a part was fetched stays dirty.
        """
        is_partial = exists().where(acquisitions.c.series_uid == series_uid, ~acquisitions.c.is_complete)
        with self._database.write() as connection:
            of_series = series.c.series_uid == series_uid
            if connection.execute(select(series.c.dirty).where(of_series, series.c.dirty, ~is_partial)).first():
                return False
            connection.execute(delete(instances).where(instances.c.series_uid == series_uid))
            connection.execute(delete(series).where(of_series))
            return True

    def reopen(self, series_uid: str) -> bool:
        """Mark a series dirty, so that it is assembled again; False if its files were deleted."""
        with self._database.write() as connection:
            opened = update(series).where(series.c.series_uid == series_uid).values(dirty=True)
            return connection.execute(opened).rowcount == 1

    def mark_done(self, series_uid: str) -> None:
        """Mark a series as done without a job."""
        with self._database.write() as connection:
            connection.execute(update(series).where(series.c.series_uid == series_uid).values(dirty=False))

    def drop(self, series_uid: str) -> None:
        """Delete the records of the instances and results of a series whose fetch is discarded."""
        with self._database.write() as connection:
            connection.execute(delete(results).where(results.c.series_uid == series_uid))
            connection.execute(delete(instances).where(instances.c.series_uid == series_uid))
            connection.execute(delete(series).where(series.c.series_uid == series_uid))


def received_series(connection: Connection, row: Row[tuple[object, ...]]) -> Series:
    """Return the series of a row of its table. Raises DamagedRecord if the row of one of its instances is damaged."""
    stored = data_sets_of(connection, row.series_uid)
    return Series(
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        sop_instance_uids=tuple(uid for uid, _ in stored),
        images_sha256=images_sha256(row.series_uid, stored),
        last_arrival=row.last_arrival,
    )


def data_sets_of(connection: Connection, series_uid: str) -> list[tuple[str, str]]:
    """Return the SOP Instance UIDs of a series, sorted, each with the hash of its data set.

    Raises DamagedRecord if one row is damaged: a part of a series is not analysed.
    """
    return sorted(all_records(connection, instances, _rows_of(connection, series_uid), _data_set))


def stored_uids(connection: Connection, series_uid: str) -> tuple[str, ...]:
    """Return the sorted SOP Instance UIDs of a series, without those of damaged rows."""
    stored = records(connection, instances, _rows_of(connection, series_uid), _data_set)
    return tuple(sorted(uid for uid, _ in stored))


def _rows_of(connection: Connection, series_uid: str) -> Sequence[Row[Any]]:
    columns = select(*instances.c["series_uid", "sop_instance_uid", "data_set_sha256"])
    return connection.execute(columns.where(instances.c.series_uid == series_uid)).all()


def _data_set(row: Row[Any]) -> tuple[str, str]:
    return row.sop_instance_uid, row.data_set_sha256


def stored_among(connection: Connection, sop_instance_uids: Collection[str]) -> set[str]:
    """Return which of these instances are stored."""
    stored = set[str]()
    for some in _parts(sorted(sop_instance_uids)):
        found = select(instances.c.sop_instance_uid).where(instances.c.sop_instance_uid.in_(some))
        stored |= set(connection.execute(found).scalars())
    return stored


def _hashes(connection: Connection, sop_instance_uids: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of the stored ones of these instances, by series and instance."""
    known: dict[tuple[str, str], str] = {}
    for some in _parts(sop_instance_uids):
        columns = select(instances.c.series_uid, instances.c.sop_instance_uid, instances.c.data_set_sha256)
        for row in connection.execute(columns.where(instances.c.sop_instance_uid.in_(some))):
            known[row.series_uid, row.sop_instance_uid] = row.data_set_sha256
    return known


def _replace(connection: Connection, changed: Sequence[Instance], now: float) -> None:
    """Insert the rows of new instances and of those whose content has changed."""
    keys = [{"of_series": instance.series_uid, "uid": instance.sop_instance_uid} for instance in changed]
    same = and_(instances.c.series_uid == bindparam("of_series"), instances.c.sop_instance_uid == bindparam("uid"))
    connection.execute(delete(instances).where(same), keys)
    connection.execute(insert(instances), [_row(instance, now) for instance in changed])


def _open(connection: Connection, changed: Sequence[Instance]) -> None:
    """Mark the series of these images dirty; SEG and SR are compared with, not analysed."""
    images = {instance.series_uid for instance in changed if instance.sop_class_uid not in RESULTS}
    for some in _parts(sorted(images)):
        connection.execute(update(series).where(series.c.series_uid.in_(some)).values(dirty=True))


def _parts(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (uids[start : start + _UIDS_PER_STATEMENT] for start in range(0, len(uids), _UIDS_PER_STATEMENT))


def _row(instance: Instance, now: float) -> dict[str, object]:
    row: dict[str, object] = asdict(instance) | {"arrived_at": now}
    del row["study_uid"]  # stored in the table of series
    return row


def _touch_series(connection: Connection, series_uid: str, study_uid: str, now: float) -> None:
    touched = update(series).where(series.c.series_uid == series_uid).values(last_arrival=now)
    if connection.execute(touched).rowcount == 0:
        row = {"series_uid": series_uid, "study_uid": study_uid, "last_arrival": now}
        connection.execute(insert(series).values(**row, dirty=False))


def _instance(row: Row[tuple[object, ...]]) -> Instance:
    return Instance(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        calling_ae_title=row.calling_ae_title,
        data_set_sha256=row.data_set_sha256,
    )
