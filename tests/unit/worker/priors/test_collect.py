from __future__ import annotations

from pathlib import Path

from dicom_node.prior import Priors, PriorScan, PriorSearch
from dicom_node.storage.spool import Spool
from tests.fixtures.models.model_card import CARD
from worker.priors.collect import read_priors
from worker.priors.files import CollectedFiles, PriorFiles, collected_files

JOB_KEY = "a" * 64


def found(*scans: PriorScan) -> Priors:
    return Priors(search=PriorSearch.FOUND, reason=None, scans=scans)


def scan(job_key: str | None = None, results: tuple[tuple[str, str], ...] = ()) -> PriorScan:
    return PriorScan(study_uid="1.2", series_uid="1.2.3", job_key=job_key, ct_uids=("1.2.3.1",), results=results)


def test_files_are_collected_from_the_inbox_and_the_outbox_of_our_job(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    ct = spool.write_instance("1.2.3", "1.2.3.1", b"ct")
    fetched = spool.write_instance("1.2.4", "1.2.4.1", b"sr of a reader")
    with spool.new_outbox(JOB_KEY) as folder:
        for name in ("seg.dcm", "sr.dcm", "lungs.nii.gz"):
            (folder / name).write_bytes(b"ours")
        outbox = spool.publish(folder, JOB_KEY)

    files = collected_files(found(scan(JOB_KEY, (("1.2.4", "1.2.4.1"),))), spool)

    ours = (outbox / "seg.dcm", outbox / "sr.dcm", fetched)
    assert files.scans == (PriorFiles(ct=(ct,), documents=ours, lungs=outbox / "lungs.nii.gz"),)


def test_missing_files_are_left_out(tmp_path: Path) -> None:
    files = collected_files(found(scan(JOB_KEY)), Spool(tmp_path))

    assert files.scans == (PriorFiles(ct=(), documents=(), lungs=None),)


def test_a_damaged_scan_is_skipped_with_a_reason(tmp_path: Path) -> None:
    damaged = tmp_path / "sr.dcm"
    damaged.write_bytes(b"DOE^JANE is no DICOM file")
    files = CollectedFiles(
        search=PriorSearch.FOUND,
        reason="1 of 2 came",
        scans=(PriorFiles(ct=(), documents=(damaged,)), PriorFiles(ct=(), documents=())),
    )

    collected = read_priors(files, CARD)

    assert (collected.search, collected.priors) == (PriorSearch.FOUND, ())
    assert collected.reason is not None
    for part in ("1 of 2 came", "document 1 of 1: UnreadableInstance", "none of 0 documents refers to a CT"):
        assert part in collected.reason
    assert "DOE" not in collected.reason
