from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.jobs import JobState, job_key
from dicom_node.journal.journal import Journal
from dicom_node.prior import PriorSearch
from tests.fixtures.dicom_node.small_network import Clinic, Scan, chain
from worker.demo.pacs import SmallPacs

DATES = ("20250110", "20250412", "20250901", "20260115", "20260703")
FIVE = [Scan(date=date) for date in DATES]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(f"sqlite:///{tmp_path}/journal.db")
    yield journal
    journal.close()


@pytest.fixture
def clinic(tmp_path: Path, pacs: SmallPacs, journal: Journal) -> Clinic:
    return Clinic(folder=tmp_path / "node", pacs=pacs, journal=journal)


def keys(clinic: Clinic, scans: list[Scan]) -> dict[str, str]:
    return {scan.series_uid: clinic.key(scan) for scan in scans}


# -- the order of arrival --


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_three_scans_end_with_the_same_jobs_in_whatever_order_they_came(clinic: Clinic, order: tuple[int, ...]) -> None:
    for number in order:
        clinic.receive(FIVE[number])
        clinic.settle()

    assert keys(clinic, FIVE[:3]) == chain(FIVE[:3])
    assert clinic.keys_of_priors(FIVE[2]) == [clinic.key(FIVE[0]), clinic.key(FIVE[1])]


@pytest.mark.parametrize("seed", range(4))
def test_five_scans_that_come_at_once_or_while_others_are_analysed_end_with_the_same_jobs(
    clinic: Clinic, seed: int
) -> None:
    chance = random.Random(seed)
    for scan in chance.sample(FIVE, 5):
        clinic.receive(scan)
        for _ in range(chance.randrange(4)):
            clinic.step()
            clinic.work(chance.randrange(2))
    clinic.settle()

    assert keys(clinic, FIVE) == chain(FIVE)
    assert all(clinic.priors(scan).search is PriorSearch.FOUND for scan in FIVE[1:])
    assert clinic.priors(FIVE[0]).search is PriorSearch.NONE_EXISTS


def test_scans_that_come_in_order_are_each_analysed_once(clinic: Clinic) -> None:
    for scan in FIVE:
        clinic.receive(scan)
        clinic.settle()

    assert list(clinic.states().values()) == [JobState.ANALYSED] * 5


def test_an_older_scan_that_comes_late_has_the_later_ones_compared_again_by_date(clinic: Clinic) -> None:
    clinic.receive(FIVE[1], FIVE[2])
    clinic.settle()
    before = keys(clinic, FIVE[1:3])

    clinic.receive(FIVE[0])
    clinic.settle()

    assert clinic.keys_of_priors(FIVE[1]) == [clinic.key(FIVE[0])]
    assert clinic.keys_of_priors(FIVE[2]) == [clinic.key(FIVE[0]), clinic.key(FIVE[1])]
    assert {clinic.journal.job(key).state for key in before.values()} == {JobState.SUPERSEDED}
    assert clinic.key(FIVE[0]) == job_key(FIVE[0].uids, "recipe")  # it has no priors: its key is as ever


def test_a_restart_forgets_no_comparison_that_is_due(clinic: Clinic) -> None:
    clinic.receive(FIVE[1])
    clinic.settle()
    clinic.receive(FIVE[0])
    clinic.step()
    clinic.work()
    clinic.start()
    clinic.settle()

    assert keys(clinic, FIVE[:2]) == chain(FIVE[:2])


def test_no_more_than_the_newest_priors_are_compared_with(clinic: Clinic) -> None:
    clinic.node = clinic.node.model_copy(update={"max_priors": 2})
    clinic.start()
    for number in (4, 0, 2, 3, 1):
        clinic.receive(FIVE[number])
        clinic.settle()

    assert keys(clinic, FIVE) == chain(FIVE, most=2)
    assert clinic.keys_of_priors(FIVE[4]) == [clinic.key(FIVE[2]), clinic.key(FIVE[3])]


