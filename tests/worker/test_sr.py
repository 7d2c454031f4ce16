from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from worker.outputs import OUTPUTS, encode
from worker.outputs.sr import encode_refusal, encode_sr

BIN = Path(sys.executable).parent

Made = Any  # an Analysed of conftest.py
Analyse = Callable[..., Made]

ONE = [np.s_[3:7, 5:12, 4:20]]
FIVE = [np.s_[1:4, 2:8, 2:9], np.s_[1:3, 20:24, 5:9], np.s_[5:9, 12:15, 20:30], np.s_[8:9, 30:31, 3:4],
        np.s_[6:11, 33:38, 30:34]]  # fmt: skip
AT_THE_CORNERS = [np.s_[0:2, 0:4, 0:4], np.s_[10:12, 36:40, 32:36]]
SCANS = {
    "head first": {},
    "feet first": {"orientation": (-1, 0, 0, 0, 1, 0)},
    "prone": {"orientation": (-1, 0, 0, 0, -1, 0)},
    "last slice first": {"last_slice_first": True},
    "pixels that are not square": {"spacing_mm": (3.0, 0.6, 1.1)},
    "tilted gantry": {"lean_mm": (0.0, 0.8, 0.0), "orientation": (1, 0, 0, 0, 0.955336, 0.29552)},
}


def saved(made: Made, folder: Path, *names: str) -> dict[str, Path]:
    files = {}
    for name, document in encode(made.findings, made.series.datasets, names or tuple(OUTPUTS)).items():
        files[name] = folder / f"{name}.dcm"
        document.save_as(files[name], enforce_file_format=True)
    return files


