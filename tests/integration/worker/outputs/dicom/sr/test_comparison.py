from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.fixtures.worker.described import described
from tests.fixtures.worker.five_compared import DAYS, IMAGE, MERGED_UID, REPORT, VANISHED_UID, compared
from tests.fixtures.worker.make_comparisons import alone
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import FIVE, GROUP, Made, everything, items, read_by_dcmqi, said, saved
from tests.fixtures.worker.ucum import dimension
from tests.integration.worker.outputs.test_encode import OWN_CODES
from tests.unit.worker.codes.test_codes import CONFORMANCE
from tests.unit.worker.outputs.dicom.sr.test_units import unit_of
from worker.codes import lesions as codes
from worker.follow_up.change import Change
from worker.follow_up.comparison import ComparisonStatus
from worker.report import Report

Analyse = Callable[..., Made]

TIME = {"d": {"time": 1}, "/a": {"time": -1}, "%/a": {"time": -1}}


def sr_of(case: Made, folder: Path, report: Report) -> Dataset:
    return pydicom.dcmread(saved(case, folder, report=report)["sr"])


def numbers_of(group: Any) -> dict[str, tuple[float, str]]:  # noqa: ANN401
    """The numbers by name, with units; the last one of those with the same name."""
    return {
        item["quantity"]["CodeMeaning"]: (float(item["value"]), item["units"]["CodeValue"])
        for item in group["measurementItems"]
    }


def properties_of(group: Any, name: str) -> dict[str, float]:  # noqa: ANN401
    (item,) = [item for item in group["measurementItems"] if item["quantity"]["CodeMeaning"] == name]
    return {
        each["numProperty"]["CodeMeaning"]: float(each["numPropertyValue"]) for each in item["measurementNumProperties"]
    }


def uids(group: Dataset, name: str) -> list[str]:
    return [str(item.UID) for item in items(group, name)]


def group_of(sr: Dataset, tracking_uid: str) -> Dataset:
    """The group with the measurements of a lesion, not that with its lines."""
    *_, group = [each for each in items(sr, *GROUP) if uids(each, "Tracking Unique Identifier") == [tracking_uid]]
    return group


def scan_group(sr: Dataset) -> Dataset:
    return list(items(sr, *GROUP))[-2]


def value(group: Dataset, name: str) -> str:
    (item,) = items(group, name)
    return str(item.ConceptCodeSequence[0].CodeMeaning)


def texts(group: Dataset, name: str) -> list[str]:
    return [str(item.TextValue) for item in items(group, name)]


def test_dcmqi_reads_the_change_of_a_lesion(analysed: Analyse, tmp_path: Path) -> None:
    """Growth from 2/3 of the volume to the whole in 110 days; the prior volume is rounded to 0.1181 ml."""
    case = analysed(FIVE)
    report = compared(described(case.findings))

    group = read_by_dcmqi(saved(case, tmp_path, report=report)["sr"])["Measurements"][1]

    change = report.comparison.lesions[0].change
    assert isinstance(change, Change)
    assert change.growth
    known = {
        "Time since the scan that the lesion is compared with": (110.0, "d"),
        "Change of volume": (round(0.1772 - 0.1181, 4), "ml"),
        "Relative change of volume": (pytest.approx(100 * (0.1772 / 0.1181 - 1), abs=1e-4), "%"),
        "Change of long axis": (pytest.approx(change.long_axis_mm.absolute, abs=1e-3), "mm"),
        "Change of short axis": (pytest.approx(change.short_axis_mm.absolute, abs=1e-3), "mm"),
        "Change of mean diameter": (change.mean_diameter_mm.absolute, "mm"),
        "Change of mass": (pytest.approx(0.6), "g"),
        "Relative change of mass": (pytest.approx(66.6667), "%"),
        "Specific growth rate of the volume": (pytest.approx(change.growth.rate_per_year), "/a"),
        "Volume doubling time, negative: halving time": (pytest.approx(187.9, abs=0.05), "d"),
        "Confidence of the match with the last time point": (0.9712, "1"),
        "Number of slices that show the lesion": (3.0, "{slices}"),
    }
    read = numbers_of(group)
    assert {name: read[name] for name in known} == known
    limits = change.repeatability.volume_percent
    assert properties_of(group, "Relative change of volume") == {
        "Lower limit of what may be chance": limits.low,
        "Upper limit of what may be chance": limits.high,
    }
    assert properties_of(group, "Change of volume") == {"Value at the earlier time point": 0.1181}
    doubling = change.growth.doubling_time
    assert properties_of(group, "Volume doubling time, negative: halving time") == {
        "Doubling time at the upper end of the growth rate": doubling.fastest_days,
        "Doubling time at the lower end of the growth rate": doubling.slowest_days,
    }


