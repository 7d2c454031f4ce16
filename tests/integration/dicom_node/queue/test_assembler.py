from __future__ import annotations

from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.selection.selector import every_series
from dicom_node.series import Instance


def arrive(journal: Journal, number: int, now: float, series_uid: str = "1.2") -> None:
    received = Instance(
        sop_instance_uid=f"{series_uid}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=series_uid,
        study_uid="1",
        calling_ae_title="SENDER",
        data_set_sha256="x",
    )
    journal.series.record_instances([received], now)


def assembled(journal: Journal, config_hash: str, now: float) -> list[Job]:
    journal.jobs.reopen_outdated(config_hash)
    return assemble(journal, config_hash, every_series(journal, 20.0, now), now)


def test_a_series_is_complete_after_its_quiet_period_and_not_before(journal: Journal) -> None:
    arrive(journal, 1, 100.0)
    arrive(journal, 2, 115.0)

    assert assembled(journal, "config", 135.0) == []
    (job,) = assembled(journal, "config", 135.1)
    assert journal.jobs.get(job.job_key).sop_instance_uids == ("1.2.1", "1.2.2")
    assert assembled(journal, "config", 200.0) == []


def test_a_slow_sender_with_pauses_below_the_quiet_period_makes_one_job(journal: Journal) -> None:
    made = []
    for number in range(10):
        arrive(journal, number, 100.0 + 19.0 * number)
        made += assembled(journal, "config", 100.0 + 19.0 * number + 18.9)
    made += assembled(journal, "config", 1000.0)

    assert len(made) == 1
    assert len(journal.jobs.get(made[0].job_key).sop_instance_uids) == 10


def test_late_slices_make_a_second_job_that_supersedes_the_first(journal: Journal) -> None:
    arrive(journal, 1, 100.0)
    (first,) = assembled(journal, "config", 200.0)
    arrive(journal, 2, 300.0)
    (second,) = assembled(journal, "config", 400.0)

    assert journal.jobs.get(first.job_key).state is JobState.SUPERSEDED
    assert journal.jobs.get(second.job_key).sop_instance_uids == ("1.2.1", "1.2.2")


def test_two_series_at_once_are_two_jobs(journal: Journal) -> None:
    for number in range(6):
        arrive(journal, number, 100.0 + number, series_uid=f"1.{2 + number % 2}")

    assert {job.series_uid for job in assembled(journal, "config", 200.0)} == {"1.2", "1.3"}


def test_a_queued_job_is_created_again_for_a_replaced_model(journal: Journal) -> None:
    arrive(journal, 1, 100.0)
    (old,) = assembled(journal, "old", 200.0)

    (new,) = assembled(journal, "new", 300.0)

    assert (new.config_hash, journal.jobs.get(old.job_key).state) == ("new", JobState.SUPERSEDED)
    assert assembled(journal, "new", 400.0) == []
