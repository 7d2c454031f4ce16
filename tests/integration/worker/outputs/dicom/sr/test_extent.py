from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from models.lungs.lungs import Lobe, Lungs
from tests.fixtures.worker.described import LUNGS, PROPOSAL, described, spread
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


def summary(made: Made, folder: Path, findings: Findings) -> Any:  # noqa: ANN401
    """What dcmqi reads of the group of the scan."""
    return read_by_dcmqi(saved(made, folder, findings=findings)["sr"])["Measurements"][-1]


def test_dcmqi_reads_every_number_of_the_scan_back(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    findings = described(made.findings)

    group = summary(made, tmp_path, findings)

    known = findings.spread
    assert known is not None
    assert numbers(group) == {
        ("Number of lesions", "", *COUNT): 5,
        ("Number of lesions in the right lung", "", *COUNT): known.lesions_right,
        ("Number of lesions in the left lung", "", *COUNT): known.lesions_left,
        ("Number of satellite lesions", "", *COUNT): known.satellites,
        ("Tumor burden", "", *ML): known.burden_ml,
        ("Volume of both lungs", "", *ML): known.lungs_ml,
        ("Share of the lungs that is tumor", "", *SHARE): known.burden_share,
        ("Largest distance between two lesions", "", *MM): known.largest_distance_mm,
        ("Dispersion around the center of the burden", "", *MM): known.dispersion_mm,
    }
    assert group["FindingSite"]["CodeMeaning"] == "Lung"


def test_dcmqi_reads_what_every_lobe_holds(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    findings = described(made.findings)

    group = summary(made, tmp_path, findings)

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
    expected = {}
    assert findings.spread is not None
    for burden in findings.spread.by_lobe:
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


def test_t_is_an_imaging_proposal_with_its_basis_and_n_is_never_named(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)

    file = saved(made, tmp_path, findings=described(made.findings))["sr"]

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
    made = analysed(FIVE)
    several = replace(PROPOSAL, descriptor="T1b(3)", m1a=False)

    group = said(summary(made, tmp_path, described(made.findings, several)))

    assert group["Imaging proposal of T (TNM 9), not confirmed"] == "T1b proposed"
    assert group["Proposed descriptor as written"] == "T1b(3)"
    assert "Imaging proposal of M (TNM 9), not confirmed" not in group


def test_every_category_of_the_staging_has_a_code() -> None:
    assert list(codes.T_CATEGORIES) == list(CATEGORIES)


def test_without_a_proposal_nothing_is_said_of_t(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(ONE)

    group = said(summary(made, tmp_path, described(made.findings, None)))

    assert not [name for name in group if "proposal" in name]


def test_without_lungs_the_report_says_so_and_gives_neither_sides_nor_shares(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(FIVE)
    unplaced = replace(
        spread(5, PROPOSAL),
        lesions_right=None,
        lesions_left=None,
        satellites=None,
        lungs_ml=None,
        burden_share=None,
        by_lobe=(),
    )

    group = summary(made, tmp_path, replace(made.findings, spread=unplaced))

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
    made = analysed(ONE)

    group = said(summary(made, tmp_path, described(made.findings)))

    assert group["CAD Processing and Findings Summary"] == "All algorithms succeeded; with findings"
    assert group["Lungs and lobes found"] == "Yes"
    assert "Neoplasm" not in group


@pytest.mark.parametrize(
    ("lungs", "came_of_it"),
    [
        (LUNGS, "All algorithms succeeded; without findings"),
        (None, "Not all algorithms succeeded; without findings"),
    ],
    ids=["lungs", "no lungs"],
)
def test_without_a_lesion_the_report_says_so_in_codes(
    analysed: Analyse, tmp_path: Path, lungs: Lungs | None, came_of_it: str
) -> None:
    made = analysed([])
    files = saved(made, tmp_path, findings=replace(made.findings, lungs=lungs))

    (group,) = read_by_dcmqi(files["sr"])["Measurements"]

    assert list(files) == ["sr"]
    assert numbers(group) == {("Number of lesions", "", *COUNT): 0}
    evaluations = {e["conceptCode"]["CodeMeaning"]: e["conceptValue"] for e in group["qualitativeEvaluations"]}
    absent = {"CodeMeaning": "Absent", "CodeValue": "272519000", "CodingSchemeDesignator": "SCT"}
    assert evaluations["Neoplasm"] == absent
    assert evaluations["CAD Processing and Findings Summary"]["CodeMeaning"] == came_of_it
    assert "Finding" not in group, "nobody who counts findings shall count one"
    (image,) = items(pydicom.dcmread(files["sr"]), *GROUP, "Source of Measurement")
    assert image.ReferencedSOPSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_no_lesion_in_known_lungs_is_told_with_its_lobes(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed([])

    group = summary(made, tmp_path, described(made.findings))

    assert numbers(group)["Number of lesions", "", *COUNT] == 0
    assert len(group["measurementItems"]) == 9 + 20


def test_of_a_report_with_lines_every_group_has_coordinates(analysed: Analyse, tmp_path: Path) -> None:
    """OHIF 3.13 joins groups by their Tracking UID, and stays black where one of them is drawn nowhere."""
    made = analysed(FIVE)

    groups = list(items(pydicom.dcmread(saved(made, tmp_path, findings=described(made.findings))["sr"]), *GROUP))

    drawn: dict[str, bool] = {}
    for group in groups:
        (uid,) = items(group, "Tracking Unique Identifier")
        drawn[uid.UID] = drawn.get(uid.UID, False) or any(item.ValueType == "SCOORD" for item in everything(group))
    assert len(drawn) == 6
    assert all(drawn.values())


def test_lesions_are_counted_in_the_whole_image(analysed: Analyse, tmp_path: Path) -> None:
    made = analysed(ONE)

    sr = pydicom.dcmread(saved(made, tmp_path, findings=described(made.findings))["sr"])

    (frame,) = items(sr, *GROUP, "Number of lesions", "Source")
    assert list(frame.GraphicData) == [0, 0, 36, 0, 36, 40, 0, 40, 0, 0]
    (image,) = frame.ContentSequence
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == made.findings.sop_instance_uids[6]
