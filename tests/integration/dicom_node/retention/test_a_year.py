"""A year of a small site by the clock, and what is left of it on the disk.

RETENTION_SERIES=200 python -m pytest tests/integration/dicom_node/retention/test_a_year.py runs it with 200 series.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage, SegmentationStorage

from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.jobs import enqueue, make_celery
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.priors.patient_identity import identity_of
from dicom_node.queue.redis_server import forget_messages, redis_url, server_command, wait_until_ready, waiting_messages
from dicom_node.retention.clean_up import CleanUp
from dicom_node.retention.erase import Eraser, Patient
from dicom_node.retention.settings import RetentionSettings
from dicom_node.series import Document, Instance, Series, images_sha256
from dicom_node.settings import NodeSettings, Peer, QueueSettings
from dicom_node.storage.spool import Spool, patient_salt
from tests.fixtures.ct_image import ct_image
from tests.fixtures.dicom_node.audit_reader import Received, read_trail

COUNT = int(os.environ.get("RETENTION_SERIES", "24"))
DAY_S, YEAR_S = 86400.0, 365 * 86400.0
PATIENTS = 7
WEEK = RetentionSettings(**dict.fromkeys(RetentionSettings.model_fields, 7))
PACS = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=104, send_results=True)
FATES = ("committed", "rejected", "failed", "superseded", "undelivered", "fetched", "unselected", "queued")
WITH_RESULTS = ("committed", "superseded", "undelivered")
WITHOUT_JOB = ("fetched", "unselected")
DOCUMENTS = {"seg.dcm": SegmentationStorage, "sr.dcm": ComprehensiveSRStorage}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A series of the year, of which everything happens when it arrives."""

    number: int
    at: float

    @property
    def fate(self) -> str:
        return FATES[self.number % len(FATES)]

    @property
    def patient(self) -> int:
        return self.number % PATIENTS

    @property
    def uid(self) -> str:
        return f"1.2.826.0.77.{self.number}"

    @property
    def study_uid(self) -> str:
        return f"{self.uid}.0"

    @property
    def uids(self) -> tuple[str, ...]:
        return tuple(f"{self.uid}.{number}" for number in (1, 2))

    @property
    def waits(self) -> bool:
        return self.fate in ("undelivered", "queued")

    @property
    def is_kept(self) -> bool:
        """What waits is kept for ever, the rest for a week."""
        return self.waits or YEAR_S - self.at <= 7 * DAY_S

    @property
    def marks(self) -> tuple[bytes, bytes]:
        """Patient ID and name."""
        return f"MARKED-ID-{self.patient}-".encode(), f"MARKED^NAME-{self.patient}-".encode()


