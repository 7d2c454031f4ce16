from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_node.jobs import JobState, job_key
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.prior import NOT_QUERIED, Priors, PriorScan, PriorSearch, Result
from dicom_node.series import Document, Instance, Series, images_sha256
from dicom_node.settings import Peer

CT, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4"
PATIENT = "ab" * 32
OF_A, OF_B = "aa" * 32, "bb" * 32
"""Keys of the patient with an issuer."""
EARLIER = AcquisitionRecord(
    series_uid="1.2",
    study_uid="1",
    patient_key=PATIENT,
    person_key=PATIENT,
    acquired_on="20250110101500",
    role=FETCHED,
    is_complete=False,
    read_at=100.0,
)
LATER = replace(EARLIER, series_uid="1.3", study_uid="3", acquired_on="20260703101500", role=SENT, is_complete=True)
OURS = Result(
    sop_instance_uid="9.1",
    sop_class_uid=SEG,
    series_uid="9",
    study_uid="1",
    ct_series_uid="1.2",
    is_ours=True,
    refers_to=((SEG, "9.0"),),
)
PRIORS = Priors(
    search=PriorSearch.FOUND,
    reason="pacs: unavailable",
    scans=(
        PriorScan(study_uid="1", series_uid="1.2", job_key=None, ct_uids=("1.2.1",), results=(("9", "9.1"),)),
        PriorScan(study_uid="2", series_uid="1.4", job_key="cd" * 32, ct_uids=(), results=()),
    ),
)


def receive(
    journal: Journal, series_uid: str, *, is_fetched: bool, sop_class_uid: str = CT, now: float = 100.0
) -> None:
    instance = Instance(
        sop_instance_uid=f"{series_uid}.1",
        sop_class_uid=sop_class_uid,
        series_uid=series_uid,
        study_uid="1",
        calling_ae_title="PACS",
        data_set_sha256="a",
    )
    journal.series.record_instances([instance], 100.0, is_fetched=is_fetched)


def quiet(journal: Journal, before: float = 1000.0) -> list[str]:
    return [series.series_uid for series in journal.series.quiet(before)]


def test_a_fetched_series_is_quiet_once_it_is_marked_complete_and_not_before(journal: Journal) -> None:
    journal.priors.record_acquisition(EARLIER)
    receive(journal, "1.2", is_fetched=True)
    assert quiet(journal) == []

    journal.priors.mark_complete("1.2", patient_key=PATIENT, person_key=PATIENT, acquired_on="20250110101500")

    assert quiet(journal, before=0.0) == ["1.2"]


def test_a_series_that_a_peer_sends_unrequested_is_sent_although_it_is_being_fetched(journal: Journal) -> None:
    journal.priors.record_acquisition(EARLIER)
    receive(journal, "1.2", is_fetched=True)
    receive(journal, "1.2", is_fetched=False)

    acquisition = journal.priors.acquisition("1.2")
    assert acquisition is not None
    assert (acquisition.role, acquisition.is_complete) == (SENT, True)
    assert (quiet(journal, before=0.0), quiet(journal)) == ([], ["1.2"])


def test_series_of_results_are_not_analysed(journal: Journal) -> None:
    receive(journal, "9", is_fetched=True, sop_class_uid=SEG)

    assert quiet(journal) == []
    assert journal.series.stored_uids("9") == ("9.1",)


def test_a_job_records_its_priors(journal: Journal) -> None:
    receive(journal, "1.3", is_fetched=False)
    (series,) = journal.series.quiet(1000.0)
    job = journal.jobs.create(series, "config", 200.0, PRIORS)

    assert job is not None
    assert job.job_key == job_key(series.images_sha256, "config", ("1.2 9.1", "cd" * 32))
    assert journal.priors.of_job(job.job_key) == PRIORS
    assert journal.priors.of_job("00" * 32) == NOT_QUERIED


def test_other_priors_make_a_new_job_that_supersedes_the_first(journal: Journal) -> None:
    receive(journal, "1.3", is_fetched=False)
    (series,) = journal.series.quiet(1000.0)
    first = journal.jobs.create(series, "config", 200.0)
    assert journal.series.reopen("1.3")
    second = journal.jobs.create(series, "config", 300.0, PRIORS)

    assert first is not None
    assert second is not None
    assert journal.jobs.get(first.job_key).state is JobState.SUPERSEDED
    assert journal.jobs.get(second.job_key).state is JobState.QUEUED


