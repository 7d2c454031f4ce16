from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from dicom_node.identifiers import PRODUCT
from dicom_node.jobs import JobState, job_key
from dicom_node.prior import PriorSearch
from tests.fixtures.dicom_node.small_network import SEG, Scan, SmallNetwork, expected_keys, images_of

DATES = ("20250110", "20250412", "20250901", "20260115", "20260703")
FIVE = [Scan(date=date) for date in DATES]


def keys(small_network: SmallNetwork, scans: list[Scan]) -> dict[str, str]:
    return {scan.series_uid: small_network.key(scan) for scan in scans}


# -- order of arrival --


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_three_scans_have_the_same_jobs_in_any_order_of_arrival(
    small_network: SmallNetwork, order: tuple[int, ...]
) -> None:
    for number in order:
        small_network.receive(FIVE[number])
        small_network.run_until_idle()

    assert keys(small_network, FIVE[:3]) == expected_keys(FIVE[:3])
    assert small_network.prior_job_keys(FIVE[2]) == [small_network.key(FIVE[0]), small_network.key(FIVE[1])]


@pytest.mark.parametrize("seed", range(4))
def test_five_scans_that_arrive_during_analysis_have_the_same_jobs(small_network: SmallNetwork, seed: int) -> None:
    rng = random.Random(seed)
    for scan in rng.sample(FIVE, 5):
        small_network.receive(scan)
        for _ in range(rng.randrange(4)):
            small_network.step()
            small_network.work(rng.randrange(2))
    small_network.run_until_idle()

    assert keys(small_network, FIVE) == expected_keys(FIVE)
    assert all(small_network.priors(scan).search is PriorSearch.FOUND for scan in FIVE[1:])
    assert small_network.priors(FIVE[0]).search is PriorSearch.NONE_EXISTS


def test_scans_that_arrive_in_order_are_each_analysed_once(small_network: SmallNetwork) -> None:
    for scan in FIVE:
        small_network.receive(scan)
        small_network.run_until_idle()

    assert list(small_network.states().values()) == [JobState.ANALYSED] * 5


def test_later_scans_are_compared_again_after_a_late_prior_arrives(small_network: SmallNetwork) -> None:
    small_network.receive(FIVE[1], FIVE[2])
    small_network.run_until_idle()
    before = keys(small_network, FIVE[1:3])

    small_network.receive(FIVE[0])
    small_network.run_until_idle()

    assert small_network.prior_job_keys(FIVE[1]) == [small_network.key(FIVE[0])]
    assert small_network.prior_job_keys(FIVE[2]) == [small_network.key(FIVE[0]), small_network.key(FIVE[1])]
    assert {small_network.journal.jobs.get(key).state for key in before.values()} == {JobState.SUPERSEDED}
    assert small_network.key(FIVE[0]) == job_key(images_of(FIVE[0]), "config")  # without priors the key does not change


def test_a_due_comparison_survives_a_restart(small_network: SmallNetwork) -> None:
    small_network.receive(FIVE[1])
    small_network.run_until_idle()
    small_network.receive(FIVE[0])
    small_network.step()
    small_network.work()
    small_network.start()
    small_network.run_until_idle()

    assert keys(small_network, FIVE[:2]) == expected_keys(FIVE[:2])


def test_only_the_newest_priors_up_to_the_limit_are_used(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"max_priors": 2})
    small_network.start()
    for number in (4, 0, 2, 3, 1):
        small_network.receive(FIVE[number])
        small_network.run_until_idle()

    assert keys(small_network, FIVE) == expected_keys(FIVE, max_priors=2)
    assert small_network.prior_job_keys(FIVE[4]) == [small_network.key(FIVE[2]), small_network.key(FIVE[3])]


def test_a_scan_of_the_same_day_is_not_a_prior(small_network: SmallNetwork) -> None:
    other = Scan(date=DATES[1], study=2)
    small_network.receive(FIVE[1], other)
    small_network.run_until_idle()

    assert {small_network.priors(scan).search for scan in (FIVE[1], other)} == {PriorSearch.NONE_EXISTS}


# -- waiting --


def test_a_scan_waits_while_a_prior_is_analysed(small_network: SmallNetwork) -> None:
    small_network.receive(FIVE[0], FIVE[1])
    small_network.step()
    assert [record.job.series_uid for record in small_network.journal.jobs.find()] == [FIVE[0].series_uid]

    small_network.work()
    small_network.step()

    assert small_network.prior_job_keys(FIVE[1]) == [small_network.key(FIVE[0])]


