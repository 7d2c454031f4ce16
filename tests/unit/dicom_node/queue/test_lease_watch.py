from __future__ import annotations

from dicom_node.journal.jobs import RunningJob
from dicom_node.queue.lease_watch import LeaseWatch


def job(lease_until: float, owner: str = "worker") -> RunningJob:
    return RunningJob(job_key="a", owner=owner, lease_until=lease_until)


def test_a_lease_ends_when_it_is_unchanged_for_its_time_whatever_the_times_in_it_say() -> None:
    for until in (0.0, 1e12):
        watch = LeaseWatch(lease_s=60.0)
        ended = {moment: watch.ended([job(until)], moment) for moment in range(0, 100, 10)}
        assert [moment for moment, jobs in ended.items() if jobs] == [70, 80, 90]


def test_a_lease_that_changes_never_ends_even_if_the_clock_of_its_worker_goes_back() -> None:
    watch = LeaseWatch(lease_s=60.0)
    times = [100.0, 115.0, -3500.0, -3485.0, -3470.0, -3455.0, 100.0, 115.0, 130.0]

    assert all(watch.ended([job(until)], 15.0 * number) == [] for number, until in enumerate(times))


def test_a_job_claimed_again_has_a_whole_lease() -> None:
    watch = LeaseWatch(lease_s=60.0)
    for moment in range(0, 60, 10):
        assert watch.ended([job(5.0, "first")], moment) == []

    assert watch.ended([job(5.0, "second")], 61.0) == []


def test_after_a_time_in_which_nobody_looked_each_lease_has_its_whole_time_again() -> None:
    watch = LeaseWatch(lease_s=60.0)
    watch.ended([job(5.0)], 0.0)

    assert watch.ended([job(5.0)], 1000.0) == []
    assert watch.ended([job(5.0)], 1030.0) == []
    assert watch.ended([job(5.0)], 1060.0) == []
    assert watch.ended([job(5.0)], 1061.0) == [job(5.0)]


def test_an_outage_of_the_journal_that_is_shorter_than_a_lease_costs_no_worker_its_job() -> None:
    watch = LeaseWatch(lease_s=60.0)
    watch.ended([job(5.0)], 0.0)
    watch.ended([job(5.0)], 14.0)  # the worker's next renewals, at 15 s, 30 s and 45 s, and our looks find no journal

    assert watch.ended([job(5.0)], 61.0) == []
    assert watch.ended([job(6.0)], 76.0) == []
