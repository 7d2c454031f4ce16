"""The main use case on a real study: Orthanc forwards it, and receives a correct SEG and SR of its CT, committed."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.fixtures.orthanc_stack import ROOT, SHARED, STORESCU, OrthancStack, needs_shared
from tests.fixtures.other_series import write_other_series
from tests.fixtures.waiting import wait_until
from worker.cli.journal_jobs import list_jobs
from worker.ct.files import dicom_files
from worker.settings import load_settings

# C3N-00247: approximate centre of a spiculated tumour of the right lung (LPS mm).
CENTRE = (-81.0, -190.0, -193.0)
# PS3.16 8.2: a designator that begins with 99 is private; dciodvfy recognizes only a few of them.
OWN_CODES = "Warning - Unrecognized defined term <99LUNGSPREAD> for value 1 of attribute <Coding Scheme Designator>"

pytestmark = [needs_shared, pytest.mark.skipif(not STORESCU.is_file(), reason="dcmtk is not installed")]


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([SHARED / "data" / "unpack", folder, "c3n-00247"], check=True, capture_output=True)
    return folder / "c3n-00247"


@pytest.fixture(scope="module")
def study(ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CT in a study with a scout, a coronal reformat and a dose page."""
    folder = tmp_path_factory.mktemp("study")
    write_other_series(dicom_files(ct), folder)
    shutil.copytree(ct, folder / "ct")
    return folder


@pytest.fixture(scope="module")
def results(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OrthancStack, Path]]:
    """The stack after the job, and a folder with ct.dcm, seg.dcm and sr.dcm from the PACS."""
    folder = tmp_path_factory.mktemp("site")
    with OrthancStack(folder=folder / "site", worker="") as stack:
        stack.send(study)
        wait_until(lambda: "COMMITTED" in stack.states(), 600, "the job is committed", 0.3)
        out = folder / "from-pacs"
        out.mkdir()
        for modality in ("SEG", "SR"):
            (instance,) = stack.instances(modality)
            stack.download(instance, out / f"{modality.lower()}.dcm")
        shutil.copy(dicom_files(study / "ct")[0], out / "ct.dcm")
        yield stack, out


@pytest.fixture(scope="module")
def run(results: tuple[OrthancStack, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of `lungspread run` on the files that the node received, since their encoding is part of the key."""
    stack, out = results
    folder = tmp_path_factory.mktemp("run")
    received = stack.folder / "var" / "inbox" / str(pydicom.dcmread(out / "ct.dcm").SeriesInstanceUID)
    command = [sys.executable, "-m", "worker.cli", "run", str(received), "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def findings(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "findings.json").read_text()))


def test_seg_and_sr_are_in_the_study_of_the_ct(results: tuple[OrthancStack, Path]) -> None:
    _, out = results
    ct, seg, sr = (pydicom.dcmread(out / f"{name}.dcm") for name in ("ct", "seg", "sr"))

    assert ct.StudyInstanceUID == seg.StudyInstanceUID == sr.StudyInstanceUID
    assert ct.PatientID == seg.PatientID == sr.PatientID


def test_of_the_study_the_ct_alone_is_analysed_and_the_others_have_their_reasons(
    results: tuple[OrthancStack, Path],
) -> None:
    stack, out = results
    rows = {row["series_uid"]: row for row in list_jobs(load_settings(stack.config))}
    ct, seg = (pydicom.dcmread(out / f"{name}.dcm") for name in ("ct", "seg"))

    analysed = rows.pop(str(ct.SeriesInstanceUID))
    assert analysed["state"] == "COMMITTED"
    assert [item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence] == [ct.SeriesInstanceUID]
    assert [row["state"] for row in rows.values()] == ["SET_ASIDE"] * 3
    reasons = " ".join(str(row["selection"]) for row in rows.values())
    assert all(reason in reasons for reason in ("a localizer", "not axial", "a picture of a screen"))


def test_exactly_one_lesion_is_the_tumour(run: Path) -> None:
    near = [one for one in findings(run)["lesions"] if math.dist(one["centroid_lps_mm"], CENTRE) <= 8]

    assert len(near) == 1
    assert 2.5 <= near[0]["volume_ml"] <= 8


def validator_messages(file: Path) -> set[str]:
    """Return the validators' messages on a file, each once, and the names of the failed checks."""
    command = [SHARED / "tools" / "validate-dicom", file]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    checks = {line.split()[1] for line in lines if line.startswith("FAIL")} - {"dciodvfy"}
    return checks | {line.split(maxsplit=1)[1] for line in lines if line[:1] == " "}


def test_validators_report_only_what_they_report_on_the_source(results: tuple[OrthancStack, Path]) -> None:
    """The source has an empty Study ID and a name without components, which a result in its study must repeat."""
    _, out = results
    inherited = validator_messages(out / "ct.dcm")

    assert validator_messages(out / "seg.dcm") <= inherited
    assert validator_messages(out / "sr.dcm") <= inherited | {OWN_CODES}


def test_run_has_the_numbers_and_uids_of_the_results_in_the_pacs(results: tuple[OrthancStack, Path], run: Path) -> None:
    stack, out = results
    (from_service,) = (stack.folder / "var").rglob("findings.json")

    assert (run / "findings.json").read_bytes() == from_service.read_bytes()
    for name in ("seg", "sr"):
        documents = [pydicom.dcmread(folder / f"{name}.dcm") for folder in (out, run)]
        assert len({document.SOPInstanceUID for document in documents}) == 1
    assert pydicom.dcmread(out / "seg.dcm").PixelData == pydicom.dcmread(run / "seg.dcm").PixelData