def read_by_dcmqi(file: Path) -> Any:  # noqa: ANN401  (what the reader says of a report)
    out = file.with_suffix(".json")
    command = [str(BIN / "tid1500reader"), "--inputDICOM", str(file), "--outputMetadata", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads(out.read_text())


def numbers(group: Any) -> dict[tuple[str, ...], float]:  # noqa: ANN401
    """Each number of a measurement group by its name, derivation, and unit as code, scheme and meaning."""
    return {
        (
            item["quantity"]["CodeMeaning"],
            item.get("derivationModifier", {}).get("CodeMeaning", ""),
            *(item["units"][key] for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")),
        ): float(item["value"])
        for item in group["measurementItems"]
    }


def items(item: Dataset, *path: str) -> Iterator[Dataset]:
    """The content items found by following these concept meanings down the tree."""
    if not path:
        yield item
        return
    for child in item.get("ContentSequence", ()):
        if child.ConceptNameCodeSequence[0].CodeMeaning == path[0]:
            yield from items(child, *path[1:])


@pytest.mark.parametrize("boxes", [ONE, FIVE, AT_THE_CORNERS], ids=["one", "five", "corners"])
def test_dcmqi_reads_every_number_back_with_its_unit(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    made = analysed(boxes)

    groups = read_by_dcmqi(saved(made, tmp_path)["sr"])["Measurements"]

    assert len(groups) == 2 * len(boxes)
    for finding, lines, volume in zip(made.findings.findings, groups[::2], groups[1::2], strict=True):
        measured = finding.measurement
        assert numbers(lines) == {
            ("Long Axis", "", "mm", "UCUM", "mm"): measured.long_axis.length_mm,
            ("Short Axis", "", "mm", "UCUM", "mm"): measured.short_axis.length_mm,
        }
        assert numbers(volume) == {
            ("Volume", "", "ml", "UCUM", "milliliter"): measured.volume_ml,
            ("Attenuation Coefficient", "Mean", "[hnsf'U]", "UCUM", "Hounsfield unit"): measured.mean_hu,
            ("Attenuation Coefficient", "Standard Deviation", "[hnsf'U]", "UCUM", "Hounsfield unit"): measured.sd_hu,
        }
        for group in (lines, volume):
            assert group["FindingSite"]["CodeMeaning"] == "Lung"
            assert group["Finding"]["CodeMeaning"] == "Nodule"
            algorithm = group["measurementAlgorithmIdentification"]
            assert (algorithm["AlgorithmName"], algorithm["AlgorithmVersion"]) == ("lung_tumour", "0.1.0")
            assert algorithm["AlgorithmParameters"][0] == "weights_sha256=" + "0123456789abcdef" * 4


def test_both_groups_of_a_lesion_have_the_tracking_uid_of_its_segment(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    files = saved(made, tmp_path)

    groups = read_by_dcmqi(files["sr"])["Measurements"]

    segments = pydicom.dcmread(files["seg"]).SegmentSequence
    expected = [segment.TrackingUID for segment in segments]
    assert expected == [finding.lesion.tracking_uid for finding in made.findings.findings]
    assert len(set(expected)) == 5
    assert [group["TrackingUniqueIdentifier"] for group in groups[::2]] == expected
    assert [group["TrackingUniqueIdentifier"] for group in groups[1::2]] == expected
    assert [group["TrackingIdentifier"] for group in groups[1::2]] == [segment.TrackingID for segment in segments]
    for group in groups[::2]:
        assert group["TrackingIdentifier"].startswith("Cornerstone3DTools@^0.1.0:Bidirectional:lesion-")


def test_every_measurement_group_has_a_tracking_uid(analysed: Analyse, tmp_path: Path) -> None:
    for boxes in (FIVE, []):
        groups = list(items(pydicom.dcmread(saved(analysed(boxes), tmp_path)["sr"]), *GROUP))

        assert groups
        for group in groups:
            (uid,) = items(group, "Tracking Unique Identifier")
            assert pydicom.uid.UID(uid.UID).is_valid


GROUP = ("Imaging Measurements", "Measurement Group")


def test_a_volume_group_refers_to_its_segment_and_to_the_series(analysed: Analyse, tmp_path: Path) -> None:
    files = saved(analysed(FIVE), tmp_path)

    seg = pydicom.dcmread(files["seg"])
    references = list(items(pydicom.dcmread(files["sr"]), *GROUP, "Referenced Segment"))
    series = list(items(pydicom.dcmread(files["sr"]), *GROUP, "Source Series for Segmentation"))

    assert [r.ReferencedSOPSequence[0].ReferencedSegmentNumber for r in references] == [1, 2, 3, 4, 5]
    assert {r.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for r in references} == {seg.SOPInstanceUID}
    assert [item.UID for item in series] == ["1.2.2"] * 5


@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
@pytest.mark.parametrize("axis", ["Long Axis", "Short Axis"])
def test_an_axis_is_drawn_where_it_was_measured(
    analysed: Analyse, tmp_path: Path, axis: str, scan: dict[str, Any]
) -> None:
    made = analysed([*AT_THE_CORNERS, *ONE], **scan)
    sources = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, made.ct_files)}

    lines = items(pydicom.dcmread(saved(made, tmp_path)["sr"]), *GROUP, axis)

    for finding, line in zip(made.findings.findings, lines, strict=True):
        measured = finding.measurement.long_axis if axis == "Long Axis" else finding.measurement.short_axis
        (drawn,) = line.ContentSequence
        assert (drawn.ValueType, drawn.RelationshipType, drawn.GraphicType) == ("SCOORD", "INFERRED FROM", "POLYLINE")
        (image_item,) = drawn.ContentSequence
        assert (image_item.ValueType, image_item.RelationshipType) == ("IMAGE", "SELECTED FROM")
        image = sources[image_item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID]
        points = np.array(drawn.GraphicData).reshape(-1, 2)
        assert (points >= 0).all()
        assert (points <= [image.Columns, image.Rows]).all()
        assert np.allclose(in_mm(points, image), [measured.start_mm, measured.end_mm], atol=1e-4)


def in_mm(points: np.ndarray[Any, Any], image: Dataset) -> np.ndarray[Any, Any]:
    """PS3.3 C.7.6.2.1.1 (pixel centres to mm), after C.18.6.1 (0\\0 is the corner of the first pixel)."""
    cosines = np.array(image.ImageOrientationPatient, float)
    between_rows, between_columns = image.PixelSpacing
    column, row = (points - 0.5).T
    return (
        np.array(image.ImagePositionPatient, float)
        + np.outer(column * between_columns, cosines[:3])
        + np.outer(row * between_rows, cosines[3:])
    )


def test_a_line_across_the_first_three_pixels_runs_from_0_to_3(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed([np.s_[3:4, 0:1, 0:3]])
    (finding,) = made.findings.findings
    edge_to_edge = replace(finding.measurement.long_axis, start_px=(-0.5, 0.0), end_px=(2.5, 0.0))
    finding = replace(finding, measurement=replace(finding.measurement, long_axis=edge_to_edge))

    encode_sr(replace(made.findings, findings=(finding,)), made.series.datasets, None).save_as(tmp_path / "sr.dcm")

    (line,) = items(pydicom.dcmread(tmp_path / "sr.dcm"), *GROUP, "Long Axis", "Source")
    assert list(line.GraphicData) == [0.0, 0.5, 3.0, 0.5]


def test_the_image_library_holds_only_images_that_are_drawn_on(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    sr = pydicom.dcmread(saved(made, tmp_path)["sr"])

    library = items(sr, "Image Library", "Image Library Group", "Source")
    drawn = items(sr, *GROUP, "Long Axis", "Source", "Source")
    assert {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in library} == {
        i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in drawn
    }


def test_every_analysed_image_stands_in_the_evidence(analysed: Analyse, tmp_path: Path) -> None:
    for boxes in (FIVE, []):
        made = analysed(boxes)
        sr = pydicom.dcmread(saved(made, tmp_path)["sr"])

        evidence = {
            instance.ReferencedSOPInstanceUID
            for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
            for study in sr.get(keyword, ())
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        assert evidence >= set(made.findings.sop_instance_uids)


def test_without_a_lesion_the_report_says_so_in_codes(analysed: Analyse, tmp_path: Path) -> None:
    files = saved(analysed([]), tmp_path)

    report = read_by_dcmqi(files["sr"])

    assert list(files) == ["sr"]
    (group,) = report["Measurements"]
    assert numbers(group) == {("Number of lesions", "", "{lesions}", "UCUM", "lesions"): 0}
    said = {e["conceptCode"]["CodeMeaning"]: e["conceptValue"] for e in group["qualitativeEvaluations"]}
    assert said["Neoplasm"] == {"CodeMeaning": "Absent", "CodeValue": "272519000", "CodingSchemeDesignator": "SCT"}
    assert said["CAD Processing and Findings Summary"]["CodeValue"] == "111241"
    assert "Finding" not in group, "nobody who counts findings shall count one"
    (image,) = items(pydicom.dcmread(files["sr"]), *GROUP, "Source of Measurement")
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_without_a_seg_all_numbers_stand_with_the_lines(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    groups = read_by_dcmqi(saved(made, tmp_path, "sr")["sr"])["Measurements"]

    assert [len(numbers(group)) for group in groups] == [5] * 5
    assert "ReferencedSegment" not in groups[0]


def test_the_report_is_preliminary_unverified_by_a_device_and_marked_as_research(
    analysed: Analyse, tmp_path: Path
) -> None:
    file = saved(analysed(ONE), tmp_path)["sr"]

    sr, report = pydicom.dcmread(file), read_by_dcmqi(file)

    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert (sr.SeriesDescription, sr.SeriesNumber) == ("Research, not for diagnosis: lung lesions report", 10032)
    assert sr.ContentQualification == "RESEARCH"
    assert [i.TextValue for i in items(sr, "Comment")] == [
        "Made by research software without review by a radiologist: not for diagnosis."
    ]
    assert report["observerContext"]["ObserverType"] == "DEVICE"
    assert report["observerContext"]["DeviceObserverName"] == "LungSpread"


def test_a_repeated_job_repeats_its_bytes_and_another_job_has_other_uids(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    first = saved(made, tmp_path)["sr"].read_bytes()

    assert saved(made, tmp_path)["sr"].read_bytes() == first
    other = encode_refusal("b" * 64, "why", made.findings.card, made.series.datasets)
    assert str(other.SOPInstanceUID) not in first.decode("latin-1")


def test_a_refused_series_gets_a_report_that_the_analysis_was_not_attempted_and_why(
    analysed: Analyse, tmp_path: Path
) -> None:
    made = analysed([])
    reason = "1 gap(s) in the stack, the widest of 7.50 mm where slices are 2.50 mm apart"

    encode_refusal("c" * 64, reason, made.findings.card, made.series.datasets).save_as(tmp_path / "refusal.dcm")

    (group,) = read_by_dcmqi(tmp_path / "refusal.dcm")["Measurements"]
    said = {e["conceptCode"]["CodeMeaning"]: e["conceptValue"] for e in group["qualitativeEvaluations"]}
    assert said["Summary of Analyses"]["CodeMeaning"] == "Not Attempted"
    sr = pydicom.dcmread(tmp_path / "refusal.dcm")
    assert [i.TextValue for i in items(sr, *GROUP, "Comment")] == [reason]
    assert sr.SeriesNumber == 10033


def test_a_refusal_needs_neither_geometry_nor_pixels(tmp_path: Path, analysed: Analyse) -> None:
    def poor(image: Dataset) -> Dataset:
        bare = Dataset()
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientName"):
            bare[keyword] = image[keyword]
        return bare

    made = analysed([])
    images = [poor(image) for image in made.series.datasets]

    encode_refusal("c" * 64, "unreadable", made.findings.card, images).save_as(tmp_path / "refusal.dcm")

    sr = pydicom.dcmread(tmp_path / "refusal.dcm")
    assert (sr.PatientName, sr.PatientID, sr.ContentDate) == ("SECRET^NAME", "", "19700101")
