"""A small clinic for the tests of priors: a PACS, a node's parts stepped by hand, and a worker that writes results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom import Sequence as Items
from pydicom.uid import ComprehensiveSRStorage, SegmentationStorage, generate_uid

from dicom_node.assembler import assemble
from dicom_node.history import History
from dicom_node.intake import Arrival, Intake
from dicom_node.jobs import JobState, job_key
from dicom_node.journal import JobRecord, Journal
from dicom_node.prior_search import PriorSearcher
from dicom_node.priors import Priors
from dicom_node.retrieval import make_source, take
from dicom_node.series import Document
from dicom_node.settings import NodeSettings, Peer
from dicom_node.spool import Spool
from tests.conftest import make_ct_instance
from worker.demo.pacs import SmallPacs

SEG, SR = str(SegmentationStorage), str(ComprehensiveSRStorage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One CT series of one study."""

    date: str
    patient_id: str = "SECRET-ID"
    birth_date: str = "19500101"
    sex: str = "F"
    slices: int = 20
    number: int = 1
    """Of the series in its study."""
    description: str = "SECRET CHEST"

    @property
    def study_uid(self) -> str:
        return f"1.2.{self.date}.{self.birth_date or 0}"

    @property
    def series_uid(self) -> str:
        return f"{self.study_uid}.{self.number}"

    @property
    def uids(self) -> tuple[str, ...]:
        return tuple(f"{self.series_uid}.{number}" for number in range(1, self.slices + 1))

    def mark(self, header: Dataset) -> Dataset:
        """Write the patient and the study into a header."""
        header.PatientID, header.PatientBirthDate, header.PatientSex = self.patient_id, self.birth_date, self.sex
        header.StudyInstanceUID, header.StudyDate, header.StudyTime = self.study_uid, self.date, "101500"
        header.StudyDescription = self.description
        return header

    def images(self) -> list[Dataset]:
        images = [make_ct_instance(number, self.series_uid, size=4) for number in range(1, self.slices + 1)]
        return [self.mark(image) for image in images]

    def result(
        self, sop_class_uid: str, uid: str, manufacturer: str, refers_to: Sequence[tuple[str, str]] = ()
    ) -> Dataset:
        """A SEG or SR as far as its header goes, about this scan; its pixels and its content are left out."""
        result = self.mark(make_ct_instance(1, f"{uid}.9", size=4))
        result.SOPClassUID = result.file_meta.MediaStorageSOPClassUID = sop_class_uid
        result.SOPInstanceUID = result.file_meta.MediaStorageSOPInstanceUID = uid
        result.Modality = "SEG" if sop_class_uid == SEG else "SR"
        result.Manufacturer = manufacturer
        series, ct = Dataset(), Dataset()
        ct.ReferencedSOPClassUID, ct.ReferencedSOPInstanceUID = result.file_meta.MediaStorageSOPClassUID, self.uids[0]
        ct.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        series.SeriesInstanceUID, series.ReferencedSOPSequence = self.series_uid, Items([ct])
        if sop_class_uid == SEG:
            result.ReferencedSeriesSequence = Items([series])
            return result
        others, study = Dataset(), Dataset()
        others.SeriesInstanceUID, others.ReferencedSOPSequence = "1.2.99", Items([_item(*pair) for pair in refers_to])
        study.StudyInstanceUID, study.ReferencedSeriesSequence = self.study_uid, Items([series, others])
        result.CurrentRequestedProcedureEvidenceSequence = Items([study])
        return result


