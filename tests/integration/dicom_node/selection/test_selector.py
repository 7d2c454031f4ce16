"""The selection on files in a spool and a journal, from arrival to the job; what a worker finds is recorded by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dicom_node.identifiers import CT_IMAGE
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.selection.rules import SelectionSettings
from dicom_node.selection.selector import StudySelector
from dicom_node.series import Document, Instance
from dicom_node.settings import Peer
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool
from tests.conftest import make_ct_instance
from tests.fixtures.dicom_node.removable import DAY_S, removable

THIN, THICK, SCOUT = "1.3.1", "1.3.2", "1.3.3"
SPACING_MM = {THIN: 1.25, THICK: 5.0, SCOUT: 5.0}


@dataclass(kw_only=True)
class Site:
    """A node's journal and spool, and the selector on them."""

    spool: Spool
    journal: Journal
    selector: StudySelector

    def arrive(self, series_uid: str, numbers: range, now: float, **elements: object) -> None:
        """Store slices of 4 x 4 pixels of 100 mm."""
        received = []
        for number in numbers:
            image = make_ct_instance(number, series_uid, size=4)
            image.ImagePositionPatient = [0, 0, number * SPACING_MM[series_uid]]
            image.PixelSpacing = [100, 100]
            if series_uid == SCOUT:
                image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            for keyword, value in elements.items():
                setattr(image, keyword, value)
            path = self.spool.instance_path(series_uid, str(image.SOPInstanceUID))
            path.parent.mkdir(exist_ok=True)
            image.save_as(path, enforce_file_format=True)
            instance = Instance(
                sop_instance_uid=str(image.SOPInstanceUID),
                sop_class_uid=CT_IMAGE,
                series_uid=series_uid,
                study_uid="1.2",
                calling_ae_title="SENDER",
                data_set_sha256=data_set_sha256(path),
            )
            received.append(instance)
        self.journal.series.record_instances(received, now)

    def assemble(self, now: float) -> list[Job]:
        return assemble(self.journal, "config", self.selector.choices(now), now)

    def claim(self, job: Job, now: float) -> None:
        assert self.journal.leases.claim(job.job_key, "worker", now + 60, now)

    def finish(self, job: Job, now: float) -> None:
        self.claim(job, now)
        document = Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid="1.9", file_name="seg.dcm")
        assert self.journal.leases.mark_analysed(job.job_key, "worker", [document], now)

    def reject(self, job: Job, now: float) -> None:
        self.claim(job, now)
        assert self.journal.leases.mark_rejected(job.job_key, "worker", "MissingSlices: a gap", now)

    def state(self, job: Job) -> JobState:
        return self.journal.jobs.get(job.job_key).state


