from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from models.lungs.lungs import Lobe, Lungs
from tests.fixtures.worker.analysed_series import TWO_SPACINGS
from tests.fixtures.worker.described import LUNGS, PROPOSAL, described, extent
from tests.fixtures.worker.reading import FIVE, GROUP, ONE, Made, everything, items, numbers, read_by_dcmqi, said, saved
from worker.codes import lesions as codes
from worker.findings import Findings
from worker.staging.t_size import CATEGORIES

Analyse = Callable[..., Made]

COUNT, ML, MM, SHARE = (
    ("{lesions}", "UCUM", "lesions"),
    ("ml", "UCUM", "milliliter"),
    ("mm", "UCUM", "mm"),
    ("1", "UCUM", "no units"),
)


def summary(case: Made, folder: Path, findings: Findings) -> Any:  # noqa: ANN401
    """The group of the scan as dcmqi reads it."""
    return read_by_dcmqi(saved(case, folder, findings=findings)["sr"])["Measurements"][-1]


def test_dcmqi_reads_every_number_of_the_scan_back(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    findings = described(case.findings)

    group = summary(case, tmp_path, findings)

    extent = findings.extent
    assert extent is not None
    assert numbers(group) == {
        ("Number of lesions", "", *COUNT): 5,
        ("Number of lesions in the right lung", "", *COUNT): extent.lesions_right,
        ("Number of lesions in the left lung", "", *COUNT): extent.lesions_left,
        ("Number of satellite lesions", "", *COUNT): extent.satellites,
        ("Tumor burden", "", *ML): extent.burden_ml,
        ("Volume of both lungs", "", *ML): extent.lungs_ml,
        ("Share of the lungs that is tumor", "", *SHARE): extent.burden_share,
        ("Largest distance between two lesions", "", *MM): extent.largest_distance_mm,
        ("Dispersion around the center of the burden", "", *MM): extent.dispersion_mm,
    }
    assert group["FindingSite"]["CodeMeaning"] == "Lung"


def test_dcmqi_reads_the_numbers_of_every_lobe(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    findings = described(case.findings)

    group = summary(case, tmp_path, findings)

    read = {}
    for item in group["measurementItems"]:
        for modifier in item.get("measurementModifiers", ()):
            assert modifier["modifier"]["CodeMeaning"] == "Lobe of lung"
            key = (
                modifier["modifierValue"]["CodeMeaning"],
                item["quantity"]["CodeMeaning"],
                item["units"]["CodeValue"],
            )
            assert key not in read
            read[key] = float(item["value"])
    expected: dict[tuple[str, str, str], float] = {}
    assert findings.extent is not None
    for burden in findings.extent.by_lobe:
        name = MEANINGS[burden.lobe]
        expected[name, "Number of lesions in the lobe", "{lesions}"] = burden.lesions
        expected[name, "Tumor burden of the lobe", "ml"] = burden.burden_ml
        expected[name, "Volume of the lobe", "ml"] = burden.lobe_ml
        expected[name, "Share of the lobe that is tumor", "1"] = burden.involvement
    assert len(expected) == 20
    assert read == pytest.approx(expected)


MEANINGS = {
    Lobe.RIGHT_UPPER: "Upper lobe of right lung",
    Lobe.RIGHT_MIDDLE: "Middle lobe of right lung",
    Lobe.RIGHT_LOWER: "Lower lobe of right lung",
    Lobe.LEFT_UPPER: "Upper lobe of left lung",
    Lobe.LEFT_LOWER: "Lower lobe of left lung",
}


def test_t_is_an_imaging_proposal_with_its_basis_and_n_is_never_stated(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    file = saved(case, tmp_path, findings=described(case.findings))["sr"]

    group = list(items(pydicom.dcmread(file), *GROUP))[-1]
    (proposed,) = items(group, "Imaging proposal of T (TNM 9), not confirmed")
    assert proposed.ConceptCodeSequence[0].CodeMeaning == "T2b proposed"
    (metastasis,) = items(group, "Imaging proposal of M (TNM 9), not confirmed")
    assert metastasis.ConceptCodeSequence[0].CodeMeaning == "M1a proposed"
    basis = [item.TextValue for item in items(group, "Basis of the imaging proposal")]
    assert basis == [
        *PROPOSAL.basis,
        "Proposed from this scan alone, by software: not a clinical or pathological stage.",
    ]
    meanings = {
        code.CodeMeaning
        for item in everything(pydicom.dcmread(file))
        for code in (*item.ConceptNameCodeSequence, *item.get("ConceptCodeSequence", ()))
    }
    assert not [meaning for meaning in meanings if meaning.startswith(("cT", "pT", "N0", "N1", "N2", "N3", "cN", "cM"))]


def test_a_descriptor_of_several_tumours_is_coded_by_its_category_and_written_out(
    analysed: Analyse, tmp_path: Path
) -> None:
    case = analysed(FIVE)
    several = replace(PROPOSAL, descriptor="T1b(3)", m1a=False)

    group = said(summary(case, tmp_path, described(case.findings, several)))

    assert group["Imaging proposal of T (TNM 9), not confirmed"] == "T1b proposed"
    assert group["Proposed descriptor as written"] == "T1b(3)"
    assert "Imaging proposal of M (TNM 9), not confirmed" not in group


def test_every_category_of_the_staging_has_a_code() -> None:
    assert list(codes.T_CATEGORIES) == list(CATEGORIES)


def test_without_a_proposal_the_report_has_no_items_on_t(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(ONE)

    group = said(summary(case, tmp_path, described(case.findings, None)))

    assert not [name for name in group if "proposal" in name]


def test_without_lungs_the_report_states_it_and_has_neither_sides_nor_shares(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    unplaced = replace(
        extent(5, PROPOSAL),
        lesions_right=None,
        lesions_left=None,
        satellites=None,
        lungs_ml=None,
        burden_share=None,
        by_lobe=(),
    )

    group = summary(case, tmp_path, replace(case.findings, extent=unplaced))

    assert said(group)["Lungs and lobes found"] == "No"
    assert said(group)["CAD Processing and Findings Summary"] == "Not all algorithms succeeded; with findings"
    assert {name for name, *_ in numbers(group)} == {
        "Number of lesions",
        "Tumor burden",
        "Largest distance between two lesions",
        "Dispersion around the center of the burden",
    }
    assert len(group["measurementItems"]) == 4


def test_with_lungs_and_lesions_all_algorithms_succeeded(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(ONE)

    group = said(summary(case, tmp_path, described(case.findings)))

    assert group["CAD Processing and Findings Summary"] == "All algorithms succeeded; with findings"
    assert group["Lungs and lobes found"] == "Yes"
    assert "Neoplasm" not in group


@pytest.mark.parametrize(
    ("lungs", "summary_meaning"),
    [
        (LUNGS, "All algorithms succeeded; without findings"),
        (None, "Not all algorithms succeeded; without findings"),
    ],
    ids=["lungs", "no lungs"],
)
def test_without_a_lesion_the_report_states_it_in_codes(
    analysed: Analyse, tmp_path: Path, lungs: Lungs | None, summary_meaning: str
) -> None:
    case = analysed([])
    files = saved(case, tmp_path, findings=replace(case.findings, lungs=lungs))

    _, group = read_by_dcmqi(files["sr"])["Measurements"]

    assert list(files) == ["sr"]
    assert numbers(group)["Number of lesions", "", *COUNT] == 0
    assert set(numbers(group).values()) == {0}
    evaluations = {e["conceptCode"]["CodeMeaning"]: e["conceptValue"] for e in group["qualitativeEvaluations"]}
    absent = {"CodeMeaning": "Absent", "CodeValue": "272519000", "CodingSchemeDesignator": "SCT"}
    assert evaluations["Neoplasm"] == absent
    assert evaluations["CAD Processing and Findings Summary"]["CodeMeaning"] == summary_meaning
    assert "Finding" not in group, "a reader that counts findings must not count one"
    *_, image = items(pydicom.dcmread(files["sr"]), *GROUP, "Source of Measurement")
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_no_lesion_in_segmented_lungs_is_reported_with_the_lobes(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed([])

    group = summary(case, tmp_path, described(case.findings))

    assert numbers(group)["Number of lesions", "", *COUNT] == 0
    assert len(group["measurementItems"]) == 9 + 20


def test_every_tracking_uid_of_a_report_with_lines_has_coordinates(analysed: Analyse, tmp_path: Path) -> None:
    """OHIF 3.13 joins groups by Tracking UID; one without coordinates gives a black viewport."""
    case = analysed(FIVE)

    groups = list(items(pydicom.dcmread(saved(case, tmp_path, findings=described(case.findings))["sr"]), *GROUP))

    drawn: dict[str, bool] = {}
    for group in groups:
        (uid,) = items(group, "Tracking Unique Identifier")
        drawn[uid.UID] = drawn.get(uid.UID, False) or any(item.ValueType == "SCOORD" for item in everything(group))
    assert len(drawn) == 7
    assert all(drawn.values())


def test_the_number_of_lesions_refers_to_the_whole_image(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(ONE)

    sr = pydicom.dcmread(saved(case, tmp_path, findings=described(case.findings))["sr"])

    (frame,) = items(sr, *GROUP, "Number of lesions", "Source")
    assert list(frame.GraphicData) == [0, 0, 36, 0, 36, 40, 0, 40, 0, 0]
    (image,) = frame.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == case.series.sop_instance_uids[6]


@pytest.mark.parametrize("boxes", [[], ONE], ids=["no lesion", "one lesion"])
def test_a_resampled_stack_is_named_as_such(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    case = analysed(boxes, **TWO_SPACINGS["2.5 mm below, 5 mm above"])

    sr = pydicom.dcmread(saved(case, tmp_path, "sr")["sr"])

    (is_resampled,) = items(sr, *GROUP, "Images resampled to an even stack")
    assert is_resampled.ConceptCodeSequence[0].CodeMeaning == "Yes"
    (how,) = items(sr, *GROUP, "How the images were resampled")
    assert how.TextValue.startswith(
        "11 images, 2.50 to 5.00 mm apart, were resampled linearly to 14 slices of 2.50 mm."
    )


def test_an_even_stack_is_not_said_to_be_resampled(analysed: Analyse, tmp_path: Path) -> None:
    sr = pydicom.dcmread(saved(analysed(ONE), tmp_path, "sr")["sr"])

    assert list(items(sr, *GROUP, "Images resampled to an even stack")) == []


def test_the_axes_of_a_resampled_stack_are_on_an_original_image(analysed: Analyse, tmp_path: Path) -> None:
    """A lesion whose largest section is between the images 9 and 11 of the even stack, counted from 0."""
    lesion = [np.s_[9:12, 10:14, 10:20], np.s_[10:11, 10:14, 10:30]]
    case = analysed([lesion], **TWO_SPACINGS["2.5 mm below, 5 mm above"])

    sr = pydicom.dcmread(saved(case, tmp_path)["sr"])

    (line, *_) = items(sr, *GROUP, "Long Axis", "Source")
    image = line.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert image in (case.series.sop_instance_uids[8], case.series.sop_instance_uids[9])
    columns = line.GraphicData[::2]
    assert max(columns) - min(columns) == pytest.approx(10, abs=1.5), "as on the image"
