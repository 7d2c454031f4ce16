from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import FETCHED, SENT
from dicom_node.network.scp import StorageScp, close
from dicom_node.prior import PriorSearch
from dicom_node.priors.result_header import OUR_MANUFACTURER
from tests.fixtures.dicom_node.small_network import SEG, SR, Clinic, Scan
from worker.demo.pacs import SmallPacs

EARLIER, LATER = Scan(date="20250110"), Scan(date="20260703")
READER = "Reader's workstation"


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


@pytest.fixture
def moving(tmp_path: Path, pacs: SmallPacs, journal: Journal) -> Iterator[Clinic]:
    """A clinic whose PACS sends what is asked for to the node's door."""
    clinic = Clinic(folder=tmp_path / "node", pacs=pacs, journal=journal, retrieve="move")
    node = clinic.node.model_copy(update={"port": 0})
    door = StorageScp(
        node=node, peers=[clinic.peer], journal=journal, intake=clinic.intake, on_report=lambda *_: 0
    ).open()
    pacs.peers = {"LUNGNODE": ("127.0.0.1", door.server_address[1])}
    yield clinic
    close(door)


# -- what is fetched --


def test_an_earlier_scan_that_only_the_pacs_has_is_moved_here_and_analysed_first(moving: Clinic) -> None:
    moving.archive(EARLIER)
    moving.receive(LATER)
    moving.step()
    moving.step()  # what was fetched is searched for, too, so that a history comes out in order
    assert [record.job.series_uid for record in moving.journal.jobs()] == [EARLIER.series_uid]

    moving.work()
    moving.step()

    (prior,) = moving.priors(LATER).scans
    assert (prior.study_uid, prior.series_uid, prior.job_key) == (
        EARLIER.study_uid,
        EARLIER.series_uid,
        moving.key(EARLIER),
    )
    assert (prior.ct_uids, prior.results) == (tuple(sorted(EARLIER.uids)), ())
    assert moving.priors(LATER).search is PriorSearch.FOUND
    acquired = {scan.date: moving.journal.acquisition(scan.series_uid) for scan in (EARLIER, LATER)}
    assert [acquired[scan.date].role for scan in (EARLIER, LATER)] == [FETCHED, SENT]  # type: ignore[union-attr]


