"""A job's outcome while the journal does not respond for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dicom_node.errors import JournalUnavailable
from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.journal.leases import LeaseJournal
from dicom_node.series import Document, Instance
from dicom_node.settings import QueueSettings
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool
from worker.queue.job_files import JobFiles
from worker.queue.lease import JobLimits
from worker.queue.progress import JobProgress
from worker.queue.runner import JobRunner

SR = Document(sop_class_uid="1.2", sop_instance_uid="2.25.1", file_name="sr.dcm")


class AwayForAWhile(LeaseJournal):
    """A journal that does not respond when the result is recorded the first time."""

    failures = 1

    def mark_analysed(self, job_key: str, owner: str, results: Sequence[Document], now: float) -> bool:
        if self.failures:
            self.failures -= 1
            raise JournalUnavailable("the journal's database does not respond: database is locked")
        return super().mark_analysed(job_key, owner, results, now)


def test_a_finished_result_waits_for_the_journal_and_counts_no_attempt(tmp_path: Path) -> None:
    analysed: list[str] = []

    def analyse(files: JobFiles, folder: Path, progress: JobProgress) -> list[Document]:
        progress.enter("segment")
        analysed.append(files.job_key)
        (folder / "sr.dcm").write_bytes(b"result")
        return [SR]

    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        journal.leases = AwayForAWhile(journal.database)
        spool = Spool(tmp_path)
        runner = JobRunner(
            journal=journal,
            spool=spool,
            queue=QueueSettings(),
            limits=JobLimits(step_s=60.0, job_s=60.0),
            config_hash="config",
            analyse=analyse,
        )
        received = Instance(
            sop_instance_uid="1.2.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            series_uid="1.2",
            study_uid="1",
            calling_ae_title="SENDER",
            data_set_sha256=data_set_sha256(spool.write_instance("1.2", "1.2.1", b"ct")),
        )
        journal.series.record_instances([received], 0.0)
        (series,) = journal.series.quiet(1.0)
        job = journal.jobs.create(series, "config", time.time())
        assert job is not None

        runner.run(job.job_key)

        record = journal.jobs.get(job.job_key)
        assert (record.state, record.attempts) == (JobState.ANALYSED, 0)
        assert analysed == [job.job_key]
        assert spool.document_path(job.job_key, "sr.dcm").read_bytes() == b"result"
