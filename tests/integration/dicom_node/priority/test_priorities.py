"""How urgent jobs are, and in which order workers take them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite

from dicom_node.jobs import JobState, Priority
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.priority.priorities import Priorities
from dicom_node.priority.settings import PriorityRule, PrioritySettings
from dicom_node.queue.reconciler import Reconciler
from dicom_node.series import Instance, Series, images_sha256
from dicom_node.settings import Peer, QueueSettings
from dicom_node.storage.spool import Spool
from tests.fixtures.ct_image import ct_image

KEY = "ab" * 32
EMERGENCY = Peer(name="emergency", ae_title="EMERGENCY", host="h", port=1, may_send=True, priority="high")
RULES = (PriorityRule(element="RequestedProcedurePriority", matches="STAT", then="stat"),)


@pytest.fixture
def site(tmp_path: Path, journal: Journal) -> Priorities:
    settings = PrioritySettings(rules=RULES)
    return Priorities(settings=settings, peers=[EMERGENCY], journal=journal, spool=Spool(tmp_path))


def receive(site: Priorities, uid: str, *, sender: str = "CT1", stat: bool = False, role: str = SENT) -> Series:
    image = ct_image(np.zeros((4, 4), np.uint16), 1, (0, 0, 0), series_uid=uid)
    if stat:
        image.RequestedProcedurePriority = "STAT"
    path = site.spool.instance_path(uid, f"{uid}.1")
    path.parent.mkdir()
    dcmwrite(path, image, enforce_file_format=True)
    received = Instance(
        sop_instance_uid=f"{uid}.1",
        sop_class_uid=image.SOPClassUID,
        series_uid=uid,
        study_uid=f"{uid}.0",
        calling_ae_title=sender,
        data_set_sha256="ab",
    )
    acquisition = AcquisitionRecord(
        series_uid=uid,
        study_uid=f"{uid}.0",
        patient_key=KEY,
        person_key=KEY,
        acquired_on="20260101000000",
        role=role,
        is_complete=True,
        read_at=0.0,
    )
    site.journal.priors.record_acquisition(acquisition)
    site.journal.series.record_instances([received], 0.0, is_fetched=role == FETCHED)
    return Series(series_uid=uid, study_uid=f"{uid}.0", sop_instance_uids=(f"{uid}.1",))


def queue(journal: Journal, uid: str, priority: Priority, now: float) -> str:
    received = Instance(
        sop_instance_uid=f"{uid}.1",
        sop_class_uid="1.2",
        series_uid=uid,
        study_uid="1",
        calling_ae_title="CT1",
        data_set_sha256="ab",
    )
    journal.series.record_instances([received], now)
    images = images_sha256(uid, [(f"{uid}.1", "ab")])
    found = Series(series_uid=uid, study_uid="1", sop_instance_uids=(f"{uid}.1",), images_sha256=images)
    job = journal.jobs.create(found, "config", now, priority=priority)
    assert job is not None
    return job.job_key


def test_a_rule_decides_before_the_sender_and_the_sender_before_routine(site: Priorities) -> None:
    assert site.of(receive(site, "1.1")) is Priority.ROUTINE
    assert site.of(receive(site, "1.2", sender="EMERGENCY")) is Priority.HIGH
    assert site.of(receive(site, "1.3", sender="EMERGENCY", stat=True)) is Priority.STAT


def test_a_fetched_scan_is_low_unless_a_stat_scan_waits_for_it(site: Priorities) -> None:
    prior = receive(site, "1.1", stat=True, role=FETCHED)
    assert site.of(prior) is Priority.LOW
    receive(site, "1.2")
    assert site.of(prior) is Priority.LOW
    receive(site, "1.3", stat=True)
    assert site.of(prior) is Priority.STAT


def test_a_worker_takes_the_most_urgent_job_whose_message_waits_whatever_message_it_got(journal: Journal) -> None:
    low, routine, later, stat, unsent = (
        queue(journal, f"1.{number}", priority, float(number))
        for number, priority in enumerate(
            [Priority.LOW, Priority.ROUTINE, Priority.ROUTINE, Priority.STAT, Priority.STAT]
        )
    )
    for key in (low, routine, later, stat):
        journal.jobs.mark_enqueued(key, 100.0)

    taken = [journal.leases.claim_most_urgent(key, "worker", 60.0, 10.0) for key in (low, routine, later, stat)]

    assert taken == [stat, routine, later, low]
    assert journal.leases.claim_most_urgent(low, "worker", 60.0, 10.0) is None
    assert journal.leases.claim_most_urgent(unsent, "worker", 60.0, 10.0) == unsent


def test_a_job_that_was_put_back_with_a_pause_is_not_taken_for_the_message_of_another(journal: Journal) -> None:
    stat, other = queue(journal, "1.1", Priority.STAT, 0.0), queue(journal, "1.2", Priority.ROUTINE, 0.0)
    for key in (stat, other):
        journal.jobs.mark_enqueued(key, 100.0)
    assert journal.leases.claim_most_urgent(other, "worker", 60.0, 1.0) == stat
    journal.leases.release(stat, "worker", "ConfigMismatch", 2.0, None, pause_s=30.0)

    assert journal.leases.claim_most_urgent(stat, "another", 60.0, 3.0) == stat
    journal.leases.release(stat, "another", "ConfigMismatch", 3.0, None, pause_s=30.0)
    assert journal.leases.claim_most_urgent(other, "worker", 60.0, 3.0) == other


def test_held_jobs_are_neither_sent_nor_taken_and_come_when_their_hours_come(journal: Journal) -> None:
    low, routine = queue(journal, "1.1", Priority.LOW, 0.0), queue(journal, "1.2", Priority.ROUTINE, 0.0)
    sent: list[str] = []
    night: set[Priority] = {Priority.LOW}
    reconciler = Reconciler(
        journal.jobs, lambda job: sent.append(job.job_key), QueueSettings(), held=lambda _: frozenset(night)
    )
    reconciler.step(1.0)
    assert sent == [routine]
    assert journal.leases.claim_most_urgent(low, "worker", 60.0, 1.0, held=night) == routine
    assert journal.leases.claim_most_urgent(low, "worker", 60.0, 1.0, held=night) is None

    night.clear()
    reconciler.step(2.0)

    assert sent == [routine, low]


def test_a_job_that_a_person_makes_urgent_is_taken_next(journal: Journal) -> None:
    first, second = queue(journal, "1.1", Priority.ROUTINE, 0.0), queue(journal, "1.2", Priority.LOW, 0.0)
    for key in (first, second):
        journal.jobs.mark_enqueued(key, 100.0)
    journal.jobs.prioritise(second, Priority.STAT)

    assert journal.leases.claim_most_urgent(first, "worker", 60.0, 1.0) == second
    assert journal.jobs.get(second).priority is Priority.STAT
    assert journal.jobs.get(second).state is JobState.RUNNING
