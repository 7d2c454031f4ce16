"""`lungspread timeline` with a real journal and outbox, and phantoms with patient data in their headers."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path

import pydicom
import pytest
import typer
from pydicom.dataset import Dataset
from typer.testing import CliRunner, Result

from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.series import Document, Instance
from dicom_node.storage.spool import Spool, journal_file
from tests.fixtures.worker.drawn_scans import findings, two_lesion_scan
from tests.fixtures.worker.make_comparisons import STORY, alone, uid
from tests.fixtures.worker.make_courses import day
from tests.fixtures.worker.make_reports import window
from tests.fixtures.worker.measured import report_of
from worker.cli.timeline import timeline as timeline_command
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.outputs.json.schema import schema_text
from worker.outputs.json.write import write_findings
from worker.phantom.chest import PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.timeline.model import TimelineJson

ROOT = Path(__file__).parents[4]
PATIENT, OTHER = "ab" * 32, "cd" * 32
SEEN_TWICE = [replace(each, split_from=None) for each in STORY if each.number in (1, 2)]
PHANTOM = chest_phantom(PhantomSpec(shape=(4, 32, 32), spacing_mm=(5.0, 10.0, 10.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Journal and spool of a node."""

    data_dir: Path
    journal: Journal
    spool: Spool

    def receive(self, days: int, patient_key: str = PATIENT) -> Dataset:
        """Record a phantom scan of this day, and return the header of its first image."""
        when = datetime.combine(day(days), time(9, 30))
        (first, *_) = write_series(
            self.data_dir / "ct" / f"{patient_key[:2]}{days}", PHANTOM, f"{patient_key} {days}", when
        )
        header = pydicom.dcmread(first)
        instance = Instance(
            sop_instance_uid=header.SOPInstanceUID,
            sop_class_uid=header.SOPClassUID,
            series_uid=header.SeriesInstanceUID,
            study_uid=header.StudyInstanceUID,
            calling_ae_title="CT",
            data_set_sha256="0" * 64,
        )
        self.journal.series.record_instances([instance], 100.0)
        self.journal.priors.record_acquisition(
            AcquisitionRecord(
                series_uid=header.SeriesInstanceUID,
                study_uid=header.StudyInstanceUID,
                patient_key=patient_key,
                person_key=patient_key,
                acquired_on=header.StudyDate + header.StudyTime,
                role="sent",
                is_complete=True,
                read_at=100.0,
            )
        )
        return header

    def analyse(self, header: Dataset, comparison: Comparison) -> None:
        """Create and finish the job of a scan, with this comparison in its findings."""
        (found,) = (each for each in self.journal.series.quiet(1e9) if each.series_uid == header.SeriesInstanceUID)
        job = self.journal.jobs.create(found, "recipe", 200.0)
        assert job is not None
        assert self.journal.leases.claim(job.job_key, "worker", 300.0, 200.0)
        scan_findings = replace(
            findings(*two_lesion_scan()),
            job_key=job.job_key,
            study_uid=found.study_uid,
            series_uid=found.series_uid,
        )
        with self.spool.new_outbox(job.job_key) as folder:
            write_findings(report_of(scan_findings, comparison), folder / "findings.json")
            self.spool.publish(folder, job.job_key)
        sr = Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34", sop_instance_uid="1.2.9", file_name="sr.dcm")
        assert self.journal.leases.mark_analysed(job.job_key, "worker", [sr], 201.0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    data_dir = tmp_path / "var"
    with Journal(f"sqlite:///{journal_file(data_dir)}") as journal:
        yield Node(data_dir=data_dir, spool=Spool(data_dir), journal=journal)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lungspread.toml"
    path.write_text(f'[node]\ndata_dir = "{tmp_path / "var"}"\n')
    return path


def call_timeline(*arguments: object) -> Result:
    """Call the subcommand in this process, which is faster."""
    app = typer.Typer()
    app.command()(timeline_command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def lungspread(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def comparison_of(header: Sequence[Dataset], days: Sequence[int]) -> Comparison:
    """The comparison of two lesions of STORY, with the scan UIDs of these headers."""
    comparison = window(days, SEEN_TWICE)
    scans = tuple(
        replace(scan, study_uid=each.StudyInstanceUID, series_uid=each.SeriesInstanceUID)
        for scan, each in zip(comparison.scans, header, strict=True)
    )
    return replace(comparison, scans=scans)


def add_followed_patient(node: Node) -> list[Dataset]:
    """Add a patient with three compared scans and two that are not part of the timeline, and another patient."""
    headers = [node.receive(days) for days in (0, 92, 184, 276, 364)]
    node.analyse(headers[0], alone(ComparisonStatus.NOT_FETCHED, "the peer did not answer within 30 s"))
    node.analyse(headers[1], alone(ComparisonStatus.NO_PRIOR))
    node.analyse(headers[2], comparison_of(headers[1:3], (92, 184)))
    node.analyse(headers[4], comparison_of([headers[2], headers[4]], (184, 364)))
    node.analyse(node.receive(10, OTHER), alone(ComparisonStatus.NO_PRIOR))
    return headers


def test_the_timeline_of_a_patient_is_found_by_the_first_digits_of_the_key(node: Node, config: Path) -> None:
    headers = add_followed_patient(node)

    done = call_timeline(PATIENT[:6], "--config", config)

    assert done.exit_code == 0, done.stderr
    timeline = json.loads(done.stdout)
    assert timeline["patient_key"] == PATIENT
    assert [point["day"] for point in timeline["time_points"]] == [0, 92, 272]
    assert [point["series_uid"] for point in timeline["time_points"]] == [
        headers[number].SeriesInstanceUID for number in (1, 2, 4)
    ]
    growing = next(each for each in timeline["lesions"] if each["tracking_uid"] == uid(1))
    assert [each["sizes"]["long_axis_mm"] for each in growing["observations"]] == [22.0, 24.0, 30.0]


def test_the_timeline_conforms_to_the_schema(node: Node, config: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    add_followed_patient(node)
    validator = jsonschema.Draft202012Validator(json.loads(schema_text(TimelineJson)))

    for key in (PATIENT, OTHER):
        timeline = json.loads(call_timeline(key, "--config", config).stdout)
        assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(timeline)] == []
        assert not validator.is_valid({**timeline, "patient": "A"})
        assert not validator.is_valid({**timeline, "other_scans": [{"date": "2024-01-01"}]})


def test_scans_outside_the_timeline_are_listed_with_their_state(node: Node, config: Path) -> None:
    headers = add_followed_patient(node)

    others = json.loads(call_timeline(PATIENT, "--config", config).stdout)["other_scans"]

    assert [(each["day"], each["state"], each["statement"]) for each in others] == [
        (-92, "ANALYSED", "priors could not be fetched"),
        (184, "RECEIVED", None),
    ]
    assert others[0]["reason"] == "the peer did not answer within 30 s"
    assert others[1]["series_uid"] == headers[3].SeriesInstanceUID


def test_the_list_holds_keys_and_counts(node: Node, config: Path) -> None:
    add_followed_patient(node)

    listed = call_timeline("--list", "--config", config)

    assert listed.stdout == f"{PATIENT}  5 scans, 4 analysed\n{OTHER}  1 scan, 1 analysed\n"


@pytest.mark.parametrize(("digits", "count"), [("ff", 0), ("", None)])
def test_an_unknown_key_is_an_error(node: Node, config: Path, digits: str, count: int | None) -> None:
    add_followed_patient(node)

    done = call_timeline(digits, "--config", config)

    if count is None:  # an empty key lists the patients
        assert done.stdout.count("\n") == 2
    else:
        assert done.exit_code == 1
        assert done.stderr == f"lungspread: {count} patient keys begin with {digits}, one is needed\n"


def test_a_patient_without_an_analysed_scan_has_no_timeline(node: Node, config: Path) -> None:
    node.receive(0)

    done = call_timeline(PATIENT, "--config", config)

    assert (done.exit_code, done.stderr) == (1, "lungspread: the patient has no analysed scan\n")


def test_the_timeline_of_an_output_folder(node: Node, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_findings(
        report_of(findings(*two_lesion_scan()), window((0, 92), SEEN_TWICE)),
        tmp_path / "out" / "findings.json",
    )

    done = call_timeline(tmp_path / "out", "--csv", tmp_path / "out.csv", "--subject", "S-1")

    assert [point["day"] for point in json.loads(done.stdout)["time_points"]] == [0, 92]
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("S-1,0,2.25.1,lesion-1,present,target")
    unnamed = call_timeline(tmp_path / "out", "--csv", tmp_path / "out.csv")
    assert (unnamed.exit_code, unnamed.stderr.count("\n")) == (1, 1)


def test_no_identifying_value_of_the_headers_is_in_the_output(node: Node, config: Path, tmp_path: Path) -> None:
    headers = add_followed_patient(node)
    tables = tmp_path / "course.csv", tmp_path / "course.xlsx"

    done = lungspread("timeline", PATIENT, "--csv", tables[0], "--xlsx", tables[1], "--config", config)

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tables[1]) as book:
        parts = {name: book.read(name) for name in book.namelist()}
        parts["names in the ZIP, and its comment"] = " ".join(book.namelist()).encode() + book.comment
    parts |= {"json": done.stdout.encode(), "log": done.stderr.encode(), "csv": tables[0].read_bytes()}
    for word in secrets(headers):
        assert [name for name, content in parts.items() if word.encode() in content] == [], word
    bare = {name: content for name, content in parts.items() if name != "json"}  # the JSON has the UIDs of the scans
    for header in headers:
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
            assert not any(header[keyword].value.encode() in content for content in bare.values())
    assert b"lesion-1" in parts["csv"]
    assert b"lesion-1" in parts["xl/sharedStrings.xml"]


def secrets(headers: Sequence[Dataset]) -> set[str]:
    """Names, IDs and dates of these headers; dates in DICOM, ISO 8601, German, US and spreadsheet format."""
    strings = set()
    for header in headers:
        strings |= set(str(header.PatientName).split("^"))
        strings |= {header.PatientID, header.AccessionNumber, header.StudyDescription}
        for keyword in ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            on = datetime.strptime(header[keyword].value, "%Y%m%d").date()
            strings |= {f"{on:%Y%m%d}", f"{on:%Y-%m-%d}", f"{on:%d.%m.%Y}", f"{on:%m/%d/%Y}", f">{_serial(on)}<"}
    return strings


def _serial(on: date) -> int:
    """The serial day number of spreadsheets (ECMA-376 part 1, 18.17.4.1)."""
    return (on - date(1899, 12, 30)).days


def test_secrets_contains_names_ids_and_dates(node: Node) -> None:
    found = secrets([node.receive(92)])

    assert {"PHANTOM", "LUNG", "PH-0001", "PH0001", "19500101", "1950-01-01", "20240402", "2024-04-02"} <= found
    assert ">45384<" in found  # 2024-04-02 in LibreOffice
