from __future__ import annotations

import pytest

from dicom_node.jobs import DeliveryState, Job, JobState
from dicom_node.journal.delivery_records import DeliveryRecord
from dicom_node.journal.journal import Journal
from dicom_node.series import Document, Instance
from dicom_node.settings import Peer
from tests.fixtures.dicom_node.removable import DAY_S, removable

SEG = Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid="2.25.1", file_name="seg.dcm")
SR = Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34", sop_instance_uid="2.25.2", file_name="sr.dcm")


def peer(name: str, *, storage_commitment: bool) -> Peer:
    return Peer(
        name=name,
        ae_title=name.upper(),
        host="127.0.0.1",
        port=104,
        send_results=True,
        storage_commitment=storage_commitment,
    )


COMMITTING = peer("pacs", storage_commitment=True)
PLAIN = peer("archive", storage_commitment=False)


def receive(journal: Journal, number: int) -> Job:
    received = Instance(
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid="1.2",
        study_uid="1",
        calling_ae_title="SENDER",
        data_set_sha256="x",
    )
    journal.series.record_instances([received], 10.0 * number)
    (series,) = journal.series.quiet(1000.0)
    job = journal.jobs.create(series, "config", 10.0 * number)
    assert job is not None
    return job


@pytest.fixture
def job(journal: Journal) -> Job:
    """An analysed job with two documents."""
    job = receive(journal, 1)
    journal.leases.claim(job.job_key, "worker", 100.0, 20.0)
    journal.leases.mark_analysed(job.job_key, "worker", [SR, SEG], 30.0)
    return job


def store(journal: Journal, now: float) -> list[DeliveryRecord]:
    """Mark all due deliveries as stored."""
    due = journal.deliveries.due(now)
    for delivery in due:
        journal.deliveries.mark_stored(delivery, now)
    return due


def state(journal: Journal, job: Job) -> JobState:
    return journal.jobs.get(job.job_key).state


def states(journal: Journal, job: Job) -> list[tuple[str, str, DeliveryState]]:
    return [(each.peer, each.document.file_name, each.state) for each in journal.deliveries.of_job(job.job_key)]


def test_every_document_has_one_delivery_per_peer_however_often_it_is_planned(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING, PLAIN], 40.0)
    journal.deliveries.mark_stored(journal.deliveries.due(40.0)[0], 41.0)
    journal.deliveries.ensure(job.job_key, [COMMITTING, PLAIN], 42.0)

    assert states(journal, job) == [
        ("archive", "seg.dcm", DeliveryState.STORED),
        ("archive", "sr.dcm", DeliveryState.PENDING),
        ("pacs", "seg.dcm", DeliveryState.PENDING),
        ("pacs", "sr.dcm", DeliveryState.PENDING),
    ]
    assert {delivery.document for delivery in journal.deliveries.due(42.0)} == {SEG, SR}


def test_a_peer_that_is_no_longer_a_destination_does_not_delay_the_job(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING, PLAIN], 40.0)
    for delivery in journal.deliveries.due(40.0)[:2]:
        journal.deliveries.mark_stored(delivery, 41.0)
    assert state(journal, job) is JobState.ANALYSED

    journal.deliveries.ensure(job.job_key, [PLAIN], 50.0)

    assert state(journal, job) is JobState.COMMITTED


def test_jobs_without_matching_deliveries_are_to_be_planned(journal: Journal, job: Job) -> None:
    assert journal.deliveries.jobs_to_plan([COMMITTING]) == [job.job_key]
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)

    assert journal.deliveries.jobs_to_plan([COMMITTING]) == []
    assert journal.deliveries.jobs_to_plan([COMMITTING, PLAIN]) == [job.job_key]
    assert journal.deliveries.jobs_to_plan([peer("pacs", storage_commitment=False)]) == [job.job_key]
    assert journal.deliveries.jobs_to_plan([]) == [job.job_key]
    store(journal, 41.0)
    assert journal.deliveries.jobs_to_plan([COMMITTING]) == []
    assert journal.deliveries.jobs_to_plan([PLAIN]) == [job.job_key]