def test_a_peer_that_prefers_it_is_asked_by_get(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.keys_of_priors(LATER) == [clinic.key(EARLIER)]


def test_the_results_of_a_fetched_scan_are_delivered_only_where_that_is_wanted(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.receive(LATER)
    clinic.settle()
    receiver = clinic.peer.model_copy(update={"send_results": True})

    assert clinic.journal.unplanned([receiver], with_backfill=False) == [clinic.key(LATER)]
    assert clinic.journal.unplanned([receiver]) == sorted([clinic.key(EARLIER), clinic.key(LATER)])


def test_a_fetched_scan_that_a_scanner_sends_later_counts_as_sent(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.receive(LATER)
    clinic.settle()
    clinic.receive(EARLIER)
    receiver = clinic.peer.model_copy(update={"send_results": True})

    assert len(clinic.journal.unplanned([receiver], with_backfill=False)) == 2


def test_what_was_received_of_an_earlier_scan_is_not_fetched_again(clinic: Clinic) -> None:
    clinic.receive(EARLIER)
    clinic.settle()
    arrived = clinic.journal.instances(EARLIER.uids)
    clinic.receive(LATER)
    clinic.settle()

    assert {instance.calling_ae_title for instance in clinic.journal.instances(EARLIER.uids)} == {"SCANNER"}
    assert len(arrived) == EARLIER.slices


@pytest.mark.parametrize(
    "other",
    [
        Scan(date="20250110", description="CT HEAD"),
        Scan(date="20250110", slices=3),
        Scan(date="20261224"),
        Scan(date="20260703", number=2),
    ],
    ids=["the head", "three slices", "a later scan", "the same study"],
)
def test_what_is_no_earlier_scan_of_the_chest_is_not_fetched(clinic: Clinic, other: Scan) -> None:
    clinic.archive(other)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.priors(LATER).search is PriorSearch.NONE_EXISTS
    assert clinic.journal.held(other.series_uid) == ()


def test_of_several_series_the_one_with_the_most_slices_is_fetched(clinic: Clinic) -> None:
    thin = Scan(date=EARLIER.date, number=2, slices=30)
    clinic.archive(EARLIER, thin)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.keys_of_priors(LATER) == [clinic.key(thin)]
    assert clinic.journal.held(EARLIER.series_uid) == ()


# -- results --


def test_results_of_ours_that_the_pacs_has_are_taken_and_nothing_is_analysed_again(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.archive_result(EARLIER.result(SEG, "1.9.1", OUR_MANUFACTURER))
    clinic.archive_result(EARLIER.result(SR, "1.9.2", OUR_MANUFACTURER, [(SEG, "1.9.1")]))
    clinic.receive(LATER)
    clinic.settle()

    (prior,) = clinic.priors(LATER).scans
    assert prior.job_key is None
    assert prior.results == (("1.9.1.9", "1.9.1"), ("1.9.2.9", "1.9.2"))
    assert len(prior.ct_uids) == EARLIER.slices
    assert [record.job.series_uid for record in clinic.journal.jobs()] == [LATER.series_uid]


def test_of_several_versions_of_ours_the_one_that_knows_most_reports_is_taken(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.archive_result(EARLIER.result(SEG, "1.9.1", OUR_MANUFACTURER))
    clinic.archive_result(EARLIER.result(SEG, "1.9.2", OUR_MANUFACTURER))
    clinic.archive_result(EARLIER.result(SR, "1.9.4", OUR_MANUFACTURER, [(SEG, "1.9.1"), (SR, "1.8.1")]))
    clinic.archive_result(EARLIER.result(SR, "1.9.5", OUR_MANUFACTURER, [(SEG, "1.9.2")]))
    clinic.receive(LATER)
    clinic.settle()

    (prior,) = clinic.priors(LATER).scans
    assert [uid for _, uid in prior.results] == ["1.9.1", "1.9.4"]


def test_a_readers_results_come_beside_our_job(clinic: Clinic) -> None:
    clinic.receive(EARLIER)
    clinic.settle()
    before = clinic.key(EARLIER)
    clinic.archive_result(EARLIER.result(SEG, "1.9.7", READER))
    clinic.archive_result(EARLIER.result(SEG, "1.9.8", OUR_MANUFACTURER))
    clinic.receive(LATER)
    clinic.settle()

    (prior,) = clinic.priors(LATER).scans
    assert (prior.job_key, prior.results) == (before, (("1.9.7.9", "1.9.7"),))


def test_results_are_compared_with_when_the_pacs_has_the_ct_no_more(clinic: Clinic) -> None:
    clinic.archive_result(EARLIER.result(SEG, "1.9.1", OUR_MANUFACTURER))
    clinic.archive_result(EARLIER.result(SR, "1.9.2", OUR_MANUFACTURER, [(SEG, "1.9.1")]))
    clinic.receive(LATER)
    clinic.settle()

    given = clinic.priors(LATER)
    assert given.search is PriorSearch.FOUND
    assert [(prior.series_uid, prior.ct_uids, len(prior.results)) for prior in given.scans] == [
        (EARLIER.series_uid, (), 2)
    ]


def test_a_ct_above_the_size_limit_is_left_out_and_its_results_are_not(clinic: Clinic) -> None:
    clinic.node = clinic.node.model_copy(update={"priors_size_limit_mb": 9})
    clinic.start()
    clinic.archive(EARLIER)
    clinic.archive_result(EARLIER.result(SEG, "1.9.1", OUR_MANUFACTURER))
    clinic.receive(LATER)
    clinic.settle()

    given = clinic.priors(LATER)
    assert [(prior.ct_uids, len(prior.results)) for prior in given.scans] == [((), 1)]
    assert given.reason == f"series {EARLIER.series_uid}, 20 slices, was left out: node.priors_size_limit_mb is 9"


def test_a_ct_above_the_size_limit_without_results_could_not_be_fetched(clinic: Clinic) -> None:
    clinic.node = clinic.node.model_copy(update={"priors_size_limit_mb": 0})
    clinic.start()
    clinic.archive(EARLIER)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert "node.priors_size_limit_mb is 0" in str(clinic.priors(LATER).reason)


# -- persons --


@pytest.mark.parametrize("other", [{"birth_date": "19770707"}, {"sex": "M"}], ids=str)
def test_two_patients_of_one_id_are_not_mixed(clinic: Clinic, other: dict[str, str]) -> None:
    stranger = Scan(date=EARLIER.date, number=7, **other)  # type: ignore[arg-type]
    clinic.archive(stranger)
    clinic.receive(LATER)
    clinic.settle()

    given = clinic.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NONE_EXISTS, ())
    assert given.reason == "1 studies or series of the same patient ID belong to somebody else"
    assert clinic.journal.held(stranger.series_uid) == ()


def test_a_search_that_the_nodes_end_cuts_short_is_made_again(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.receive(LATER)
    clinic.pacs.behaviour.find_delay_s = 5.0
    ending = threading.Timer(0.5, clinic.searcher.stop)
    ending.start()
    time.sleep(0.02)
    clinic.searcher.step(time.time())
    ending.join()
    assert clinic.journal.search_of(LATER.series_uid) is None

    clinic.pacs.behaviour.find_delay_s = 0.0
    clinic.start()
    clinic.settle()

    assert clinic.keys_of_priors(LATER) == [clinic.key(EARLIER)]


def test_where_the_pacs_tells_no_birth_dates_the_headers_tell_the_patients_apart(clinic: Clinic) -> None:
    clinic.pacs.behaviour.unanswered_keys = frozenset({"PatientBirthDate", "PatientSex", "ModalitiesInStudy"})
    stranger = Scan(date="20250505", birth_date="19770707")
    clinic.archive(EARLIER, stranger)
    clinic.archive_result(stranger.result(SEG, "1.9.1", OUR_MANUFACTURER))
    clinic.receive(LATER)
    clinic.settle()

    given = clinic.priors(LATER)
    assert [prior.series_uid for prior in given.scans] == [EARLIER.series_uid]
    assert given.reason == "2 studies or series of the same patient ID belong to somebody else"
    assert clinic.journal.held(stranger.series_uid) == ()
    assert not (clinic.spool.inbox / stranger.series_uid).exists()


def test_an_id_with_a_wild_card_finds_its_own_patient_alone(clinic: Clinic) -> None:
    clinic.archive(Scan(date=EARLIER.date, patient_id="SECRET-ID"))
    scan = Scan(date=LATER.date, patient_id="SECRET-*")
    clinic.receive(scan)
    clinic.settle()

    assert clinic.priors(scan).search is PriorSearch.NONE_EXISTS


def test_the_search_logs_nothing_of_the_patient(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    clinic.archive(EARLIER, Scan(date="20250505", birth_date="19770707"))
    clinic.archive_result(EARLIER.result(SEG, "1.9.1", READER))
    clinic.receive(LATER)
    clinic.settle()

    assert any(f"series {LATER.series_uid}: priors found" in line for line in caplog.messages)
    assert "SECRET" not in caplog.text


# -- peers that fail --


def test_a_pacs_that_is_down_delays_nothing(clinic: Clinic) -> None:
    clinic.receive(LATER)
    clinic.pacs.stop()
    clinic.step()

    given = clinic.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert str(given.reason).startswith("pacs: no association with 127.0.0.1")


def test_a_pacs_that_failed_is_not_asked_again_at_once(clinic: Clinic) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections, and says nothing
        clinic.peer = clinic.peer.model_copy(update={"port": mute.getsockname()[1]})
        clinic.start()
        scans = [Scan(date=f"2026010{n}", patient_id=f"SECRET-{n}") for n in range(1, 5)]
        clinic.receive(*scans)
        clinic.step()
        mute.setblocking(False)
        calls = [mute.accept()[0]]
        with contextlib.suppress(BlockingIOError):
            calls.append(mute.accept()[0])
        for call in calls:
            call.close()

    assert len(calls) == 1
    assert [clinic.priors(scan).search for scan in scans] == [PriorSearch.NOT_FETCHED] * 4
    reasons = [str(clinic.priors(scan).reason) for scan in scans]
    assert sorted(reason.endswith(", a moment ago") for reason in reasons) == [False, True, True, True]


def test_a_slow_pacs_is_given_up_at_the_limit_however_many_wait_for_it(clinic: Clinic) -> None:
    clinic.node = clinic.node.model_copy(update={"priors_time_limit_s": 1.5})
    clinic.start()
    clinic.archive(EARLIER)
    clinic.pacs.behaviour.find_delay_s = 20.0
    clinic.receive(LATER, Scan(date="20260801", patient_id="SECRET-2"))
    started = time.monotonic()
    clinic.searcher.step(time.time() + 1)
    clinic.assemble(later_s=2.0)

    assert time.monotonic() - started < 15
    assert clinic.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert "within 1.5 s" in str(clinic.priors(LATER).reason)
    assert len(clinic.journal.jobs()) == 2


@pytest.mark.parametrize("way", ["move", "get"])
def test_half_a_scan_is_as_good_as_none(moving: Clinic, way: str) -> None:
    moving.peer = moving.peer.model_copy(update={"retrieve": way})
    moving.start()
    moving.archive(EARLIER)
    moving.pacs.behaviour.share_sent = 0.5
    moving.receive(LATER)
    moving.settle()

    given = moving.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert given.reason == f"series {EARLIER.series_uid}: 10 of 20 instances came from pacs"
    assert [record.job.series_uid for record in moving.journal.jobs()] == [LATER.series_uid]
    assert moving.journal.held(EARLIER.series_uid) == ()


def test_a_pacs_that_does_not_know_us_as_a_destination_refuses_the_move(moving: Clinic) -> None:
    moving.archive(EARLIER)
    moving.pacs.peers = {}
    moving.receive(LATER)
    moving.settle()

    given = moving.priors(LATER)
    assert given.search is PriorSearch.NOT_FETCHED
    assert given.reason == f"series {EARLIER.series_uid}: pacs: C-MOVE: status 0xA801"


def test_what_comes_after_a_move_was_given_up_is_not_analysed(moving: Clinic) -> None:
    moving.node = moving.node.model_copy(update={"priors_time_limit_s": 1.0})
    moving.start()
    moving.archive(EARLIER)
    moving.pacs.behaviour.sub_operation_delay_s = 0.15
    moving.receive(LATER)
    time.sleep(0.02)
    moving.searcher.step(time.time())
    moving.assemble(later_s=1.0)
    time.sleep(3.0)  # the PACS goes on sending over its own association
    moving.settle()

    assert moving.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert [record.job.series_uid for record in moving.journal.jobs()] == [LATER.series_uid]


def test_a_prior_that_came_by_halves_is_fetched_for_the_next_scan(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.pacs.behaviour.share_sent = 0.5
    clinic.receive(LATER)
    clinic.settle()
    clinic.pacs.behaviour.share_sent = 1.0
    newest = Scan(date="20261101")
    clinic.receive(newest)
    clinic.settle()

    assert clinic.keys_of_priors(newest) == [clinic.key(EARLIER), clinic.key(LATER)]
    assert clinic.keys_of_priors(LATER) == [clinic.key(EARLIER)]
    assert clinic.journal.jobs([JobState.SUPERSEDED])


# -- a whole history --


def test_a_history_that_only_the_pacs_has_comes_out_in_order(clinic: Clinic) -> None:
    scans = [Scan(date=date) for date in ("20240101", "20240601", "20250101", "20250601")]
    clinic.archive(*scans)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.keys_of_priors(LATER) == [clinic.key(scan) for scan in scans]
    assert clinic.keys_of_priors(scans[2]) == [clinic.key(scan) for scan in scans[:2]]


# -- files that are gone --


@pytest.mark.parametrize("is_there", [True, False])
def test_a_scan_whose_files_are_gone_is_fetched_to_be_compared_again(clinic: Clinic, is_there: bool) -> None:
    clinic.receive(LATER)
    clinic.settle()
    before = clinic.key(LATER)
    clinic.spool.remove_series(LATER.series_uid)
    clinic.journal.forget_series(LATER.series_uid)
    if not is_there:
        clinic.pacs.behaviour.share_sent = 0.5
    clinic.receive(EARLIER)
    clinic.settle()
    clinic.step()
    clinic.settle()

    assert (clinic.key(LATER) == before) is not is_there
    assert clinic.keys_of_priors(LATER) == ([clinic.key(EARLIER)] if is_there else [])
    acquisition = clinic.journal.acquisition(LATER.series_uid)
    assert acquisition is not None
    assert (acquisition.role, acquisition.is_complete) == (SENT, True)


def test_what_was_fetched_is_removed_when_it_is_old_and_found_again_when_it_is_wanted(clinic: Clinic) -> None:
    clinic.archive(EARLIER)
    clinic.archive_result(EARLIER.result(SEG, "1.9.7", READER))
    clinic.receive(LATER)
    clinic.settle()

    old = clinic.journal.committed_series(before=time.time() + 60)
    assert sorted(old) == [EARLIER.series_uid, "1.9.7.9"]
    assert clinic.journal.committed_series(before=time.time() - 60) == []
    assert LATER.series_uid not in old  # it was sent: its results must be committed first


def test_compressed_ct_comes_by_get_as_it_is(clinic: Clinic) -> None:
    for image in EARLIER.images():
        image.compress(RLELossless, generate_instance_uid=False)
        clinic.archive_result(image)
    clinic.receive(LATER)
    clinic.settle()

    assert clinic.keys_of_priors(LATER) == [clinic.key(EARLIER)]
    paths = clinic.spool.instance_paths(EARLIER.series_uid, EARLIER.uids)
    assert {dcmread(path).file_meta.TransferSyntaxUID for path in paths} == {RLELossless}
