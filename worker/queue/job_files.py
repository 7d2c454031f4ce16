"""The files that a job reads, once they are known to be what the node has received for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import InstancesDamaged, NewerInstances
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.journal.series import SeriesJournal
from dicom_node.series import images_sha256
from dicom_node.storage.content import changed_instances
from dicom_node.storage.spool import Spool
from worker.priors.files import CollectedFiles, collected_files


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """The files of a job in the spool: its series and its priors.

    images_sha256: `series.images_sha256` of the series. replaces: key of the job whose report this one's replaces.
    needs_whole_lungs: whether another series of the study can be tried if this one ends within the lungs.
    """

    job_key: str
    images_sha256: str
    series: list[Path]
    priors: CollectedFiles
    needs_whole_lungs: bool = False
    replaces: str | None = None


def files_of(record: JobRecord, journal: Journal, spool: Spool) -> JobFiles:
    """Return the files of a job. Raises InstancesDamaged and NewerInstances."""
    _require_as_received(record, journal.series, spool)
    key, series_uid = record.job.job_key, record.job.series_uid
    return JobFiles(
        job_key=key,
        images_sha256=record.images_sha256,
        series=spool.instance_paths(series_uid, record.sop_instance_uids),
        priors=collected_files(journal.priors.of_job(key), spool, journal.series),
        needs_whole_lungs=journal.selections.may_be_put_back(series_uid),
        replaces=record.replaces,
    )


def _require_as_received(record: JobRecord, series: SeriesJournal, spool: Spool) -> None:
    """Compare the file of each instance of a job with its hash in the journal: 0.1 s for 150 MB.

    Raises InstancesDamaged, and NewerInstances if they were received anew since the job was queued.
    """
    require_current(record, series)
    series_uid, data_sets = record.job.series_uid, _data_sets(record, series)
    changed = changed_instances(spool, series_uid, data_sets)
    if changed:
        require_current(record, series)  # received anew while they were read
        raise InstancesDamaged(
            f"series {series_uid}: {len(changed)} of {len(data_sets)} files are gone or are not what was received, the "
            f"first that of instance {changed[0]}; send them again"
        )


def require_current(record: JobRecord, series: SeriesJournal) -> None:
    """Raise NewerInstances if instances of a job were received with other content since it was queued."""
    series_uid = record.job.series_uid
    is_current = images_sha256(series_uid, _data_sets(record, series).items()) == record.images_sha256
    if record.images_sha256 and not is_current:
        raise NewerInstances(f"series {series_uid} was received with other content since the job was queued")


def _data_sets(record: JobRecord, series: SeriesJournal) -> dict[str, str]:
    stored = series.data_sets(record.job.series_uid)
    return {uid: stored[uid] for uid in record.sop_instance_uids if uid in stored}