def test_a_peer_without_storage_commitment_any_more_does_not_delay_the_job(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    assert state(journal, job) is JobState.DELIVERED

    journal.deliveries.ensure(job.job_key, [peer("pacs", storage_commitment=False)], 50.0)

    assert state(journal, job) is JobState.COMMITTED


def test_a_job_without_destinations_stays_analysed(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [], 40.0)

    assert (journal.deliveries.of_job(job.job_key), state(journal, job)) == ([], JobState.ANALYSED)


def test_a_job_is_delivered_when_all_is_stored_and_committed_when_all_is_committed(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING, PLAIN], 40.0)
    store(journal, 41.0)
    assert state(journal, job) is JobState.DELIVERED
    assert {delivery.peer for delivery in journal.deliveries.awaiting_commitment(41.0)} == {"pacs"}

    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)
    assert journal.deliveries.awaiting_commitment(42.0) == []
    assert journal.transactions.record_report("2.25.7", ["2.25.1", "2.25.2"], {}, 50.0, 60.0)

    assert state(journal, job) is JobState.COMMITTED


def test_a_job_without_storage_commitment_is_committed_when_it_is_stored(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    store(journal, 41.0)

    assert state(journal, job) is JobState.COMMITTED
    assert journal.deliveries.awaiting_commitment(41.0) == []


def test_a_postponed_delivery_is_due_at_its_time_with_its_reason(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    for delivery in journal.deliveries.due(40.0):
        journal.deliveries.postpone(delivery, "archive: connection refused", 55.0)

    assert journal.deliveries.due(54.9) == []
    due = journal.deliveries.due(55.0)
    assert [(each.attempts, each.reason) for each in due] == [(1, "archive: connection refused")] * 2


def test_a_refused_document_fails_the_job_when_nothing_else_is_pending(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    seg, sr = journal.deliveries.due(40.0)
    journal.deliveries.mark_refused(seg, "status 0xA900", 41.0)
    assert state(journal, job) is JobState.ANALYSED

    journal.deliveries.mark_stored(sr, 42.0)

    record = journal.jobs.get(job.job_key)
    assert (record.state, record.reason) == (JobState.FAILED, "archive: status 0xA900")


def test_a_document_that_failed_commitment_is_sent_again(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)

    journal.transactions.record_report("2.25.7", ["2.25.1"], {"2.25.2": "0x0112"}, 50.0, 60.0)

    assert state(journal, job) is JobState.ANALYSED
    assert journal.deliveries.due(59.9) == []
    (again,) = journal.deliveries.due(60.0)
    assert (again.document, again.reason, again.attempts, again.transaction_uid) == (SR, "0x0112", 1, None)


def test_a_document_missing_in_the_commitment_report_is_sent_again(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)

    journal.transactions.record_report("2.25.7", ["2.25.1"], {}, 50.0, 60.0)

    assert [each.document for each in journal.deliveries.due(60.0)] == [SR]


def test_a_document_sent_again_gets_a_new_transaction(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)
    (overdue,) = journal.transactions.overdue(600.0)
    journal.transactions.record_report(
        "2.25.7", (), dict.fromkeys(overdue.sop_instance_uids, "no answer"), 601.0, 601.0
    )

    store(journal, 602.0)
    journal.transactions.open("2.25.8", "pacs", ["2.25.1", "2.25.2"], 1200.0)
    assert not journal.transactions.record_report("2.25.7", ["2.25.1", "2.25.2"], {}, 603.0, 603.0)
    assert state(journal, job) is JobState.DELIVERED
    assert journal.transactions.record_report("2.25.8", ["2.25.1", "2.25.2"], {}, 604.0, 604.0)

    assert state(journal, job) is JobState.COMMITTED


def test_a_transaction_is_overdue_at_its_time_and_while_it_is_open(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)

    assert journal.transactions.overdue(599.9) == []
    (overdue,) = journal.transactions.overdue(600.0)
    assert (overdue.peer, overdue.sop_instance_uids, overdue.open) == ("pacs", ("2.25.1", "2.25.2"), True)
    journal.transactions.record_report("2.25.7", ["2.25.1", "2.25.2"], {}, 700.0, 700.0)
    assert journal.transactions.overdue(1000.0) == []


def test_a_report_for_an_unknown_or_closed_transaction_changes_nothing(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)
    journal.transactions.record_report("2.25.7", ["2.25.1", "2.25.2"], {}, 50.0, 60.0)

    assert not journal.transactions.record_report("2.25.9", ["2.25.1"], {}, 50.0, 60.0)
    assert not journal.transactions.record_report("2.25.7", [], {"2.25.1": "0x0112"}, 50.0, 60.0)
    assert journal.transactions.get("2.25.9") is None
    closed = journal.transactions.get("2.25.7")
    assert closed is not None
    assert not closed.open
    assert state(journal, job) is JobState.COMMITTED


def test_a_failed_commitment_request_is_repeated_without_sending_documents_again(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    store(journal, 41.0)
    journal.transactions.open("2.25.7", "pacs", ["2.25.1", "2.25.2"], 600.0)

    journal.transactions.cancel("2.25.7", "pacs: connection refused", 60.0)

    assert journal.deliveries.due(1000.0) == []
    assert journal.deliveries.awaiting_commitment(59.9) == []
    assert [each.document for each in journal.deliveries.awaiting_commitment(60.0)] == [SEG, SR]
    assert state(journal, job) is JobState.DELIVERED


def test_a_superseded_job_is_not_delivered_any_more(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [COMMITTING], 40.0)
    receive(journal, 2)

    assert state(journal, job) is JobState.SUPERSEDED
    assert journal.deliveries.due(1000.0) == []


def test_a_retried_job_delivers_its_documents_again(journal: Journal, job: Job) -> None:
    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    store(journal, 41.0)
    journal.jobs.retry(job.job_key, 50.0)
    assert journal.deliveries.of_job(job.job_key) == []

    journal.leases.claim(job.job_key, "worker", 100.0, 60.0)
    journal.leases.mark_analysed(job.job_key, "worker", [SR, SEG], 70.0)
    journal.deliveries.ensure(job.job_key, [PLAIN], 80.0)

    assert len(store(journal, 80.0)) == 2
    assert state(journal, job) is JobState.COMMITTED


def test_a_series_is_removed_after_its_results_were_committed_and_not_while_it_waits(
    journal: Journal, job: Job
) -> None:
    assert removable(journal, 1e9) == set()
    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    store(journal, 41.0)

    assert removable(journal, 41.0 + 30 * DAY_S) == set()
    assert removable(journal, 42.0 + 30 * DAY_S) == {"1.2"}
    receive(journal, 2)
    assert removable(journal, 1e9) == set()


def test_the_report_of_a_rejected_series_is_delivered_and_the_job_stays_rejected(journal: Journal) -> None:
    job = receive(journal, 1)
    journal.leases.claim(job.job_key, "worker", 100.0, 20.0)
    journal.leases.mark_rejected(job.job_key, "worker", "MissingSlices: a gap", 30.0, [SR])
    assert journal.deliveries.jobs_to_plan([PLAIN]) == [job.job_key]

    journal.deliveries.ensure(job.job_key, [PLAIN], 40.0)
    store(journal, 41.0)

    assert states(journal, job) == [("archive", "sr.dcm", DeliveryState.STORED)]
    assert journal.deliveries.jobs_to_plan([PLAIN]) == []
    assert state(journal, job) is JobState.REJECTED
    assert journal.jobs.get(job.job_key).reason == "MissingSlices: a gap"
