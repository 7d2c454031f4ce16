from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.fixtures.worker.described import described
from tests.fixtures.worker.reading import FIVE, ONE, Made, numbers, read_by_dcmqi, said, saved
from worker.findings import Finding

Analyse = Callable[..., Made]

ML, MM, MM2, PER_MM, G, HU, ONE_, SLICES = (
    ("ml", "UCUM", "milliliter"),
    ("mm", "UCUM", "mm"),
    ("mm2", "UCUM", "square millimeter"),
    ("/mm", "UCUM", "per millimeter"),
    ("g", "UCUM", "gram"),
    ("[hnsf'U]", "UCUM", "Hounsfield unit"),
    ("1", "UCUM", "no units"),
    ("{slices}", "UCUM", "slices"),
)


def number_groups(case: Made, folder: Path, findings: Any) -> list[Any]:  # noqa: ANN401
    """The group of measurements of each lesion, as dcmqi reads it."""
    return list(read_by_dcmqi(saved(case, folder, findings=findings)["sr"])["Measurements"][1:-2:2])


def expected_numbers(finding: Finding) -> dict[tuple[str, ...], float | None]:
    """Expected numbers of a lesion by name, derivation and unit, written by hand."""
    m, location = finding.measurement, finding.location
    shape, intensity, density = m.shape, m.intensity, m.density
    assert shape
    assert intensity
    assert density
    assert location
    attenuation = "Attenuation Coefficient"
    return {
        ("Volume", "", *ML): m.volume_ml,
        ("Long Axis", "", *MM): m.long_axis.length_mm,
        ("Short Axis", "", *MM): m.short_axis.length_mm,
        ("Volume of Mesh", "", *ML): shape.mesh_volume_ml,
        ("Surface Area of Mesh", "", *MM2): shape.surface_mm2,
        ("Surface to Volume Ratio", "", *PER_MM): shape.surface_to_volume_per_mm,
        ("Sphericity", "", *ONE_): shape.sphericity,
        ("Asphericity", "", *ONE_): shape.asphericity,
        ("Compactness 1", "", *ONE_): shape.compactness_1,
        ("Compactness 2", "", *ONE_): shape.compactness_2,
        ("Spherical Disproportion", "", *ONE_): shape.spherical_disproportion,
        ("Maximum 3D Diameter of a Mesh", "", *MM): shape.largest_diameter_mm,
        ("Major Axis in 3D Length", "", *MM): shape.major_axis_mm,
        ("Minor Axis in 3D Length", "", *MM): shape.minor_axis_mm,
        ("Least Axis in 3D Length", "", *MM): shape.least_axis_mm,
        ("Elongation", "", *ONE_): shape.elongation,
        ("Flatness", "", *ONE_): shape.flatness,
        ("Volume Density in Convex Hull", "", *ONE_): shape.convex_volume_share,
        ("Area Density in Convex Hull", "", *ONE_): shape.convex_surface_ratio,
        (attenuation, "Mean", *HU): intensity.mean_hu,
        (attenuation, "Standard Deviation", *HU): intensity.sd_hu,
        (attenuation, "Minimum", *HU): intensity.minimum_hu,
        (attenuation, "Tenth percentile", *HU): intensity.p10_hu,
        (attenuation, "Median", *HU): intensity.median_hu,
        (attenuation, "Ninetieth percentile", *HU): intensity.p90_hu,
        (attenuation, "Maximum", *HU): intensity.maximum_hu,
        (attenuation, "Skewness", *ONE_): intensity.skewness,
        (attenuation, "Kurtosis", *ONE_): intensity.kurtosis,
        ("Solid fraction of the tissue", "", *ONE_): density.solid_fraction,
        ("Long axis of the solid part", "", *MM): density.solid_long_axis_mm,
        ("Mass", "", *G): density.mass_g,
        ("Calcified volume", "", *ML): density.calcified_ml,
        ("Cavity volume", "", *ML): density.cavity_ml,
        ("Spiculation index", "", *ONE_): density.spiculation,
        ("Lobulation index", "", *ONE_): density.lobulation,
        ("Distance from chest wall", "", *MM): location.wall_mm,
        ("Distance from mediastinum", "", *MM): location.mediastinum_mm,
        ("Distance from carina", "", *MM): location.carina_mm,
        ("Distance of the center from the next lobe", "", *MM): location.fissure_mm,
        ("Number of slices that show the lesion", "", *SLICES): finding.sizes.slices,
        ("Noise as a share of the contrast to the lung", "", *ONE_): finding.sizes.noise,
    }


