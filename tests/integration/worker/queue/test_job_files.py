"""A job analyses what the node has received for it: no file that changed on disk, and the newer of two versions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.selection.rules import SelectionSettings
from dicom_node.selection.selector import StudySelector
from dicom_node.series import Document
from dicom_node.settings import QueueSettings
from dicom_node.storage.receiver import InstanceReceiver, received_file
from dicom_node.storage.spool import Spool
from models.segmenter import Progress
from tests.fixtures.small_site import BoxSegmenter, chest
from worker.cli.journal_jobs import Row, list_jobs
from worker.pipeline import AnalysisRequest, analyse
from worker.queue.job_files import JobFiles
from worker.queue.lease import JobLimits
from worker.queue.runner import JobRunner
from worker.settings import Settings

SERIES, COPY = "1.2.30", "1.2.31"


@dataclass(kw_only=True)
class Site:
    """A node without network and a worker without Redis on one data directory."""

    folder: Path
    journal: Journal
    during: Callable[[], object] = lambda: None
    """Called while a job is analysed."""

    def __post_init__(self) -> None:
        self.spool = Spool(self.folder)
        self.receiver = InstanceReceiver(self.journal.series, self.spool)
        self.runner = JobRunner(
            journal=self.journal,
            spool=self.spool,
            queue=QueueSettings(),
            limits=JobLimits(step_s=600.0, job_s=600.0),
            config_hash="c",
            analyse=self._analyse,
        )
        self.selector = StudySelector(
            journal=self.journal, spool=self.spool, settings=SelectionSettings(), quiet_period_s=0.01
        )

    def receive(self, images: list[Dataset]) -> None:
        for image in images:
            file = BytesIO()
            image.save_as(file, enforce_file_format=True)
            assert self.receiver.keep(received_file(file.getvalue(), "SENDER", is_fetched=False))
        self.receiver.wait_until_recorded()

    def assemble(self) -> list[str]:
        now = time.time() + 1
        return [job.job_key for job in assemble(self.journal, "c", self.selector.choices(now), now)]

    def run(self) -> str:
        """Run the one job that what was received makes, and return its key."""
        (key,) = self.assemble()
        self.runner.run(key)
        return key

    def state(self, key: str) -> JobState:
        return self.journal.jobs.get(key).state

    def reason(self, key: str) -> str:
        return self.journal.jobs.get(key).reason or ""

    def report(self, key: str) -> Dataset:
        return pydicom.dcmread(self.spool.document_path(key, "sr.dcm"))

    def overwrite_pixels(self, number: int) -> Path:
        path = self.spool.instance_path(SERIES, f"{SERIES}.{number}")
        content = path.read_bytes()
        path.write_bytes(content[:-200] + b"\x44" * 200)
        return path

    def rows(self) -> list[Row]:
        return list_jobs(Settings.model_validate({"node": {"data_dir": self.folder}}))

    def _analyse(self, files: JobFiles, folder: Path, progress: Progress) -> list[Document]:
        self.during()
        request = AnalysisRequest(
            job_key=files.job_key,
            images_sha256=files.images_sha256,
            config_hash="c",
            outputs=("sr",),
            replaces=files.replaces,
        )
        return analyse(files.series, request, BoxSegmenter(), folder, progress).documents


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        site = Site(folder=tmp_path, journal=journal)
        yield site
        site.receiver.close()


def of_patient(patient_id: str, images: list[Dataset]) -> list[Dataset]:
    for image in images:
        image.PatientID, image.PatientName = patient_id, f"{patient_id}^NAME"
    return images


def test_pixels_overwritten_on_the_disk_fail_the_job_and_nothing_is_delivered(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.receive(chest(SERIES))
    (key,) = site.assemble()
    site.overwrite_pixels(3)
    site.runner.run(key)

    assert site.state(key) is JobState.FAILED
    fact = f"series {SERIES}: 1 of 6 files are gone or are not what was received, the first that of instance {SERIES}.3"
    assert site.reason(key) == f"InstancesDamaged: {fact}; send them again"
    assert not (site.spool.outbox / key).exists()
    assert "SECRET" not in caplog.text


def test_a_deleted_file_fails_the_job_too(site: Site) -> None:
    site.receive(chest(SERIES))
    (key,) = site.assemble()
    site.spool.instance_path(SERIES, f"{SERIES}.2").unlink()
    site.runner.run(key)

    assert site.state(key) is JobState.FAILED
    assert f"instance {SERIES}.2" in site.reason(key)
    site.receive(chest(SERIES)[1:2])
    assert site.run() == key
    assert site.state(key) is JobState.ANALYSED


def test_a_failed_job_is_analysed_when_the_damaged_instance_comes_again(site: Site) -> None:
    site.receive(chest(SERIES))
    (key,) = site.assemble()
    site.overwrite_pixels(3)
    site.runner.run(key)
    assert site.assemble() == [], "not before"

    site.receive(chest(SERIES)[2:3])
    assert site.run() == key
    assert site.state(key) is JobState.ANALYSED


def test_a_corrected_study_sent_again_gives_the_right_patients_result_in_place_of_the_first(site: Site) -> None:
    site.receive(of_patient("WRONG", chest(SERIES)))
    wrong = site.run()
    site.receive(of_patient("RIGHT", chest(SERIES)))
    right = site.run()

    assert (site.state(wrong), site.state(right)) == (JobState.SUPERSEDED, JobState.ANALYSED)
    assert site.reason(wrong) == f"replaced by job {right}"
    first, second = site.report(wrong), site.report(right)
    assert (first.PatientID, second.PatientID) == ("WRONG", "RIGHT")
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (document,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert (document.ReferencedSOPClassUID, document.ReferencedSOPInstanceUID) == (
        first.SOPClassUID, first.SOPInstanceUID,
    )  # fmt: skip
    assert "PredecessorDocumentsSequence" not in first


def test_a_changed_rescale_is_a_new_version_and_the_same_content_is_not(site: Site) -> None:
    site.receive(chest(SERIES))
    first = site.run()
    site.receive(chest(SERIES))
    assert site.assemble() == []

    changed = chest(SERIES)
    for image in changed:
        image.RescaleIntercept = -1000
    site.receive(changed)
    assert site.run() != first


def test_a_study_of_which_half_is_corrected_is_rejected_until_the_rest_comes(site: Site) -> None:
    site.receive(of_patient("WRONG", chest(SERIES)))
    site.run()
    corrected = of_patient("RIGHT", chest(SERIES))
    site.receive(corrected[:3])
    mixed = site.run()
    assert site.state(mixed) is JobState.REJECTED
    assert site.reason(mixed) == (
        "SeveralPatients: images of several patients are mixed: 3 of 6 instances have another PatientID than the first"
    )

    site.receive(corrected[3:])
    assert site.state(site.run()) is JobState.ANALYSED


def test_a_version_that_arrives_during_the_analysis_discards_its_result(site: Site) -> None:
    site.receive(of_patient("WRONG", chest(SERIES)))
    corrected = of_patient("RIGHT", chest(SERIES))
    site.during = lambda: site.receive(corrected) if corrected else None
    first = site.run()
    assert site.state(first) is JobState.QUEUED
    assert site.reason(first).startswith(f"NewerInstances: series {SERIES} was received with other content")
    assert not (site.spool.outbox / first).exists()

    corrected = []
    second = site.run()
    assert (site.state(first), site.state(second)) == (JobState.SUPERSEDED, JobState.ANALYSED)
    assert site.report(second).PatientID == "RIGHT"


def test_the_same_instances_in_two_series_are_two_jobs_with_results_of_their_own(site: Site) -> None:
    site.receive(chest(SERIES))
    first = site.run()
    copy = chest(SERIES)
    for image in copy:
        image.SeriesInstanceUID, image.StudyInstanceUID = COPY, f"{COPY}.0"
    site.receive(copy)
    second = site.run()

    assert (site.state(first), site.state(second)) == (JobState.ANALYSED, JobState.ANALYSED)
    assert site.report(first).SOPInstanceUID != site.report(second).SOPInstanceUID


def test_a_copy_of_a_series_in_the_same_study_is_listed_with_its_reason(site: Site) -> None:
    site.receive(chest(SERIES))
    site.run()
    copy = chest(SERIES)
    for image in copy:
        image.SeriesInstanceUID = COPY
    site.receive(copy)
    assert site.assemble() == []

    states = {row["series_uid"]: (row["state"], row["reason"]) for row in site.rows()}
    assert states == {
        SERIES: ("ANALYSED", None),
        COPY: ("SET_ASIDE", "another series of the study was chosen"),
    }