def _item(sop_class_uid: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, uid
    return item


def encoded(instance: Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@dataclass(kw_only=True)
class Clinic:
    """The node's own parts on one data directory, and the PACS that they ask. `node_port`: where C-MOVE comes to."""

    folder: Path
    pacs: SmallPacs
    journal: Journal
    retrieve: str = "get"
    settings: dict[str, object] = field(default_factory=dict)
    is_asked: bool = True

    def __post_init__(self) -> None:
        defaults = {"quiet_period_s": 0.01, "priors_time_limit_s": 20.0, "connect_timeout_s": 2.0}
        base = NodeSettings(ae_title="LUNGNODE", data_dir=self.folder, min_free_mb=0)
        self.node = base.model_copy(update=defaults | self.settings)
        self.peer = Peer.model_validate(
            {
                "name": "pacs",
                "ae_title": self.pacs.ae_title,
                "host": self.pacs.host,
                "port": self.pacs.port,
                "ask_for_priors": self.is_asked,
                "retrieve": self.retrieve,
            }
        )
        self.spool = Spool(self.folder)
        self.intake = Intake(journal=self.journal, spool=self.spool)
        self.start()

    def start(self) -> None:
        """Begin with what the journal knows, as after a restart."""
        self.history = History(self.journal, self.spool, self.node, asks=self.is_asked)
        self.searcher = PriorSearcher(
            node=self.node,
            journal=self.journal,
            spool=self.spool,
            history=self.history,
            sources=[make_source(self.peer, self.node, partial(take, self.intake, self.peer))] if self.is_asked else [],
        )

    def archive(self, *scans: Scan) -> None:
        """Put scans into the PACS."""
        for scan in scans:
            for image in scan.images():
                self.pacs.archive.add(image.SOPInstanceUID, encoded(image))

    def archive_result(self, result: Dataset) -> None:
        self.pacs.archive.add(result.SOPInstanceUID, encoded(result))

    def receive(self, *scans: Scan, first: int = 0) -> None:
        """A scanner sends scans to the PACS, and to the node."""
        self.archive(*scans)
        for scan in scans:
            for image in scan.images()[first:]:
                self.take(image)

    def take(self, image: Dataset) -> None:
        file = encoded(image)
        length = int.from_bytes(file[140:144], "little")
        self.intake.keep(
            Arrival(
                encoded=file[144 + length :],
                transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
                sop_class_uid=str(image.SOPClassUID),
                sop_instance_uid=str(image.SOPInstanceUID),
                calling_ae_title="SCANNER",
                is_fetched=False,
            )
        )

    def step(self) -> None:
        """Let each of the node's loops run once."""
        time.sleep(0.02)  # longer than the quiet period
        if self.is_asked:
            self.searcher.step(time.time())
        self.assemble()

    def assemble(self, later_s: float = 0.0) -> None:
        now = time.time() + later_s
        assemble(self.journal, "recipe", self.node.quiet_period_s, now, self.history.priors_for)
        self.history.reopen_affected()

    def work(self, most: int = 1) -> int:
        """Do waiting jobs as a worker does, and return how many; the documents are named only."""
        waiting = self.journal.jobs([JobState.QUEUED])[:most]
        for record in waiting:
            key, now = record.job.job_key, time.time()
            assert self.journal.claim(key, "worker", now + 60, now)
            document = Document(sop_class_uid=SEG, sop_instance_uid=generate_uid(), file_name="seg.dcm")
            assert self.journal.mark_analysed(key, "worker", [document], now)
        return len(waiting)

    def settle(self, most_rounds: int = 60) -> int:
        """Go on until nothing happens any more; return after how many rounds that was."""
        for number in range(most_rounds):
            before = self.states()
            self.step()
            if not self.work() and self.states() == before and not self.is_waiting():
                return number
        raise AssertionError(f"never at rest: {self.states()}")

    def is_waiting(self) -> bool:
        return bool(self.journal.quiet_series(time.time() + 60))

    def states(self) -> dict[str, JobState]:
        return {record.job.job_key: record.state for record in self.journal.jobs()}

    def job(self, scan: Scan) -> JobRecord:
        """The scan's job that holds."""
        (record,) = (
            record
            for record in self.journal.jobs()
            if record.job.series_uid == scan.series_uid and record.state is not JobState.SUPERSEDED
        )
        return record

    def key(self, scan: Scan) -> str:
        return self.job(scan).job.job_key

    def priors(self, scan: Scan) -> Priors:
        return self.journal.priors_of(self.key(scan))

    def keys_of_priors(self, scan: Scan) -> list[str | None]:
        return [prior.job_key for prior in self.priors(scan).scans]


def chain(scans: Sequence[Scan], most: int = 5) -> dict[str, str]:
    """The job keys on paper: each scan is compared with the newest earlier ones, whose keys hold theirs."""
    keys: dict[str, str] = {}
    for scan in sorted(scans, key=lambda scan: scan.date):
        keys[scan.series_uid] = job_key(scan.uids, "recipe", tuple(list(keys.values())[-most:]))
    return keys