def test_a_patients_scans_are_sorted_by_date_with_their_jobs_and_results(journal: Journal) -> None:
    journal.priors.record_acquisition(LATER)
    journal.priors.record_acquisition(EARLIER)
    journal.priors.record_acquisition(replace(EARLIER, series_uid="1.9", patient_key=None, person_key=None))
    journal.priors.record_results([OURS])
    journal.priors.record_results([OURS])
    receive(journal, "1.3", is_fetched=False)
    (series,) = journal.series.quiet(1000.0)
    job = journal.jobs.create(series, "config", 200.0)
    assert job is not None

    earlier, later = journal.priors.scans_of(PATIENT)

    assert (earlier.series_uid, earlier.day, earlier.results, earlier.is_usable) == ("1.2", "20250110", (OURS,), True)
    assert (later.series_uid, later.is_open, later.job and later.job.job_key) == ("1.3", True, job.job_key)
    assert journal.priors.patients() == [PATIENT]
    assert [scan.series_uid for scan in journal.priors.scans_of(PATIENT) if scan.job] == ["1.3"]


def test_scans_that_name_no_issuer_are_of_the_patient_of_the_one_issuer_that_is_known(journal: Journal) -> None:
    journal.priors.record_acquisition(EARLIER)
    journal.priors.record_acquisition(replace(LATER, patient_key=OF_A))

    for key in (PATIENT, OF_A):
        assert [scan.series_uid for scan in journal.priors.scans_of(key)] == ["1.2", "1.3"]
    assert journal.priors.patients() == [OF_A]
    assert not journal.priors.has_several_issuers(PATIENT)


def test_patients_of_two_issuers_are_never_one_even_beside_a_scan_that_names_none(journal: Journal) -> None:
    journal.priors.record_acquisition(EARLIER)
    journal.priors.record_acquisition(replace(LATER, patient_key=OF_A))
    journal.priors.record_acquisition(replace(LATER, series_uid="1.4", patient_key=OF_B))

    for key, series_uid in ((PATIENT, "1.2"), (OF_A, "1.3"), (OF_B, "1.4")):
        assert [scan.series_uid for scan in journal.priors.scans_of(key)] == [series_uid]
    assert journal.priors.patients() == [OF_A, PATIENT, OF_B]
    assert journal.priors.has_several_issuers(PATIENT)
    assert journal.priors.keys_beside(OF_B) == {OF_A, OF_B, PATIENT}


def test_a_deleted_series_cannot_be_reopened(journal: Journal) -> None:
    assert not journal.series.reopen("1.2")


def test_a_search_is_valid_until_more_of_the_series_arrives(journal: Journal) -> None:
    journal.priors.record_search("1.3", PriorSearch.NOT_FETCHED, "pacs: unavailable", 300.0)
    journal.priors.record_search("1.3", PriorSearch.NONE_EXISTS, None, 400.0)

    assert journal.priors.search_of("1.3") == Priors(search=PriorSearch.NONE_EXISTS, reason=None, scans=())
    assert journal.priors.search_of("1.3", since=401.0) is None


@pytest.mark.parametrize("is_fetched", [True, False])
def test_results_of_fetched_series_are_planned_only_with_backfill(journal: Journal, is_fetched: bool) -> None:
    journal.priors.record_acquisition(EARLIER)
    receive(journal, "1.2", is_fetched=is_fetched)
    images = images_sha256("1.2", [("1.2.1", "a")])
    series = Series(series_uid="1.2", study_uid="1", sop_instance_uids=("1.2.1",), images_sha256=images)
    job = journal.jobs.create(series, "config", 200.0)
    assert job is not None
    journal.leases.claim(job.job_key, "worker", 900.0, 300.0)
    document = Document(sop_class_uid=SEG, sop_instance_uid="2.25.1", file_name="seg.dcm")
    journal.leases.mark_analysed(job.job_key, "worker", [document], 300.0)
    peer = Peer(name="pacs", ae_title="PACS", host="h", port=1)

    assert journal.deliveries.jobs_to_plan([peer], with_backfill=True) == [job.job_key]
    assert journal.deliveries.jobs_to_plan([peer], with_backfill=False) == ([] if is_fetched else [job.job_key])
