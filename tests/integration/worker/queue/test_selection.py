"""A study of eight series from the spool to SEG and SR: selection, journal and pipeline together, without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from pydicom import dcmread

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
from tests.fixtures.models.threshold_segmenter import ThresholdSegmenter
from tests.fixtures.study_of_eight import Described, study_of_eight
from worker.cli.journal_jobs import Row, list_jobs
from worker.phantom.chest import DEMO_LESIONS
from worker.pipeline import AnalysisRequest, analyse
from worker.queue.job_files import JobFiles
from worker.queue.lease import JobLimits
from worker.queue.runner import JobRunner
from worker.settings import Settings

described = cache(study_of_eight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node's data directory, and a worker on it whose segmenter knows the lesions."""

    settings: Settings
    journal: Journal
    spool: Spool

    def receive(self, tmp_path: Path, *names: str) -> dict[str, str]:
        """Store these series as received, and return their UIDs by name."""
        receiver = InstanceReceiver(self.journal.series, self.spool)
        uids = {name: f"1.2.8.{number}" for number, name in enumerate(names, start=1)}
        for name in names:
            series: Described = described()[name]
            for path in series.write(tmp_path / name, uids[name]):
                receiver.keep(received_file(path.read_bytes(), "PACS", is_fetched=False))
        receiver.wait_until_recorded()
        receiver.close()
        return uids

    def run_until_idle(self) -> None:
        """Select, queue and analyse until nothing is left."""
        selector = StudySelector(
            journal=self.journal, spool=self.spool, settings=SelectionSettings(), quiet_period_s=0.01
        )
        runner = JobRunner(
            journal=self.journal,
            spool=self.spool,
            queue=QueueSettings(),
            limits=JobLimits(step_s=600.0, job_s=600.0),
            config_hash="config",
            analyse=_analyse,
        )
        time.sleep(0.02)
        for _ in range(10):
            jobs = assemble(self.journal, "config", selector.choices(time.time()), time.time())
            for job in jobs:
                runner.run(job.job_key)
            if not jobs:
                return
        raise AssertionError("the selection does not come to an end")

    def rows(self) -> dict[str, Row]:
        """What `lungspread jobs` lists, by series; of several jobs of a series the last one that is not superseded."""
        rows = sorted(list_jobs(self.settings), key=lambda row: row["state"] != "SUPERSEDED")
        return {str(row["series_uid"]): row for row in rows}


def _analyse(files: JobFiles, folder: Path, progress: Progress) -> list[Document]:
    request = AnalysisRequest(
        job_key=files.job_key,
        images_sha256=files.images_sha256,
        config_hash="config",
        outputs=("seg", "sr"),
        priors=files.priors,
        needs_whole_lungs=files.needs_whole_lungs,
    )
    return analyse(files.series, request, ThresholdSegmenter(lesions=DEMO_LESIONS), folder, progress).documents


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    settings = Settings.model_validate({"node": {"data_dir": tmp_path / "node", "min_free_mb": 0}})
    with Journal(settings.journal.url_in(settings.node.data_dir)) as journal:
        yield Site(settings=settings, journal=journal, spool=Spool(settings.node.data_dir))


def test_of_eight_series_one_has_a_seg_and_an_sr_and_seven_have_reasons(site: Site, tmp_path: Path) -> None:
    uids = site.receive(tmp_path, *described())

    site.run_until_idle()

    rows = site.rows()
    assert {name: rows[uid]["state"] for name, uid in uids.items()} == {
        "scout": "SET_ASIDE", "soft": "SET_ASIDE", "lung": "ANALYSED", "coronal": "SET_ASIDE",
        "mip": "SET_ASIDE", "attenuation": "SET_ASIDE", "abdomen": "SET_ASIDE", "head": "SET_ASIDE",
    }  # fmt: skip
    says = {
        "scout": "localizer", "soft": "5 mm from slice to slice", "coronal": "not axial", "mip": "projection",
        "attenuation": "attenuation correction", "abdomen": "another region", "head": "another region",
    }  # fmt: skip
    for name, reason in says.items():
        assert reason in str(rows[uids[name]]["selection"])
    (job,) = site.journal.jobs.find([JobState.ANALYSED])
    documents = [dcmread(path) for path in sorted(site.spool.outbox.glob("*/*.dcm"))]
    assert [document.Modality for document in documents] == ["SEG", "SR"]
    assert {str(item.SeriesInstanceUID) for item in documents[0].ReferencedSeriesSequence} == {uids["lung"]}
    assert job.job.series_uid == uids["lung"]


def test_an_abdomen_is_put_back_for_its_cut_lungs_while_another_series_may_show_more(
    site: Site, tmp_path: Path
) -> None:
    uids = site.receive(tmp_path, "abdomen", "attenuation", "head")

    site.run_until_idle()

    rows = site.rows()
    assert rows[uids["attenuation"]]["state"] == "ANALYSED"
    assert rows[uids["head"]]["state"] in ("SET_ASIDE", "REJECTED")
    assert len(list(site.spool.outbox.glob("*/sr.dcm"))) == 1


def test_a_study_of_a_head_and_an_abdomen_is_analysed_as_far_as_it_shows_lungs(site: Site, tmp_path: Path) -> None:
    uids = site.receive(tmp_path, "abdomen", "head")

    site.run_until_idle()

    rows = site.rows()
    assert rows[uids["head"]]["state"] == "REJECTED"
    assert "no lungs are found" in str(rows[uids["head"]]["reason"])
    assert rows[uids["abdomen"]]["state"] == "ANALYSED"


def test_a_study_of_a_head_alone_has_no_report_on_tumours_and_says_why(site: Site, tmp_path: Path) -> None:
    uids = site.receive(tmp_path, "head")

    site.run_until_idle()

    (row,) = site.rows().values()
    assert (row["series_uid"], row["state"]) == (uids["head"], "REJECTED")
    assert str(row["reason"]).startswith("NoLungs: no lungs are found")
    assert list(site.spool.outbox.glob("*/*")) == []
