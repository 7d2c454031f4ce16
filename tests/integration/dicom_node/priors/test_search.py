from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import RLELossless
from pynetdicom.association import Association

from dicom_node.identifiers import PRODUCT
from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.network.scp import StorageScp
from dicom_node.prior import PriorSearch
from tests.fixtures.dicom_node.removable import DAY_S, removable
from tests.fixtures.dicom_node.small_network import SEG, SR, Scan, SmallNetwork
from tests.fixtures.worker.multi_frame import converted, enhanced
from worker.demo.pacs import SmallPacs

EARLIER, LATER = Scan(date="20250110"), Scan(date="20260703")
READER = "Reader's workstation"


@pytest.fixture
def moving(tmp_path: Path, pacs: SmallPacs, journal: Journal) -> Iterator[SmallNetwork]:
    """A small network whose PACS sends by C-MOVE to the SCP of the node."""
    small_network = SmallNetwork(folder=tmp_path / "node", pacs=pacs, journal=journal, retrieve="move")
    node = small_network.node.model_copy(update={"port": 0})
    scp = StorageScp(
        node=node,
        peers=[small_network.peer],
        commitments=journal.commitments,
        receiver=small_network.receiver,
        on_report=lambda *_: 0,
    ).open()
    pacs.peers = {"LUNGNODE": ("127.0.0.1", scp.port)}
    yield small_network
    scp.close()


# -- fetched scans --


def test_a_prior_in_the_pacs_is_moved_here_and_analysed_first(moving: SmallNetwork) -> None:
    moving.archive(EARLIER)
    moving.receive(LATER)
    moving.step()
    moving.step()  # the fetched scan is searched for too, so that all scans are analysed in date order
    assert [record.job.series_uid for record in moving.journal.jobs.find()] == [EARLIER.series_uid]

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
    acquired = {scan.date: moving.journal.priors.acquisition(scan.series_uid) for scan in (EARLIER, LATER)}
    assert [acquired[scan.date].role for scan in (EARLIER, LATER)] == [FETCHED, SENT]  # type: ignore[union-attr]