def arrivals() -> list[Arrival]:
    """Two thirds arrive in the year before, one third in its last week."""
    early = np.linspace(0.0, YEAR_S - 8 * DAY_S, COUNT - COUNT // 3)
    late = np.linspace(YEAR_S - 6 * DAY_S, YEAR_S - DAY_S, COUNT // 3)
    return [Arrival(number=number, at=float(at)) for number, at in enumerate([*early, *late])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A data directory with a journal, whose clock is the caller's."""

    folder: Path
    journal: Journal
    spool: Spool
    audit: AuditTrail

    def receive(self, one: Arrival) -> None:
        for number, uid in enumerate(one.uids, start=1):
            self.write(self.spool.inbox / one.uid / f"{uid}.dcm", one, number)
        self.journal.priors.record_acquisition(self.acquisition(one))
        received = [_instance(one, uid) for uid in one.uids]
        self.journal.series.record_instances(received, one.at, is_fetched=one.fate == "fetched")
        found = Series(
            series_uid=one.uid,
            study_uid=one.study_uid,
            sop_instance_uids=one.uids,
            images_sha256=images_sha256(one.uid, self.journal.series.data_sets(one.uid).items()),
            last_arrival=one.at,
        )
        if one.fate == "unselected":
            self.journal.selections.decide(None, [found])
        elif one.fate == "fetched":
            self.journal.series.mark_done(one.uid)
        else:
            self.run(one, found)

    def run(self, one: Arrival, found: Series) -> None:
        key = self.queue(found, "config", one.at)
        if one.fate == "queued":
            return
        leases = self.journal.leases
        assert leases.claim(key, "worker", one.at + 60, one.at)
        if one.fate == "failed":
            leases.release(key, "worker", "ValueError", one.at, max_attempts=1)
        elif one.fate == "rejected":
            leases.mark_rejected(key, "worker", "a gap", one.at)
        else:
            leases.mark_analysed(key, "worker", self.results(one, key), one.at)
            self.journal.deliveries.ensure(key, [PACS], one.at)
        if one.fate == "committed":
            for delivery in self.journal.deliveries.of_job(key):
                self.journal.deliveries.mark_stored(delivery, one.at)
        if one.fate == "superseded":  # by a job that another series of the study replaced in turn
            again = self.queue(found, "other", one.at)
            leases.claim(again, "worker", one.at + 60, one.at)
            leases.put_back(again, "worker", "cut lungs", 1.0, one.at)

    def queue(self, found: Series, config_hash: str, now: float) -> str:
        job = self.journal.jobs.create(found, config_hash, now)
        assert job is not None
        return job.job_key

    def results(self, one: Arrival, key: str) -> list[Document]:
        for number, name in enumerate(DOCUMENTS, start=8):
            self.write(self.spool.outbox / key / name, one, number)
        (self.spool.outbox / key / "findings.json").write_bytes(one.marks[0])
        return [
            Document(sop_class_uid=sop_class, sop_instance_uid=f"{one.uid}.{number}", file_name=name)
            for number, (name, sop_class) in enumerate(DOCUMENTS.items(), start=8)
        ]

    def write(self, path: Path, one: Arrival, number: int) -> None:
        path.parent.mkdir(exist_ok=True)
        dcmwrite(path, _image(one, number), enforce_file_format=True)

    def acquisition(self, one: Arrival) -> AcquisitionRecord:
        key = identity_of(_image(one, 1)).patient_key(patient_salt(self.folder))
        return AcquisitionRecord(
            series_uid=one.uid,
            study_uid=one.study_uid,
            patient_key=key,
            person_key=key,
            acquired_on="20260101000000",
            role=FETCHED if one.fate == "fetched" else SENT,
            is_complete=True,
            read_at=one.at,
        )

    @property
    def clean_up(self) -> CleanUp:
        node = NodeSettings(data_dir=self.folder)
        journal, spool, audit = self.journal, self.spool, self.audit
        return CleanUp(settings=WEEK, peers=[PACS], node=node, journal=journal, spool=spool, audit=audit)

    def deletions(self) -> list[Received]:
        return [message for message in read_trail(self.folder / "audit") if message.event == "DICOM Study Deleted"]

    def files(self) -> set[str]:
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}

    def holding(self, *marks: bytes) -> list[str]:
        """The files that hold one of these texts in their content or path; the audit trail may hold study UIDs."""
        return [name for name in sorted(self.files()) if any(mark in self.content(name) for mark in marks)]

    def content(self, name: str) -> bytes:
        content = (self.folder / name).read_bytes()
        if name.startswith("audit/"):
            for one in arrivals():
                content = content.replace(f'"{one.study_uid}"'.encode(), b"")
        return name.encode() + content


def _image(one: Arrival, number: int) -> Dataset:
    image = ct_image(np.zeros((4, 4), np.uint16), number, (0, 0, number), series_uid=one.uid)
    image.PatientID, image.PatientName = (mark.decode() for mark in one.marks)
    image.StudyInstanceUID = one.study_uid
    image.PatientBirthDate, image.PatientSex, image.StudyDate = "19500101", "F", "20260101"
    return image


def _instance(one: Arrival, uid: str) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid=CTImageStorage,
        series_uid=one.uid,
        study_uid=one.study_uid,
        calling_ae_title="SENDER",
        data_set_sha256="ab",
    )


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site after a year, cleaned up whenever a series arrives and at the end."""
    folder = tmp_path_factory.mktemp("year")
    with Journal(f"sqlite:///{folder}/journal.db") as journal:
        audit = AuditTrail(AuditSettings(), NodeSettings(data_dir=folder))
        site = Site(folder=folder, journal=journal, spool=Spool(folder), audit=audit)
        for one in arrivals():
            site.receive(one)
            site.clean_up.step(one.at)
        site.clean_up.step(YEAR_S)
        yield site


def test_after_a_year_the_disk_holds_what_the_configuration_says_to_the_file(year: Site) -> None:
    kept = {one.uid: one for one in arrivals() if one.is_kept}
    inbox = {f"inbox/{one.uid}/{uid}.dcm" for one in kept.values() for uid in one.uids}
    keys = [
        record.job.job_key
        for record in year.journal.jobs.find()
        if record.job.series_uid in kept and kept[record.job.series_uid].fate in WITH_RESULTS
        if record.job.config_hash == "config"
    ]
    outbox = {f"outbox/{key}/{name}" for key in keys for name in (*DOCUMENTS, "findings.json")}

    audit = {name for name in year.files() if name.startswith("audit/")}
    assert audit
    assert year.files() - audit == inbox | outbox | {"journal.db", "journal.db-wal", "journal.db-shm", ".salt"}
    assert {one.fate for one in kept.values()} == set(FATES)
    assert len(kept) < COUNT


def test_each_study_of_which_something_was_removed_is_audited_with_the_rule(year: Site) -> None:
    rules = {
        "committed": "retention.committed_days, retention.results_days",
        "rejected": "retention.rejected_days",
        "failed": "retention.failed_days",
        "superseded": "retention.superseded_days",
        "fetched": "retention.priors_days",
        "unselected": "retention.unselected_days",
    }

    told = [(message.study_uid, message.text("//EventOutcomeDescription/text()")) for message in year.deletions()]

    assert sorted(told) == sorted((one.study_uid, rules[one.fate]) for one in arrivals() if not one.is_kept)


def test_a_removal_is_audited_with_the_patient_where_that_is_configured(tmp_path: Path) -> None:
    audit = AuditTrail(AuditSettings(patient_ids=True), NodeSettings(data_dir=tmp_path))
    one = Arrival(number=0, at=0.0)
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        site = Site(folder=tmp_path, journal=journal, spool=Spool(tmp_path), audit=audit)
        site.receive(one)
        site.clean_up.step(8 * DAY_S)

    (told,) = site.deletions()
    assert (told.study_uid, told.patient_id.encode()) == (one.study_uid, one.marks[0])


def test_the_records_of_a_patient_are_kept_until_nothing_of_him_is_stored(year: Site) -> None:
    expected: dict[int, set[str]] = {patient: set() for patient in range(PATIENTS)}
    for now in [*(one.at for one in arrivals()), YEAR_S]:  # what each clean-up finds
        arrived = [one for one in arrivals() if one.at <= now]
        stored = {one.patient for one in arrived if one.waits or now - one.at <= 7 * DAY_S}
        for one in arrived:
            if one.at == now and one.fate not in WITHOUT_JOB:
                expected[one.patient].add(one.uid)
        for patient in expected.keys() - stored:
            expected[patient].clear()

    recorded = {record.job.series_uid for record in year.journal.jobs.find()}

    assert recorded == set().union(*expected.values())
    assert len(recorded) > len({one.uid for one in arrivals() if one.is_kept and one.fate not in WITHOUT_JOB})


def test_after_erase_no_byte_of_a_patient_is_left_and_others_keep_theirs(year: Site) -> None:
    """The patient has series, results, rows, messages in Redis, and a job whose worker has left a hidden folder."""
    queued = next(one for one in arrivals() if one.fate == "queued")
    own = [one for one in arrivals() if one.patient == queued.patient]
    (job,) = [record.job for record in year.journal.jobs.find() if record.job.series_uid == queued.uid]
    marks = [*queued.marks, *(f"{one.uid}.".encode() for one in own), job.job_key.encode()]
    year.write(year.spool.outbox / f".{job.job_key}.x" / "sr.dcm", queued, 9)
    before = year.files()

    with _redis(year.folder) as url:
        app = make_celery(url)
        for record in year.journal.jobs.find():
            enqueue(app, record.job)
        messages = waiting_messages(url)
        assert {name.split("/")[0] for name in year.holding(*marks)} >= {"inbox", "outbox", "redis"}
        eraser = Eraser(
            journal=year.journal,
            spool=year.spool,
            audit=year.audit,
            salt=patient_salt(year.folder),
            forget_messages=lambda job_keys: forget_messages(url, job_keys),
            worker_time_limit_s=0.3,
        )
        found = eraser.find(Patient(patient_id=queued.marks[0].decode()))
        told = len(year.deletions())
        eraser.erase(found)
        assert waiting_messages(url) == messages - len(found.job_keys)
        app.close()

        assert year.holding(*marks, *(key.encode() for key in found.job_keys)) == []
    erased = [message.study_uid for message in year.deletions()[told:]]
    assert sorted(erased) == sorted(one.study_uid for one in own if one.uid in found.series_uids)
    assert {one.uid for one in own if one.is_kept} <= found.series_uids <= {one.uid for one in own}
    gone = before - year.files()
    assert gone
    assert all(any(name in file for name in (*found.series_uids, *found.job_keys)) for file in gone)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    url = redis_url(QueueSettings(), folder)
    server = subprocess.Popen(server_command(folder))
    assert wait_until_ready(url, 10)
    yield url
    server.terminate()
    server.wait()
