from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.fixtures.worker.analysed_series import STORED_SCANS
from tests.fixtures.worker.described import described
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import (
    AT_THE_CORNERS,
    FIVE,
    GROUP,
    ONE,
    Made,
    items,
    numbers,
    read_by_dcmqi,
    said,
    saved,
)
from worker.outputs.dicom.source import source_of, source_of_images
from worker.outputs.dicom.sr.report import encode_rejection, encode_sr

Analyse = Callable[..., Made]

HU = ("[hnsf'U]", "UCUM", "Hounsfield unit")


@pytest.mark.parametrize("boxes", [ONE, FIVE, AT_THE_CORNERS], ids=["one", "five", "corners"])
def test_a_lesion_has_a_group_of_lines_and_one_of_numbers(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    case = analysed(boxes)

    groups = read_by_dcmqi(saved(case, tmp_path)["sr"])["Measurements"]

    assert len(groups) == 2 * len(boxes) + 2
    for finding, lines, volume in zip(case.findings.findings, groups[:-2:2], groups[1:-2:2], strict=True):
        measured = finding.measurement
        axes = {
            ("Long Axis", "", "mm", "UCUM", "mm"): measured.long_axis.length_mm,
            ("Short Axis", "", "mm", "UCUM", "mm"): measured.short_axis.length_mm,
        }
        assert numbers(lines) == axes
        assert (
            numbers(volume).items()
            >= (
                axes
                | {
                    ("Volume", "", "ml", "UCUM", "milliliter"): measured.volume_ml,
                    ("Attenuation Coefficient", "Mean", "[hnsf'U]", "UCUM", "Hounsfield unit"): round(
                        measured.intensity.mean_hu, 2
                    ),
                    ("Attenuation Coefficient", "Standard Deviation", "[hnsf'U]", "UCUM", "Hounsfield unit"): round(
                        measured.intensity.sd_hu, 2
                    ),
                }
            ).items()
        )
        assert said(volume)["Lungs and lobes found"] == "No"
        for group in (lines, volume):
            assert group["FindingSite"]["CodeMeaning"] == "Lung"
            assert group["Finding"]["CodeMeaning"] == "Nodule"
            algorithm = group["measurementAlgorithmIdentification"]
            assert (algorithm["AlgorithmName"], algorithm["AlgorithmVersion"]) == ("lung_tumour", "0.1.0")
            assert algorithm["AlgorithmParameters"][0] == "weights_sha256=" + "0123456789abcdef" * 4


def test_groups_of_lines_have_only_lines_with_one_coordinate_each(analysed: Analyse, tmp_path: Path) -> None:
    """OHIF 3.13 hydrates only such groups."""
    case = analysed(FIVE)

    sr = pydicom.dcmread(saved(case, tmp_path, findings=described(case.findings))["sr"])

    lines = [group for group in items(sr, *GROUP) if tracking_identifier(group).startswith("Cornerstone3DTools")]
    assert len(lines) == 5
    for group in lines:
        numbers = [item for item in group.ContentSequence if item.ValueType == "NUM"]
        assert [item.ConceptNameCodeSequence[0].CodeMeaning for item in numbers] == ["Long Axis", "Short Axis"]
        assert [[child.ValueType for child in item.ContentSequence] for item in numbers] == [["SCOORD"], ["SCOORD"]]


def tracking_identifier(group: Dataset) -> str:
    (identifier,) = items(group, "Tracking Identifier")
    return str(identifier.TextValue)


def test_both_groups_of_a_lesion_have_the_tracking_uid_of_its_segment(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    files = saved(case, tmp_path)

    groups = read_by_dcmqi(files["sr"])["Measurements"]

    segments = pydicom.dcmread(files["seg"]).SegmentSequence
    expected = [segment.TrackingUID for segment in segments]
    assert expected == [finding.lesion.tracking_uid for finding in case.findings.findings]
    assert len(set(expected)) == 5
    assert [group["TrackingUniqueIdentifier"] for group in groups[:-2:2]] == expected
    assert [group["TrackingUniqueIdentifier"] for group in groups[1:-2:2]] == expected
    assert [group["TrackingIdentifier"] for group in groups[1:-2:2]] == [segment.TrackingID for segment in segments]
    assert groups[-1]["TrackingUniqueIdentifier"] not in expected
    for group in groups[:-2:2]:
        assert group["TrackingIdentifier"].startswith("Cornerstone3DTools@^0.1.0:Bidirectional:lesion-")


def test_every_measurement_group_has_a_tracking_uid(analysed: Analyse, tmp_path: Path) -> None:
    for boxes in (FIVE, []):
        groups = list(items(pydicom.dcmread(saved(analysed(boxes), tmp_path)["sr"]), *GROUP))

        assert groups
        for group in groups:
            (uid,) = items(group, "Tracking Unique Identifier")
            assert pydicom.uid.UID(uid.UID).is_valid


def test_a_volume_group_refers_to_its_segment_and_to_the_series(analysed: Analyse, tmp_path: Path) -> None:
    files = saved(analysed(FIVE), tmp_path)

    seg = pydicom.dcmread(files["seg"])
    references = list(items(pydicom.dcmread(files["sr"]), *GROUP, "Referenced Segment"))
    series = list(items(pydicom.dcmread(files["sr"]), *GROUP, "Source Series for Segmentation"))

    assert [r.ReferencedSOPSequence[0].ReferencedSegmentNumber for r in references] == [1, 2, 3, 4, 5]
    assert {r.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for r in references} == {seg.SOPInstanceUID}
    assert [item.UID for item in series] == ["1.2.2"] * 5


@pytest.mark.parametrize("scan", STORED_SCANS.values(), ids=STORED_SCANS.keys())
@pytest.mark.parametrize("axis", ["Long Axis", "Short Axis"])
def test_an_axis_is_drawn_where_it_was_measured(
    analysed: Analyse, tmp_path: Path, axis: str, scan: dict[str, Any]
) -> None:
    case = analysed([*AT_THE_CORNERS, *ONE], **scan)
    sources = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, case.ct_files)}

    lines = [
        item
        for item in items(pydicom.dcmread(saved(case, tmp_path)["sr"]), *GROUP, axis)
        if any(below.ValueType == "SCOORD" for below in item.get("ContentSequence", ()))
    ]

    for finding, line in zip(case.findings.findings, lines, strict=True):
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
    case = analysed([np.s_[3:4, 0:1, 0:3]])
    (finding,) = case.findings.findings
    edge_to_edge = replace(finding.measurement.long_axis, start_px=(-0.5, 0.0), end_px=(2.5, 0.0))
    finding = replace(finding, measurement=replace(finding.measurement, long_axis=edge_to_edge))

    findings = replace(case.findings, findings=(finding,))
    sr = encode_sr(report_of(findings), source_of(case.series), None)
    sr.save_as(tmp_path / "sr.dcm")

    (line,) = items(pydicom.dcmread(tmp_path / "sr.dcm"), *GROUP, "Long Axis", "Source")
    assert list(line.GraphicData) == [0.0, 0.5, 3.0, 0.5]


