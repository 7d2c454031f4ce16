"""Which files of a prior scan are read: those that exist, and that are what was received."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.journal.journal import Journal
from dicom_node.prior import Priors, PriorScan, PriorSearch
from dicom_node.series import Instance
from dicom_node.storage.spool import Spool
from worker.priors.files import PriorFiles, collected_files

JOB_KEY = "a" * 64


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


def receive(journal: Journal, spool: Spool, series_uid: str, uid: str, content: bytes) -> Path:
    instance = Instance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=series_uid,
        study_uid="1.2",
        calling_ae_title="PACS",
        data_set_sha256=hashlib.sha256(content).hexdigest(),
    )
    journal.series.record_instances([instance], 100.0)
    return spool.write_instance(series_uid, uid, content)


def found(*results: tuple[str, str], ct: tuple[str, ...] = ("1.2.3.1", "1.2.3.2")) -> Priors:
    scan = PriorScan(study_uid="1.2", series_uid="1.2.3", job_key=JOB_KEY, ct_uids=ct, results=results)
    return Priors(search=PriorSearch.FOUND, reason=None, scans=(scan,))


def test_files_are_collected_from_the_inbox_and_the_outbox_of_our_job(journal: Journal, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    ct = tuple(receive(journal, spool, "1.2.3", f"1.2.3.{number}", b"ct") for number in (1, 2))
    fetched = receive(journal, spool, "1.2.4", "1.2.4.1", b"sr of a reader")
    with spool.new_outbox(JOB_KEY) as folder:
        for name in ("seg.dcm", "sr.dcm", "lungs.nii.gz"):
            (folder / name).write_bytes(b"ours")
        outbox = spool.publish(folder, JOB_KEY)

    files = collected_files(found(("1.2.4", "1.2.4.1")), spool, journal.series)

    ours = (outbox / "seg.dcm", outbox / "sr.dcm", fetched)
    assert files.scans == (PriorFiles(ct=ct, documents=ours, lungs=outbox / "lungs.nii.gz"),)


def test_missing_files_are_left_out(journal: Journal, tmp_path: Path) -> None:
    files = collected_files(found(("1.2.4", "1.2.4.1")), Spool(tmp_path), journal.series)

    assert files.scans == (PriorFiles(ct=(), documents=(), lungs=None),)


def test_files_that_have_changed_on_disk_are_left_out_with_a_line_in_the_log(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    kept, changed = (receive(journal, spool, "1.2.3", f"1.2.3.{number}", b"ct") for number in (1, 2))
    report = receive(journal, spool, "1.2.4", "1.2.4.1", b"sr of a reader")
    changed.write_bytes(b"c*")
    report.write_bytes(b"sr of another reader")

    files = collected_files(found(("1.2.4", "1.2.4.1")), spool, journal.series)

    assert files.scans == (PriorFiles(ct=(kept,), documents=(), lungs=None),)
    assert [message.split(":")[0] for message in caplog.messages] == ["series 1.2.3", "series 1.2.4"]