def test_what_a_pacs_moves_without_naming_us_counts_as_fetched(
    moving: SmallNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PS3.7 9.1.1.1: Move Originator is not required of the sender; dcm4chee-arc-light leaves it out."""
    send = Association.send_c_store

    def without_originator(association: Association, dataset: Dataset, msg_id: int = 1, **_: object) -> Dataset:
        return send(association, dataset, msg_id)

    monkeypatch.setattr(Association, "send_c_store", without_originator)
    moving.archive(EARLIER)
    moving.receive(LATER)
    moving.run_until_idle()
    receiver = moving.peer.model_copy(update={"send_results": True})

    assert moving.prior_job_keys(LATER) == [moving.key(EARLIER)]
    assert moving.journal.deliveries.jobs_to_plan([receiver], with_backfill=False) == [moving.key(LATER)]


@pytest.mark.parametrize("key", ["StudyDate", "PatientID"])
def test_a_key_that_the_pacs_does_not_return_is_read_from_the_header(small_network: SmallNetwork, key: str) -> None:
    small_network.pacs.behaviour.unanswered_keys = frozenset({key})
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert [prior.series_uid for prior in small_network.priors(LATER).scans] == [EARLIER.series_uid]


@pytest.mark.parametrize("is_returned", [True, False])
@pytest.mark.parametrize("issuers", [("", "HOSPITAL"), ("HOSPITAL", "")], ids=["of the later", "of the earlier"])
def test_an_issuer_that_only_one_scan_names_contradicts_nothing(
    small_network: SmallNetwork, issuers: tuple[str, str], is_returned: bool
) -> None:
    if not is_returned:
        small_network.pacs.behaviour.unanswered_keys = frozenset({"IssuerOfPatientID"})
    earlier, later = (replace(scan, issuer=issuer) for scan, issuer in zip((EARLIER, LATER), issuers, strict=True))
    small_network.archive(earlier)
    small_network.receive(later)
    small_network.run_until_idle()

    assert small_network.priors(later).search is PriorSearch.FOUND
    assert small_network.prior_job_keys(later) == [small_network.key(earlier)]


def test_a_scan_without_issuer_is_not_compared_where_two_issuers_gave_the_id(small_network: SmallNetwork) -> None:
    """It may be of either patient. The reason says so, so that the report does not state that no prior exists."""
    other = Scan(date="20240101", issuer="ELSEWHERE")
    small_network.receive(other)
    small_network.run_until_idle()
    small_network.archive(EARLIER)
    small_network.receive(later := replace(LATER, issuer="HOSPITAL"))
    small_network.run_until_idle()

    given = small_network.priors(later)
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert "does not name the issuer of the patient ID" in str(given.reason)
    assert "HOSPITAL" not in str(given.reason)


def test_a_peer_configured_for_get_is_queried_by_get(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.prior_job_keys(LATER) == [small_network.key(EARLIER)]


def test_the_results_of_a_fetched_scan_are_delivered_only_with_backfill(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()
    receiver = small_network.peer.model_copy(update={"send_results": True})

    assert small_network.journal.deliveries.jobs_to_plan([receiver], with_backfill=False) == [small_network.key(LATER)]
    assert small_network.journal.deliveries.jobs_to_plan([receiver]) == sorted(
        [small_network.key(EARLIER), small_network.key(LATER)]
    )


def test_a_fetched_scan_that_a_scanner_sends_later_counts_as_sent(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()
    small_network.receive(EARLIER)
    receiver = small_network.peer.model_copy(update={"send_results": True})

    assert len(small_network.journal.deliveries.jobs_to_plan([receiver], with_backfill=False)) == 2


def test_a_received_prior_is_not_fetched_again(small_network: SmallNetwork) -> None:
    small_network.receive(EARLIER)
    small_network.run_until_idle()
    arrived = small_network.journal.series.instances(EARLIER.uids)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert {instance.calling_ae_title for instance in small_network.journal.series.instances(EARLIER.uids)} == {
        "SCANNER"
    }
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
def test_a_scan_that_is_not_a_prior_of_the_chest_is_not_fetched(small_network: SmallNetwork, other: Scan) -> None:
    small_network.archive(other)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.priors(LATER).search is PriorSearch.NONE_EXISTS
    assert small_network.journal.series.stored_uids(other.series_uid) == ()


def test_the_series_with_the_most_slices_is_fetched(small_network: SmallNetwork) -> None:
    thin = Scan(date=EARLIER.date, number=2, slices=30)
    small_network.archive(EARLIER, thin)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.prior_job_keys(LATER) == [small_network.key(thin)]
    assert small_network.journal.series.stored_uids(EARLIER.series_uid) == ()


# -- results --


def test_our_results_in_the_pacs_are_used_and_the_prior_is_not_analysed_again(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.archive_result(EARLIER.result(SEG, "1.9.1", PRODUCT))
    small_network.archive_result(EARLIER.result(SR, "1.9.2", PRODUCT, [(SEG, "1.9.1")]))
    small_network.receive(LATER)
    small_network.run_until_idle()

    (prior,) = small_network.priors(LATER).scans
    assert prior.job_key is None
    assert prior.results == (("1.9.1.9", "1.9.1"), ("1.9.2.9", "1.9.2"))
    assert len(prior.ct_uids) == EARLIER.slices
    assert [record.job.series_uid for record in small_network.journal.jobs.find()] == [LATER.series_uid]


def test_of_several_versions_of_our_report_the_one_with_most_references_is_used(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.archive_result(EARLIER.result(SEG, "1.9.1", PRODUCT))
    small_network.archive_result(EARLIER.result(SEG, "1.9.2", PRODUCT))
    small_network.archive_result(EARLIER.result(SR, "1.9.4", PRODUCT, [(SEG, "1.9.1"), (SR, "1.8.1")]))
    small_network.archive_result(EARLIER.result(SR, "1.9.5", PRODUCT, [(SEG, "1.9.2")]))
    small_network.receive(LATER)
    small_network.run_until_idle()

    (prior,) = small_network.priors(LATER).scans
    assert [uid for _, uid in prior.results] == ["1.9.1", "1.9.4"]


def test_a_readers_results_are_used_in_addition_to_our_job(small_network: SmallNetwork) -> None:
    small_network.receive(EARLIER)
    small_network.run_until_idle()
    before = small_network.key(EARLIER)
    small_network.archive_result(EARLIER.result(SEG, "1.9.7", READER))
    small_network.archive_result(EARLIER.result(SEG, "1.9.8", PRODUCT))
    small_network.receive(LATER)
    small_network.run_until_idle()

    (prior,) = small_network.priors(LATER).scans
    assert (prior.job_key, prior.results) == (before, (("1.9.7.9", "1.9.7"),))


def test_results_are_used_when_the_pacs_no_longer_has_the_ct(small_network: SmallNetwork) -> None:
    small_network.archive_result(EARLIER.result(SEG, "1.9.1", PRODUCT))
    small_network.archive_result(EARLIER.result(SR, "1.9.2", PRODUCT, [(SEG, "1.9.1")]))
    small_network.receive(LATER)
    small_network.run_until_idle()

    given = small_network.priors(LATER)
    assert given.search is PriorSearch.FOUND
    assert [(prior.series_uid, prior.ct_uids, len(prior.results)) for prior in given.scans] == [
        (EARLIER.series_uid, (), 2)
    ]


def test_a_ct_above_the_size_limit_is_skipped_and_its_results_are_used(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"priors_size_limit_mb": 9})
    small_network.start()
    small_network.archive(EARLIER)
    small_network.archive_result(EARLIER.result(SEG, "1.9.1", PRODUCT))
    small_network.receive(LATER)
    small_network.run_until_idle()

    given = small_network.priors(LATER)
    assert [(prior.ct_uids, len(prior.results)) for prior in given.scans] == [((), 1)]
    assert given.reason == f"series {EARLIER.series_uid}, 20 slices, was skipped: node.priors_size_limit_mb is 9"


def test_a_ct_above_the_size_limit_without_results_is_not_fetched(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"priors_size_limit_mb": 0})
    small_network.start()
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert "node.priors_size_limit_mb is 0" in str(small_network.priors(LATER).reason)


def test_nothing_is_fetched_where_it_would_take_the_space_of_what_was_received(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"priors_size_limit_mb": 10**9})
    small_network.start()
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.run_until_idle()

    given = small_network.priors(LATER)
    assert given.search is PriorSearch.NOT_FETCHED
    assert str(given.reason).startswith("nothing is fetched: ")
    assert small_network.spool.series_uids() == [LATER.series_uid]


# -- multi-frame images --


@pytest.mark.parametrize("make", [enhanced, converted])
def test_a_prior_in_one_multi_frame_image_is_fetched_and_used(
    make: Callable[[list[Dataset]], Dataset], small_network: SmallNetwork
) -> None:
    image = make(EARLIER.images())
    small_network.archive_result(image)
    small_network.receive(LATER)
    small_network.run_until_idle()

    (prior,) = small_network.priors(LATER).scans
    assert (prior.series_uid, prior.ct_uids) == (EARLIER.series_uid, (image.SOPInstanceUID,))
    (fetched,) = small_network.spool.instance_paths(prior.series_uid, prior.ct_uids)
    assert dcmread(fetched).NumberOfFrames == EARLIER.slices


def test_a_multi_frame_image_counts_by_its_frames(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"priors_size_limit_mb": 9})
    small_network.start()
    small_network.archive_result(enhanced(EARLIER.images()))
    small_network.archive_result(enhanced(Scan(date=EARLIER.date, number=2, slices=19).images(), uid="1.2.5.2"))
    small_network.receive(LATER)
    small_network.run_until_idle()

    reason = small_network.priors(LATER).reason
    assert reason == f"series {EARLIER.series_uid}, 20 slices, was skipped: node.priors_size_limit_mb is 9"


# -- patient identity --


@pytest.mark.parametrize("other", [{"birth_date": "19770707"}, {"sex": "M"}], ids=str)
def test_two_patients_with_one_id_are_not_mixed(small_network: SmallNetwork, other: dict[str, str]) -> None:
    other_patient = Scan(date=EARLIER.date, number=7, **other)  # type: ignore[arg-type]
    small_network.archive(other_patient)
    small_network.receive(LATER)
    small_network.run_until_idle()

    given = small_network.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NONE_EXISTS, ())
    assert given.reason == "1 studies or series of the same patient ID belong to other patients"
    assert small_network.journal.series.stored_uids(other_patient.series_uid) == ()


def test_a_search_aborted_by_the_end_of_the_node_is_repeated(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.receive(LATER)
    small_network.pacs.behaviour.find_delay_s = 5.0
    ending = threading.Timer(0.5, small_network.searcher.stop)
    ending.start()
    time.sleep(0.02)
    small_network.searcher.step(time.time())
    ending.join()
    assert small_network.journal.priors.search_of(LATER.series_uid) is None

    small_network.pacs.behaviour.find_delay_s = 0.0
    small_network.start()
    small_network.run_until_idle()

    assert small_network.prior_job_keys(LATER) == [small_network.key(EARLIER)]


def test_without_birth_dates_from_the_pacs_patients_are_distinguished_by_headers(small_network: SmallNetwork) -> None:
    small_network.pacs.behaviour.unanswered_keys = frozenset({"PatientBirthDate", "PatientSex", "ModalitiesInStudy"})
    other_patient = Scan(date="20250505", birth_date="19770707")
    small_network.archive(EARLIER, other_patient)
    small_network.archive_result(other_patient.result(SEG, "1.9.1", PRODUCT))
    small_network.receive(LATER)
    small_network.run_until_idle()

    given = small_network.priors(LATER)
    assert [prior.series_uid for prior in given.scans] == [EARLIER.series_uid]
    assert given.reason == "2 studies or series of the same patient ID belong to other patients"
    assert small_network.journal.series.stored_uids(other_patient.series_uid) == ()
    assert not (small_network.spool.inbox / other_patient.series_uid).exists()


def test_a_patient_id_with_a_wild_card_matches_its_own_patient_only(small_network: SmallNetwork) -> None:
    small_network.archive(Scan(date=EARLIER.date, patient_id="SECRET-ID"))
    scan = Scan(date=LATER.date, patient_id="SECRET-*")
    small_network.receive(scan)
    small_network.run_until_idle()

    assert small_network.priors(scan).search is PriorSearch.NONE_EXISTS


def test_the_search_logs_no_patient_data(small_network: SmallNetwork, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    small_network.archive(EARLIER, Scan(date="20250505", birth_date="19770707"))
    small_network.archive_result(EARLIER.result(SEG, "1.9.1", READER))
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert any(f"series {LATER.series_uid}: priors found" in line for line in caplog.messages)
    assert "SECRET" not in caplog.text


# -- peers that fail --


def test_a_pacs_that_is_down_delays_nothing(small_network: SmallNetwork) -> None:
    small_network.receive(LATER)
    small_network.pacs.stop()
    small_network.step()

    given = small_network.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert str(given.reason).startswith("pacs: no association with 127.0.0.1")


def test_a_pacs_that_failed_is_not_queried_again_at_once(small_network: SmallNetwork) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_server:  # accepts connections and sends nothing
        small_network.peer = small_network.peer.model_copy(update={"port": silent_server.getsockname()[1]})
        small_network.start()
        scans = [Scan(date=f"2026010{n}", patient_id=f"SECRET-{n}") for n in range(1, 5)]
        small_network.receive(*scans)
        small_network.step()
        silent_server.setblocking(False)
        calls = [silent_server.accept()[0]]
        with contextlib.suppress(BlockingIOError):
            calls.append(silent_server.accept()[0])
        for call in calls:
            call.close()

    assert len(calls) == 1
    assert [small_network.priors(scan).search for scan in scans] == [PriorSearch.NOT_FETCHED] * 4
    reasons = [str(small_network.priors(scan).reason) for scan in scans]
    assert sorted(reason.endswith(", less than 30 s ago") for reason in reasons) == [False, True, True, True]


def test_a_slow_pacs_is_given_up_at_the_limit_for_all_waiting_series(small_network: SmallNetwork) -> None:
    small_network.node = small_network.node.model_copy(update={"priors_time_limit_s": 1.5})
    small_network.start()
    small_network.archive(EARLIER)
    small_network.pacs.behaviour.find_delay_s = 20.0
    small_network.receive(LATER, Scan(date="20260801", patient_id="SECRET-2"))
    started = time.monotonic()
    small_network.searcher.step(time.time() + 1)
    small_network.assemble(later_s=2.0)

    assert time.monotonic() - started < 15
    assert small_network.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert "within 1.5 s" in str(small_network.priors(LATER).reason)
    assert len(small_network.journal.jobs.find()) == 2


@pytest.mark.parametrize("method", ["move", "get"])
def test_an_incomplete_prior_is_not_used(moving: SmallNetwork, method: str) -> None:
    moving.peer = moving.peer.model_copy(update={"retrieve": method})
    moving.start()
    moving.archive(EARLIER)
    moving.pacs.behaviour.fraction_sent = 0.5
    moving.receive(LATER)
    moving.run_until_idle()

    given = moving.priors(LATER)
    assert (given.search, given.scans) == (PriorSearch.NOT_FETCHED, ())
    assert given.reason == f"series {EARLIER.series_uid}: 10 of 20 instances received from pacs"
    assert [record.job.series_uid for record in moving.journal.jobs.find()] == [LATER.series_uid]
    assert moving.journal.series.stored_uids(EARLIER.series_uid) == ()


def test_a_move_to_our_ae_title_unknown_to_the_pacs_is_refused(moving: SmallNetwork) -> None:
    moving.archive(EARLIER)
    moving.pacs.peers = {}
    moving.receive(LATER)
    moving.run_until_idle()

    given = moving.priors(LATER)
    assert given.search is PriorSearch.NOT_FETCHED
    assert given.reason == f"series {EARLIER.series_uid}: pacs: C-MOVE: status 0xA801"


def test_instances_that_arrive_after_an_aborted_move_are_not_analysed(moving: SmallNetwork) -> None:
    moving.node = moving.node.model_copy(update={"priors_time_limit_s": 1.0})
    moving.start()
    moving.archive(EARLIER)
    moving.pacs.behaviour.sub_operation_delay_s = 0.15
    moving.receive(LATER)
    time.sleep(0.02)
    moving.searcher.step(time.time())
    moving.assemble(later_s=1.0)
    time.sleep(3.0)  # the PACS continues to send over its own association
    moving.run_until_idle()

    assert moving.priors(LATER).search is PriorSearch.NOT_FETCHED
    assert [record.job.series_uid for record in moving.journal.jobs.find()] == [LATER.series_uid]


def test_an_incomplete_prior_is_fetched_again_for_the_next_scan(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.pacs.behaviour.fraction_sent = 0.5
    small_network.receive(LATER)
    small_network.run_until_idle()
    small_network.pacs.behaviour.fraction_sent = 1.0
    newest = Scan(date="20261101")
    small_network.receive(newest)
    small_network.run_until_idle()

    assert small_network.prior_job_keys(newest) == [small_network.key(EARLIER), small_network.key(LATER)]
    assert small_network.prior_job_keys(LATER) == [small_network.key(EARLIER)]
    assert small_network.journal.jobs.find([JobState.SUPERSEDED])


# -- several priors --


def test_priors_in_the_pacs_are_analysed_in_date_order(small_network: SmallNetwork) -> None:
    scans = [Scan(date=date) for date in ("20240101", "20240601", "20250101", "20250601")]
    small_network.archive(*scans)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.prior_job_keys(LATER) == [small_network.key(scan) for scan in scans]
    assert small_network.prior_job_keys(scans[2]) == [small_network.key(scan) for scan in scans[:2]]


# -- deleted files --


@pytest.mark.parametrize("is_in_pacs", [True, False])
def test_a_scan_whose_files_were_deleted_is_retrieved_to_be_compared_again(
    small_network: SmallNetwork, is_in_pacs: bool
) -> None:
    small_network.receive(LATER)
    small_network.run_until_idle()
    before = small_network.key(LATER)
    small_network.spool.remove_series(LATER.series_uid)
    small_network.journal.series.forget(LATER.series_uid)
    if not is_in_pacs:
        small_network.pacs.behaviour.fraction_sent = 0.5
    small_network.receive(EARLIER)
    small_network.run_until_idle()
    small_network.step()
    small_network.run_until_idle()

    assert (small_network.key(LATER) == before) is not is_in_pacs
    assert small_network.prior_job_keys(LATER) == ([small_network.key(EARLIER)] if is_in_pacs else [])
    acquisition = small_network.journal.priors.acquisition(LATER.series_uid)
    assert acquisition is not None
    assert (acquisition.role, acquisition.is_complete) == (SENT, True)


def test_old_fetched_series_may_be_removed_without_commitment(small_network: SmallNetwork) -> None:
    small_network.archive(EARLIER)
    small_network.archive_result(EARLIER.result(SEG, "1.9.7", READER))
    small_network.receive(LATER)
    small_network.run_until_idle()

    # LATER was SENT: its results must be committed first.
    assert removable(small_network.journal, time.time() + 14 * DAY_S + 60) == {EARLIER.series_uid, "1.9.7.9"}
    assert removable(small_network.journal, time.time() + 14 * DAY_S - 60) == set()


def test_compressed_ct_is_retrieved_by_get_unchanged(small_network: SmallNetwork) -> None:
    for image in EARLIER.images():
        image.compress(RLELossless, generate_instance_uid=False)
        small_network.archive_result(image)
    small_network.receive(LATER)
    small_network.run_until_idle()

    assert small_network.prior_job_keys(LATER) == [small_network.key(EARLIER)]
    paths = small_network.spool.instance_paths(EARLIER.series_uid, EARLIER.uids)
    assert {dcmread(path).file_meta.TransferSyntaxUID for path in paths} == {RLELossless}