def test_event_and_change_of_a_lesion_are_written_as_codes_and_texts(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    report = compared(described(case.findings))

    file = saved(case, tmp_path, report=report)["sr"]

    group = read_by_dcmqi(file)["Measurements"][1]
    assert (
        said(group).items()
        >= {
            "What the scan shows of the lesion": "Present",
            "Event since the last time point": "The same lesion",
            "Change of volume is beyond chance": "Yes",
            "Change of long axis is beyond chance": "No",
            "Grown by Lung-RADS v2022": "No",
            "Grown by Fleischner 2017": "No",
            "Grown by BTS 2015": "Yes",
            "Grown by NELSON": "Yes",
            "Class of the doubling time by BTS 2015 and NELSON": "Under 400 days",
            "Volume doubling time in words": "doubles in 188 days (95 %: 106 to 1635 days)",
        }.items()
    )
    lesion_group = group_of(pydicom.dcmread(file), case.findings.findings[0].lesion.tracking_uid)
    assert len(texts(lesion_group, "Basis of a guideline's statement")) == 4
    assert [
        item.ConceptCodeSequence[0].CodeMeaning for item in items(lesion_group, "Condition that limits the comparison")
    ] == [
        "Reconstruction kernel differs",
        "Contrast agent not known for both scans",
    ]


def test_every_event_refers_to_the_related_lesions(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    _, second, third, fourth, fifth = (each.lesion.tracking_uid for each in case.findings.findings)

    sr = sr_of(case, tmp_path, compared(described(case.findings)))

    event = "Event since the last time point"
    assert value(group_of(sr, second), event) == "New lesion"
    assert value(group_of(sr, third), event) == "Several lesions merged"
    assert value(group_of(sr, fourth), event) == "The lesion split"
    assert uids(group_of(sr, fourth), "Tracking UID of the lesion that it split from") == [third]
    assert uids(group_of(sr, fifth), "Tracking UID of the lesion that this may be") == [VANISHED_UID]


def test_a_vanished_or_merged_lesion_has_a_group_with_its_tracking_uid(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    sr = sr_of(case, tmp_path, compared(described(case.findings)))

    vanished, merged = group_of(sr, VANISHED_UID), group_of(sr, MERGED_UID)
    assert texts(vanished, "Tracking Identifier") == ["lesion-6"]
    assert value(vanished, "What the scan shows of the lesion") == "Vanished"
    assert value(merged, "What the scan shows of the lesion") == "Merged into another lesion"
    third = case.findings.findings[2].lesion.tracking_uid
    assert uids(merged, "Tracking UID of the lesion that it merged into") == [third]
    (last,) = items(vanished, "Time since a scan last showed the lesion")
    assert (last.MeasuredValueSequence[0].NumericValue, unit_of(last)) == (200 - 90, "d")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (ComparisonStatus.NO_PRIOR, "NO_PRIOR"),
        (ComparisonStatus.NOT_FETCHED, "NOT_FETCHED"),
        (ComparisonStatus.NOT_COMPARABLE, "NOT_COMPARABLE"),
        (ComparisonStatus.NOT_QUERIED, "NOT_QUERIED"),
    ],
)
@pytest.mark.parametrize("boxes", [FIVE, []], ids=["five", "none"])
def test_each_reason_for_no_comparison_has_its_code(
    analysed: Analyse, tmp_path: Path, boxes: list[Any], statement: ComparisonStatus, code: str
) -> None:
    case = analysed(boxes)

    group = scan_group(sr_of(case, tmp_path, report_of(case.findings, alone(statement, "1.2.3: 40 s, limit 30 s"))))

    (item,) = items(group, "Comparison with earlier scans")
    stated = item.ConceptCodeSequence[0]
    assert (stated.CodeValue, stated.CodingSchemeDesignator) == (code, codes.PRIVATE_SCHEME)
    assert value(group, "Comparison with Prior Study Done") == "No"
    assert texts(group, "Reason why there is no comparison") == ["1.2.3: 40 s, limit 30 s"]


def test_dates_in_a_reason_are_replaced_by_days(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    report = compared(described(case.findings))
    report = replace(report, comparison=replace(report.comparison, reason="the scan of 2024-03-31 is a slab"))

    sr = sr_of(case, tmp_path, report)

    assert texts(scan_group(sr), "Reason why there is no comparison") == ["the scan of day 90 is a slab"]
    assert not [item for item in everything(sr) if "2024-" in str(item.get("TextValue", ""))]


def test_the_proposed_response_has_its_arithmetic(analysed: Analyse, tmp_path: Path) -> None:
    """40 + 20 = 60 mm at baseline, 30 + 20 = 50 the nadir, 21 + 15 = 36 now: -40 %, -28 %, but a new lesion."""
    case = analysed(FIVE)
    first, second, third, *_ = (each.lesion.tracking_uid for each in case.findings.findings)
    file = saved(case, tmp_path, report=compared(described(case.findings)))["sr"]

    group = read_by_dcmqi(file)["Measurements"][-2]

    assert (
        numbers_of(group).items()
        >= {
            "Sum of diameters of the target lesions": (36.0, "mm"),
            "Sum of diameters at baseline": (60.0, "mm"),
            "Smallest sum of diameters before, the nadir": (50.0, "mm"),
            "Change of the sum of diameters from baseline": (-40.0, "%"),
            "Change of the sum of diameters from nadir": (-28.0, "%"),
            "Absolute change of the sum of diameters from nadir": (-14.0, "mm"),
            "Sum of volumes of the target lesions": (4.0, "ml"),
        }.items()
    )
    assert (
        said(group).items()
        >= {
            "Proposed response by RECIST 1.1, not confirmed": "Progressive disease proposed",
            "Proposed response of the target lesions, not confirmed": "Partial response proposed",
            "Proposed response by volume, no part of RECIST, not confirmed": "Partial response proposed",
            "Every target lesion was measured, or is gone": "Yes",
        }.items()
    )
    read_group = scan_group(pydicom.dcmread(file))
    assert uids(read_group, "Target Lesion at Baseline") == [first, third]
    assert uids(read_group, "Non-Target Lesion at Baseline") == [VANISHED_UID]
    assert uids(read_group, "Tracking UID of a new lesion by RECIST 1.1") == [second]
    basis = texts(read_group, "Arithmetic of the proposed response")
    assert "sum 36.0 mm, baseline 60.0 mm: -40.0 %, nadir 50.0 mm: -28.0 % and -14.0 mm: PR" in basis


def test_the_registration_method_has_its_quality(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    file = saved(case, tmp_path, report=compared(described(case.findings)))["sr"]

    group = read_by_dcmqi(file)["Measurements"][-2]

    assert said(group)["Registration Method"] == "Lungs to lungs, rigid"
    assert said(group)["Reason why the registration is no better"] == "the deformable registration folded"
    assert (
        numbers_of(group).items()
        >= {
            "Mean distance of the registered lung surfaces": (1.234, "mm"),
            "95th percentile of the distance of the lung surfaces": (4.567, "mm"),
            "Smallest Jacobian of the deformation": (0.81234, "1"),
            "Largest Jacobian of the deformation": (1.23456, "1"),
        }.items()
    )


def test_each_scan_has_its_days_and_uids(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    group = scan_group(sr_of(case, tmp_path, compared(described(case.findings))))

    scans = list(items(group, "Time from the baseline to a scan of the timeline"))
    assert [item.MeasuredValueSequence[0].NumericValue for item in scans] == list(DAYS)
    assert [uids(item, "Study Instance UID") for item in scans] == [["1.2.90"], ["1.2.91"], [case.findings.study_uid]]
    assert [uids(item, "Series Instance UID") for item in scans] == [["1.2.90.2"], ["1.2.91.2"], ["1.2.2"]]
    assert [value(item, "Who outlined the time point") for item in scans] == ["A reader"] + ["This software"] * 2


def test_a_prior_report_is_referenced_and_in_the_evidence(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    sr = sr_of(case, tmp_path, compared(described(case.findings)))

    (item,) = items(scan_group(sr), "Prior report for current patient")
    assert item.ValueType == "COMPOSITE"
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == REPORT.sop_instance_uid
    (study,) = sr.PertinentOtherEvidenceSequence
    series = {each.SeriesInstanceUID for each in study.ReferencedSeriesSequence}
    assert (study.StudyInstanceUID, series) == (REPORT.study_uid, {REPORT.series_uid, IMAGE.series_uid})
    assert "PredecessorDocumentsSequence" not in sr, "a prior report is not a previous version of this one"


def test_a_lesion_refers_to_its_image_at_the_prior_time_point(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    report = compared(described(case.findings))

    sr = sr_of(case, tmp_path, report)

    name = "Image of the lesion at the earlier time point"
    first, second = (group_of(sr, each.lesion.tracking_uid) for each in report.findings.findings[:2])
    (item,) = items(first, name)
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == IMAGE.frame.sop_instance_uid
    assert not list(items(second, name)), "a new lesion has none"
    evidence = [
        instance.ReferencedSOPInstanceUID
        for study in sr.PertinentOtherEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted([REPORT.sop_instance_uid, IMAGE.frame.sop_instance_uid])


def test_every_group_has_its_time_point(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    groups = list(items(sr_of(case, tmp_path, compared(described(case.findings))), *GROUP))

    for group in groups:
        assert texts(group, "Time Point") == ["Time point 3"]
        assert texts(group, "Subject Time Point Identifier") == ["1.2.2"]
        assert not texts(group, "Protocol Time Point Identifier")
    without_lines = [group for group in groups if not texts(group, "Tracking Identifier")[0].startswith("Cornerstone")]
    for group in without_lines:
        (offset,) = items(group, "Longitudinal Temporal Offset from Event")
        assert (offset.MeasuredValueSequence[0].NumericValue, unit_of(offset)) == (200, "d")
        assert value(offset, "Longitudinal Temporal Event Type") == "Baseline"
    assert len(groups) - len(without_lines) == 5


def test_groups_of_lines_have_no_other_numbers_and_every_tracking_uid_has_coordinates(
    analysed: Analyse, tmp_path: Path
) -> None:
    """OHIF 3.13 draws no lines of a group with other numbers, and a Tracking UID without coordinates is black."""
    case = analysed(FIVE)

    groups = list(items(sr_of(case, tmp_path, compared(described(case.findings))), *GROUP))

    drawn: dict[str, bool] = {}
    for group in groups:
        (uid,) = uids(group, "Tracking Unique Identifier")
        drawn[uid] = drawn.get(uid, False) or any(item.ValueType == "SCOORD" for item in everything(group))
        if texts(group, "Tracking Identifier")[0].startswith("Cornerstone"):
            assert len([item for item in group.ContentSequence if item.ValueType == "NUM"]) == 2
    assert len(drawn) == 5 + 2 + 2
    assert all(drawn.values())


def measured_over_time(sr: Dataset) -> Iterator[Dataset]:
    for group in items(sr, *GROUP):
        yield from (item for item in everything(group) if item.ValueType == "NUM")


def test_units_of_time_are_ucum_and_every_code_is_in_the_conformance_statement(
    analysed: Analyse, tmp_path: Path
) -> None:
    text = CONFORMANCE.read_text(encoding="utf-8")
    case = analysed(FIVE)

    found = set()
    for item in measured_over_time(sr_of(case, tmp_path, compared(described(case.findings)))):
        unit, name = unit_of(item), item.ConceptNameCodeSequence[0]
        found.add(unit)
        assert dimension(unit) == TIME.get(unit, dimension(unit))
        assert (
            any(form in text for form in (f"({name.CodeValue}, ", f"| {name.CodeValue} |", f"`{name.CodeValue}`"))
            or name.CodeMeaning == "Time Point Order"
        ), name.CodeMeaning
    assert found >= {*TIME, "{slices}", "{scans}"}


def test_noise_is_stored_for_the_next_comparison(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    for report in (compared(case.findings), report_of(case.findings, alone(ComparisonStatus.NO_PRIOR))):
        (noise,) = items(
            group_of(sr_of(case, tmp_path, report), case.findings.findings[0].lesion.tracking_uid),
            "Noise as a share of the contrast to the lung",
        )
        assert 0.005 <= float(noise.MeasuredValueSequence[0].NumericValue) <= 0.15


@pytest.mark.skipif(not Path("/usr/bin/dciodvfy").exists(), reason="dicom3tools are not installed")
def test_dciodvfy_finds_nothing_in_a_report_over_time(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    scan = described(case.findings)

    for report in (compared(scan), report_of(scan, alone(ComparisonStatus.NOT_FETCHED, "the peer was away"))):
        file = saved(case, tmp_path, report=report)["sr"]
        done = subprocess.run(["/usr/bin/dciodvfy", str(file)], capture_output=True, text=True, check=False)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]
        assert [line for line in lines if line != OWN_CODES] == []


def test_the_same_comparison_writes_the_same_bytes(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    report = compared(described(case.findings))

    once = saved(case, tmp_path, report=report)["sr"].read_bytes()

    assert saved(case, tmp_path, report=report)["sr"].read_bytes() == once
