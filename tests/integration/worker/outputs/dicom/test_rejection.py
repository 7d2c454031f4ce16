import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from dicom_node.errors import SeriesRejected
from models.registry import model_card
from worker.ct.reader import load
from worker.outputs.dicom.rejection import write_rejection

WriteCt = Callable[..., list[Path]]
KEY = "ab" * 32


@pytest.fixture
def report_file(write_ct: WriteCt, tmp_path: Path) -> Path:
    """The SR of a series with a missing slice."""
    files = write_ct(8)
    del files[4]
    with pytest.raises(SeriesRejected) as rejection:
        load(files)
    (document,) = write_rejection(files, rejection.value, model_card("lung_tumour"), KEY, tmp_path)
    return tmp_path / document.file_name


def test_the_report_has_the_reason_and_belongs_to_the_study(report_file: Path) -> None:
    report = pydicom.dcmread(report_file)

    assert report.StudyInstanceUID == "1.2"
    assert report.PatientID == "SECRET-ID"  # in the PACS, where it belongs
    assert "5.00 mm" in report.to_json()  # the gap
    assert "Not Attempted" in report.to_json()


def test_dcmtk_reads_the_report(report_file: Path) -> None:
    if not Path("/usr/bin/dsrdump").is_file():
        pytest.skip("dcmtk is not installed")
    done = subprocess.run(["/usr/bin/dsrdump", report_file], capture_output=True, text=True, check=True)

    assert "Analysis not performed" in done.stdout


def test_a_file_without_a_study_has_no_report(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(b"garbage")

    rejection = SeriesRejected("1.2.3", "unreadable")

    assert write_rejection([tmp_path / "x.dcm"], rejection, model_card("lung_tumour"), KEY, tmp_path) == []