def selector(spool: Spool, journal: Journal, **settings: object) -> StudySelector:
    chosen = SelectionSettings.model_validate(settings)
    return StudySelector(journal=journal, spool=spool, settings=chosen, quiet_period_s=20.0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    spool = Spool(tmp_path / "node")
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield Site(spool=spool, journal=journal, selector=selector(spool, journal))


def arrive_all(site: Site, now: float = 100.0) -> None:
    site.arrive(SCOUT, range(1, 3), now)
    site.arrive(THICK, range(1, 11), now)
    site.arrive(THIN, range(1, 41), now)


def test_of_a_study_one_series_gets_a_job_and_the_others_have_reasons(site: Site) -> None:
    arrive_all(site)

    (job,) = site.assemble(200.0)

    assert job.series_uid == THIN
    assert site.assemble(300.0) == []
    assert site.journal.series.quiet(1e9) == []  # nothing is left undecided
    chosen, thick, scout = site.journal.selections.all()
    assert (chosen.series_uid, chosen.is_chosen, chosen.slices) == (THIN, True, 40)
    assert (thick.series_uid, thick.is_chosen) == (THICK, False)
    assert "5 mm from slice to slice (+0)" in thick.score.reasons
    assert scout.score.points is None
    assert scout.score.reasons[0] == "a localizer: Image Type says LOCALIZER"


def test_a_study_is_complete_when_its_last_series_is(site: Site) -> None:
    site.arrive(THICK, range(1, 11), 100.0)
    site.arrive(THIN, range(1, 41), 115.0)

    assert site.assemble(130.0) == []  # the thick series is quiet, the study is not
    assert [job.series_uid for job in site.assemble(135.1)] == [THIN]


def test_the_quiet_period_of_a_study_may_be_longer_than_that_of_a_series(site: Site) -> None:
    site.selector = selector(site.spool, site.journal, quiet_period_s=60.0)
    site.arrive(THICK, range(1, 11), 100.0)

    assert site.assemble(160.0) == []
    assert len(site.assemble(160.1)) == 1


def test_a_study_waits_for_a_slice_that_is_missing_between_others_and_no_longer_than_the_limit(site: Site) -> None:
    site.arrive(THICK, range(1, 11), 100.0)
    site.arrive(THIN, range(1, 21), 100.0)
    site.arrive(THIN, range(22, 41), 100.0)

    assert site.assemble(130.0) == []
    assert site.assemble(240.0) == []  # 20 s of quiet and 120 s for what is missing
    (incomplete,) = site.assemble(240.1)
    assert len(site.journal.jobs.get(incomplete.job_key).sop_instance_uids) == 39
    site.arrive(THIN, range(21, 22), 300.0)
    (whole,) = site.assemble(320.1)
    assert len(site.journal.jobs.get(whole.job_key).sop_instance_uids) == 40


def test_a_better_series_that_arrives_late_replaces_the_result_and_a_worse_one_does_not(site: Site) -> None:
    site.arrive(THICK, range(1, 11), 100.0)
    (first,) = site.assemble(200.0)
    site.finish(first, 210.0)

    site.arrive(SCOUT, range(1, 3), 300.0)
    assert site.assemble(400.0) == []
    assert site.state(first) is JobState.ANALYSED

    site.arrive(THIN, range(1, 41), 500.0)
    (second,) = site.assemble(600.0)
    assert second.series_uid == THIN
    assert site.state(first) is JobState.SUPERSEDED


def test_late_slices_of_the_chosen_series_make_a_new_job(site: Site) -> None:
    arrive_all(site)
    (first,) = site.assemble(200.0)
    site.arrive(THIN, range(41, 43), 300.0)

    (second,) = site.assemble(400.0)

    assert len(site.journal.jobs.get(second.job_key).sop_instance_uids) == 42
    assert site.state(first) is JobState.SUPERSEDED


def test_after_a_rejection_the_next_best_series_is_analysed_and_then_nothing_is_left(site: Site) -> None:
    arrive_all(site)
    (first,) = site.assemble(200.0)
    site.reject(first, 210.0)

    (second,) = site.assemble(220.0)
    assert second.series_uid == THICK
    assert site.state(first) is JobState.REJECTED  # its reason stays
    site.reject(second, 230.0)
    assert site.assemble(240.0) == []
    assert site.journal.series.quiet(1e9) == []


def test_a_rejected_series_is_tried_again_when_its_files_are_sent_again(site: Site) -> None:
    arrive_all(site)
    (first,) = site.assemble(200.0)
    site.reject(first, 210.0)
    (second,) = site.assemble(220.0)
    site.arrive(THIN, range(5, 6), 300.0, RescaleSlope=2)

    (repaired,) = site.assemble(400.0)

    assert repaired.series_uid == THIN
    assert site.state(second) is JobState.SUPERSEDED


def test_cut_lungs_give_way_to_another_series_and_come_back_if_that_shows_no_more(site: Site) -> None:
    arrive_all(site)
    (first,) = site.assemble(200.0)
    assert site.journal.selections.may_be_put_back(THIN)
    site.claim(first, 210.0)
    assert site.journal.leases.put_back(first.job_key, "worker", "CutLungs: 900 ml", 900.0, 210.0)

    (second,) = site.assemble(220.0)
    assert second.series_uid == THICK
    assert not site.journal.selections.may_be_put_back(THICK)  # nobody is left to be tried
    site.reject(second, 230.0)
    (again,) = site.assemble(240.0)
    assert again.series_uid == THIN


def test_a_person_chooses_another_series_and_the_first_result_is_superseded(site: Site) -> None:
    arrive_all(site)
    (first,) = site.assemble(200.0)
    site.finish(first, 210.0)

    assert site.journal.selections.force(SCOUT)
    (forced,) = site.assemble(300.0)
    assert forced.series_uid == SCOUT
    assert site.state(first) is JobState.SUPERSEDED
    assert not site.journal.selections.may_be_put_back(SCOUT)
    site.reject(forced, 310.0)  # the choice ends with its rejection
    (back,) = site.assemble(320.0)
    assert back.series_uid == THIN
    assert not site.journal.selections.force("1.9.9")


def test_rules_of_the_configuration_come_before_the_score(site: Site) -> None:
    rule = {"element": "ConvolutionKernel", "matches": "^B", "then": "prefer"}
    site.selector = selector(site.spool, site.journal, rules=[rule])
    site.arrive(THICK, range(1, 11), 100.0, ConvolutionKernel="B30f")
    site.arrive(THIN, range(1, 41), 100.0, ConvolutionKernel="STANDARD")

    assert [job.series_uid for job in site.assemble(200.0)] == [THICK]


def test_with_all_every_series_gets_a_job(site: Site) -> None:
    site.selector = selector(site.spool, site.journal, series="all")
    arrive_all(site)

    assert {job.series_uid for job in site.assemble(200.0)} == {THIN, THICK, SCOUT}
    assert site.journal.selections.all() == []


def test_an_instance_that_arrives_while_the_choice_is_made_is_not_lost(site: Site) -> None:
    arrive_all(site)
    choices = site.selector.choices(200.0)
    site.arrive(THICK, range(11, 12), 200.5)

    assemble(site.journal, "config", choices, 201.0)

    assert THICK in {series.series_uid for series in site.journal.series.quiet(1e9)}


def test_what_was_set_aside_is_deleted_with_the_committed_series_of_its_study(site: Site) -> None:
    arrive_all(site)
    (job,) = site.assemble(200.0)
    site.finish(job, 210.0)
    assert removable(site.journal, 1e9) == set()

    pacs = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, send_results=True)
    site.journal.deliveries.ensure(job.job_key, [pacs], 215.0)
    for delivery in site.journal.deliveries.due(216.0):
        site.journal.deliveries.mark_stored(delivery, 220.0)

    assert site.state(job) is JobState.COMMITTED
    assert removable(site.journal, 220.0 + 30 * DAY_S) == set()
    assert removable(site.journal, 221.0 + 30 * DAY_S) == {THIN, THICK, SCOUT}