def test_a_scan_waits_no_longer_than_the_limit_and_is_compared_later(small_network: SmallNetwork) -> None:
    small_network.receive(FIVE[0], FIVE[1])
    small_network.step()
    small_network.assemble(later_s=20.1)

    given = small_network.priors(FIVE[1])
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert given.reason == "1 prior scans were not analysed within 20 s"

    small_network.run_until_idle()
    assert keys(small_network, FIVE[:2]) == expected_keys(FIVE[:2])


@pytest.mark.parametrize("state", [JobState.REJECTED, JobState.FAILED])
def test_a_prior_that_cannot_be_analysed_is_reported_and_delays_nothing(
    small_network: SmallNetwork, state: JobState
) -> None:
    small_network.receive(FIVE[0], FIVE[1])
    small_network.step()
    key, journal = small_network.key(FIVE[0]), small_network.journal
    journal.leases.claim(key, "worker", 4e9, 100.0)
    if state is JobState.REJECTED:
        journal.leases.mark_rejected(key, "worker", "MissingSlices: a gap of 7.5 mm", 100.0)
    else:
        journal.leases.release(key, "worker", "ValueError", 100.0, max_attempts=1)
    small_network.step()

    given = small_network.priors(FIVE[1])
    assert given.search is PriorSearch.FOUND
    assert given.reason == f"series {FIVE[0].series_uid} was not analysed: {state}"
    assert [(prior.series_uid, prior.job_key, prior.results) for prior in given.scans] == [
        (FIVE[0].series_uid, None, ())
    ]


# -- patient identity --


def test_scans_without_a_birth_date_are_not_compared(small_network: SmallNetwork) -> None:
    unknown = [Scan(date=date, birth_date="") for date in DATES[:2]]
    small_network.receive(*unknown)
    small_network.run_until_idle()

    given = small_network.priors(unknown[1])
    assert given.search is PriorSearch.NOT_FETCHED
    assert "patient ID, birth date, sex or study date is missing" in str(given.reason)


def test_the_journal_has_patient_keys_and_no_patient_data(small_network: SmallNetwork, tmp_path: Path) -> None:
    other = Scan(date=DATES[1], birth_date="19770707")
    small_network.receive(FIVE[0], FIVE[1], other)
    small_network.run_until_idle()

    first, second = small_network.journal.priors.patients()
    of_patient = {
        key: [scan.series_uid for scan in small_network.journal.priors.scans_of(key) if scan.job]
        for key in (first, second)
    }
    assert sorted(of_patient.values()) == [[FIVE[0].series_uid, FIVE[1].series_uid], [other.series_uid]]
    written = b"".join(file.read_bytes() for file in tmp_path.glob("journal.db*"))
    for secret in (b"SECRET", b"19500101\x00", b"CHEST"):
        assert secret not in written


def test_without_queries_there_is_no_comparison_and_the_job_key_is_unchanged(small_network: SmallNetwork) -> None:
    small_network.queries_priors = False
    small_network.start()
    small_network.receive(FIVE[0], FIVE[1])
    small_network.run_until_idle()

    assert small_network.priors(FIVE[1]).search is PriorSearch.NOT_QUERIED
    assert small_network.key(FIVE[1]) == job_key(images_of(FIVE[1]), "config")


def test_a_prior_whose_results_were_removed_changes_no_job_and_its_results_come_from_the_pacs(
    small_network: SmallNetwork,
) -> None:
    for scan in FIVE[:2]:
        small_network.receive(scan)
        small_network.run_until_idle()
    before = keys(small_network, FIVE[:2])
    small_network.archive_result(FIVE[0].result(SEG, "1.9.1", PRODUCT))
    assert small_network.journal.stored.mark_files_removed(before[FIVE[0].series_uid], 1e10)

    small_network.start()  # every patient is looked at again
    small_network.receive(FIVE[2])
    small_network.run_until_idle()

    assert keys(small_network, FIVE[:3]) == expected_keys(FIVE[:3])
    first, second = small_network.priors(FIVE[2]).scans
    assert [uid for _, uid in first.results] == ["1.9.1"]
    assert (first.job_key, second.results) == (before[FIVE[0].series_uid], ())