def test_a_scan_of_the_same_day_is_no_prior(clinic: Clinic) -> None:
    other = Scan(date=DATES[1], number=2)
    clinic.receive(FIVE[1], other)
    clinic.settle()

    assert {clinic.priors(scan).search for scan in (FIVE[1], other)} == {PriorSearch.NONE_EXISTS}


# -- waiting --


def test_a_scan_waits_while_an_earlier_one_is_analysed(clinic: Clinic) -> None:
    clinic.receive(FIVE[0], FIVE[1])
    clinic.step()
    assert [record.job.series_uid for record in clinic.journal.jobs()] == [FIVE[0].series_uid]

    clinic.work()
    clinic.step()

    assert clinic.keys_of_priors(FIVE[1]) == [clinic.key(FIVE[0])]


def test_a_scan_waits_no_longer_than_the_limit_and_is_compared_later(clinic: Clinic) -> None:
    clinic.receive(FIVE[0], FIVE[1])
    clinic.step()
    clinic.assemble(later_s=20.1)

    given = clinic.priors(FIVE[1])
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert given.reason == "1 earlier scans were not analysed within 20 s"

    clinic.settle()
    assert keys(clinic, FIVE[:2]) == chain(FIVE[:2])


@pytest.mark.parametrize("word", [JobState.REJECTED, JobState.FAILED])
def test_an_earlier_scan_that_cannot_be_analysed_is_named_and_delays_nothing(clinic: Clinic, word: JobState) -> None:
    clinic.receive(FIVE[0], FIVE[1])
    clinic.step()
    key, journal = clinic.key(FIVE[0]), clinic.journal
    journal.claim(key, "worker", 4e9, 100.0)
    if word is JobState.REJECTED:
        journal.mark_rejected(key, "worker", "MissingSlices: a gap of 7.5 mm", 100.0)
    else:
        journal.release(key, "worker", "ValueError", 100.0, max_attempts=1)
    clinic.step()

    given = clinic.priors(FIVE[1])
    assert given.search is PriorSearch.FOUND
    assert given.reason == f"series {FIVE[0].series_uid} was not analysed: {word}"
    assert [(prior.series_uid, prior.job_key, prior.results) for prior in given.scans] == [
        (FIVE[0].series_uid, None, ())
    ]


# -- persons --


def test_scans_without_a_birth_date_are_compared_with_nothing(clinic: Clinic) -> None:
    unknown = [Scan(date=date, birth_date="") for date in DATES[:2]]
    clinic.receive(*unknown)
    clinic.settle()

    given = clinic.priors(unknown[1])
    assert given.search is PriorSearch.NOT_FETCHED
    assert "does not tell patient ID, birth date, sex and study date" in str(given.reason)


def test_the_journal_knows_patients_by_a_key_alone(clinic: Clinic, tmp_path: Path) -> None:
    other = Scan(date=DATES[1], birth_date="19770707")
    clinic.receive(FIVE[0], FIVE[1], other)
    clinic.settle()

    first, second = clinic.journal.patients()
    of_patient = {
        key: [scan.series_uid for scan in clinic.journal.scans_of(key) if scan.job] for key in (first, second)
    }
    assert sorted(of_patient.values()) == [[FIVE[0].series_uid, FIVE[1].series_uid], [other.series_uid]]
    written = b"".join(file.read_bytes() for file in tmp_path.glob("journal.db*"))
    for secret in (b"SECRET", b"19500101\x00", b"CHEST"):
        assert secret not in written


def test_nobody_asked_means_no_comparison_and_the_key_of_old(clinic: Clinic) -> None:
    clinic.is_asked = False
    clinic.start()
    clinic.receive(FIVE[0], FIVE[1])
    clinic.settle()

    assert clinic.priors(FIVE[1]).search is PriorSearch.NOT_QUERIED
    assert clinic.key(FIVE[1]) == job_key(FIVE[1].uids, "recipe")