def test_the_image_library_holds_only_images_that_are_drawn_on(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    sr = pydicom.dcmread(saved(case, tmp_path)["sr"])

    library = items(sr, "Image Library", "Image Library Group", "Source")
    drawn = [
        *items(sr, *GROUP, "Long Axis", "Source", "Source"),
        *items(sr, *GROUP, "Number of lesions", "Source", "Source"),
    ]
    assert {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in library} == {
        i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in drawn
    }


def test_every_analysed_image_is_in_the_evidence(analysed: Analyse, tmp_path: Path) -> None:
    for boxes in (FIVE, []):
        case = analysed(boxes)
        sr = pydicom.dcmread(saved(case, tmp_path)["sr"])

        evidence = {
            instance.ReferencedSOPInstanceUID
            for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
            for study in sr.get(keyword, ())
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        assert evidence >= set(case.series.sop_instance_uids)


def test_without_a_seg_the_numbers_are_in_a_group_on_the_image_of_the_axes(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    file = saved(case, tmp_path, "sr", findings=described(case.findings))["sr"]
    groups = read_by_dcmqi(file)["Measurements"]

    with_seg = read_by_dcmqi(saved(case, tmp_path, findings=described(case.findings))["sr"])["Measurements"]
    assert [numbers(group) for group in groups] == [numbers(group) for group in with_seg]
    assert [said(group) for group in groups] == [said(group) for group in with_seg]
    assert not any("ReferencedSegment" in group for group in groups)
    sources = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
               for item in items(pydicom.dcmread(tmp_path / "sr.dcm"), *GROUP, "Source of Measurement")]  # fmt: skip
    assert len(sources) == 2, "with a SEG, only the groups of the scan and of the comparison have an image"


def test_the_report_is_preliminary_unverified_by_a_device_and_marked_as_research(
    analysed: Analyse, tmp_path: Path
) -> None:
    file = saved(analysed(ONE), tmp_path)["sr"]

    sr, report = pydicom.dcmread(file), read_by_dcmqi(file)

    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert (sr.SeriesDescription, sr.SeriesNumber) == ("Lung lesions SR (research)", 10032)
    assert sr.ContentQualification == "RESEARCH"
    assert [i.TextValue for i in items(sr, "Comment")] == [
        "Made by research software without review by a radiologist: not for diagnosis."
    ]
    assert report["observerContext"]["ObserverType"] == "DEVICE"
    assert report["observerContext"]["DeviceObserverName"] == "LungSpread"


def test_a_repeated_job_repeats_its_bytes_and_another_job_has_other_uids(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    first = saved(case, tmp_path)["sr"].read_bytes()

    assert saved(case, tmp_path)["sr"].read_bytes() == first
    other = encode_rejection("b" * 64, "why", case.findings.card, source_of(case.series))
    assert str(other.SOPInstanceUID) not in first.decode("latin-1")


def test_a_rejected_series_has_a_report_that_the_analysis_was_not_attempted_and_why(
    analysed: Analyse, tmp_path: Path
) -> None:
    case = analysed([])
    reason = "1 gap(s) in the stack, the widest of 7.50 mm where slices are 2.50 mm apart"

    encode_rejection("c" * 64, reason, case.findings.card, source_of(case.series)).save_as(tmp_path / "rejection.dcm")

    (group,) = read_by_dcmqi(tmp_path / "rejection.dcm")["Measurements"]
    said = {e["conceptCode"]["CodeMeaning"]: e["conceptValue"] for e in group["qualitativeEvaluations"]}
    assert said["Summary of Analyses"]["CodeMeaning"] == "Not Attempted"
    sr = pydicom.dcmread(tmp_path / "rejection.dcm")
    assert [i.TextValue for i in items(sr, *GROUP, "Comment")] == [reason]
    assert sr.SeriesNumber == 10033


def test_a_rejection_report_needs_neither_geometry_nor_pixels(tmp_path: Path, analysed: Analyse) -> None:
    def minimal(image: Dataset) -> Dataset:
        bare = Dataset()
        for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientName"):
            bare[keyword] = image[keyword]
        return bare

    case = analysed([])
    images = [minimal(image) for image in case.series.datasets]

    encode_rejection("c" * 64, "unreadable", case.findings.card, source_of_images(images)).save_as(
        tmp_path / "rejection.dcm"
    )

    sr = pydicom.dcmread(tmp_path / "rejection.dcm")
    assert (sr.PatientName, sr.PatientID, sr.ContentDate) == ("SECRET^NAME", "", "19700101")