def test_dcmqi_reads_every_number_of_every_lesion_back(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    findings = described(case.findings)

    groups = number_groups(case, tmp_path, findings)

    for finding, group in zip(findings.findings, groups, strict=True):
        known = {name: value for name, value in expected_numbers(finding).items() if value is not None}
        assert len(known) == (41 if finding.location and finding.location.carina_mm else 40)
        assert numbers(group) == pytest.approx(known, abs=5e-7)


def test_no_number_that_was_measured_is_missing(analysed: Analyse, tmp_path: Path) -> None:
    """A new field of the measurements must be added to the report."""
    case = analysed(ONE)
    findings = described(case.findings)
    (finding,) = findings.findings
    m = finding.measurement
    assert m.shape
    assert m.intensity
    assert m.density
    assert finding.location

    (group,) = number_groups(case, tmp_path, findings)

    read = list(numbers(group).values())
    for value in (*astuple(m.shape), *astuple(m.intensity), *astuple(m.density), *astuple(finding.location)):
        if isinstance(value, float):
            assert any(number == pytest.approx(value, abs=5e-7) for number in read), value


def test_each_size_has_the_ends_of_its_95_percent_intervals(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    findings = described(case.findings)

    groups = number_groups(case, tmp_path, findings)

    for finding, group in zip(findings.findings, groups, strict=True):
        known = finding.uncertainty
        assert known
        assert known.another_reader
        reader = known.another_reader
        for name, interval, other, digits in (
            ("Volume", known.volume_ml, reader.volume_ml, 1e-4),
            ("Long Axis", known.long_axis_mm, reader.long_axis_mm, 1e-3),
            ("Short Axis", known.short_axis_mm, reader.short_axis_mm, 1e-3),
        ):
            (size,) = [item for item in group["measurementItems"] if item["quantity"]["CodeMeaning"] == name]
            properties = {
                item["numProperty"]["CodeMeaning"]: float(item["numPropertyValue"])
                for item in size["measurementNumProperties"]
            }
            units = {item["numPropertyUnits"]["CodeValue"] for item in size["measurementNumProperties"]}
            value = float(size["value"])
            ends = (
                value - properties["-, range of lower measurement uncertainty"],
                value + properties["+, range of upper measurement uncertainty"],
                properties["Lower end of the 95 % interval of another reader"],
                properties["Upper end of the 95 % interval of another reader"],
            )
            assert ends == pytest.approx((interval.low, interval.high, other.low, other.high), abs=digits)
            assert properties["Coverage probability of the uncertainty"] == 95
            assert units == {size["units"]["CodeValue"], "%"}


def test_density_and_contacts_of_a_lesion_are_coded(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    findings = described(case.findings)

    first, second, third, *_ = number_groups(case, tmp_path, findings)

    assert [said(group)["Opacity Descriptor"] for group in (first, second, third)] == [
        "solid pulmonary nodule",
        "part-solid pulmonary nodule",
        "non-solid pulmonary nodule",
    ]
    known = {
        "Pathologic calcification": ("Present", "Absent"),
        "Cavitation": ("Absent", "Present"),
        "Lobe is certain": ("Yes", "No"),
        "Contact with chest wall or diaphragm": ("No", "Yes"),
        "Contact with mediastinum": ("Yes", "No"),
    }
    for name, answers in known.items():
        assert (said(first)[name], said(second)[name]) == answers
    assert "Carina found" not in said(first)
    assert said(second)["Carina found"] == "No"
    assert "Lungs and lobes found" not in said(first)


def test_the_site_of_a_lesion_is_its_lobe_with_its_side(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)

    groups = read_by_dcmqi(saved(case, tmp_path, findings=described(case.findings))["sr"])["Measurements"][:-2]

    sites = [(group["FindingSite"]["CodeMeaning"], group["Laterality"]["CodeMeaning"]) for group in groups]
    assert sites[::2] == sites[1::2] == [
        ("Upper lobe of right lung", "Right"),
        ("Middle lobe of right lung", "Right"),
        ("Lower lobe of right lung", "Right"),
        ("Upper lobe of left lung", "Left"),
        ("Lower lobe of left lung", "Left"),
    ]  # fmt: skip


def test_segments_and_groups_share_their_tracking_uids(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    files = saved(case, tmp_path, findings=described(case.findings))

    groups = read_by_dcmqi(files["sr"])["Measurements"]

    segments = pydicom.dcmread(files["seg"]).SegmentSequence
    expected = [(segment.SegmentNumber, segment.TrackingUID) for segment in segments]
    assert [(group["ReferencedSegment"], group["TrackingUniqueIdentifier"]) for group in groups[1:-2:2]] == expected
    assert [group["TrackingUniqueIdentifier"] for group in groups[:-2:2]] == [uid for _, uid in expected]


def test_without_lungs_a_lesion_has_no_location(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(ONE)
    (finding,) = described(case.findings).findings

    (group,) = number_groups(case, tmp_path, replace(case.findings, findings=(replace(finding, location=None),)))

    assert said(group)["Lungs and lobes found"] == "No"
    assert not [name for name, *_ in numbers(group) if "Distance" in name]
