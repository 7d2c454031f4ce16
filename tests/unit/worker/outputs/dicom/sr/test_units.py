from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.fixtures.worker.described import described
from tests.fixtures.worker.reading import FIVE, Made, everything, saved
from tests.fixtures.worker.ucum import dimension

Analyse = Callable[..., Made]

LENGTH = {"Long Axis", "Short Axis", "Maximum 3D Diameter of a Mesh", "Major Axis in 3D Length",
          "Minor Axis in 3D Length", "Least Axis in 3D Length", "Long axis of the solid part",
          "Distance from chest wall", "Distance from mediastinum", "Distance from carina",
          "Distance of the center from the next lobe", "Largest distance between two lesions",
          "Dispersion around the center of the burden"}  # fmt: skip
OF_IMAGES = {"Pixel Data Rows": {}, "Pixel Data Columns": {}, "Horizontal Pixel Spacing": {"length": 1},
             "Vertical Pixel Spacing": {"length": 1}, "Slice Thickness": {"length": 1},
             "Spacing between slices": {"length": 1},
             **{f"Image Position (Patient) {axis}": {"length": 1} for axis in "XYZ"},
             **{f"Image Orientation (Patient) Row {axis}": {} for axis in "XYZ"},
             **{f"Image Orientation (Patient) Column {axis}": {} for axis in "XYZ"}}  # fmt: skip
VOLUME = {"Volume", "Volume of Mesh", "Calcified volume", "Cavity volume", "Tumor burden", "Volume of both lungs",
          "Tumor burden of the lobe", "Volume of the lobe"}  # fmt: skip
NONE = {"Sphericity", "Asphericity", "Compactness 1", "Compactness 2", "Spherical Disproportion", "Elongation",
        "Flatness", "Volume Density in Convex Hull", "Area Density in Convex Hull", "Solid fraction of the tissue",
        "Spiculation index", "Lobulation index", "Share of the lungs that is tumor", "Share of the lobe that is tumor",
        "Number of lesions", "Number of lesions in the right lung", "Number of lesions in the left lung",
        "Number of satellite lesions", "Number of lesions in the lobe",
        "Coverage probability of the uncertainty", "Number of slices that show the lesion",
        "Noise as a share of the contrast to the lung", "Number of earlier scans compared with"}  # fmt: skip
DIMENSIONS: dict[str, dict[str, int]] = {
    **OF_IMAGES,
    **{name: {"length": 1} for name in LENGTH},
    **{name: {"length": 3} for name in VOLUME},
    **{name: {} for name in NONE},
    "Surface Area of Mesh": {"length": 2},
    "Surface to Volume Ratio": {"length": -1},
    "Mass": {"mass": 1},
    "Attenuation Coefficient": {"Hounsfield unit": 1},
}
OF_THEIR_SIZE = ("range of ", " end of the 95 % interval")
WITHOUT_UNIT = {"Skewness", "Kurtosis"}


def test_every_unit_is_ucum_and_of_the_dimension_of_its_quantity(analysed: Analyse, tmp_path: Path) -> None:
    case = analysed(FIVE)
    sr = pydicom.dcmread(saved(case, tmp_path, findings=described(case.findings))["sr"])

    found = set()
    for item in (item for item in everything(sr) if item.ValueType == "NUM"):
        name, unit = item.ConceptNameCodeSequence[0].CodeMeaning, unit_of(item)
        derivations = {code.CodeMeaning for below in item.get("ContentSequence", ()) if below.ValueType == "CODE"
                       for code in below.ConceptCodeSequence}  # fmt: skip
        if any(part in name for part in OF_THEIR_SIZE):
            assert dimension(unit) in ({"length": 1}, {"length": 3})
        else:
            assert dimension(unit) == ({} if derivations & WITHOUT_UNIT else DIMENSIONS[name]), name
        found.add(name)
        for below in item.get("ContentSequence", ()):
            if below.ValueType == "NUM" and "Coverage" not in below.ConceptNameCodeSequence[0].CodeMeaning:
                assert unit_of(below) == unit
    assert found >= set(DIMENSIONS)


def unit_of(item: Any) -> str:  # noqa: ANN401  (a content item)
    (unit,) = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    assert unit.CodingSchemeDesignator == "UCUM"
    return str(unit.CodeValue)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("mm", {"length": 1}),
        ("mm2", {"length": 2}),
        ("mm4", {"length": 4}),
        ("/mm", {"length": -1}),
        ("ml", {"length": 3}),
        ("g/ml", {"mass": 1, "length": -3}),
        ("kg.m2/s2", {"mass": 1, "length": 2, "time": -2}),
        ("{lesions}", {}),
        ("1", {}),
        ("%", {}),
    ],
)
def test_the_unit_parser_returns_the_dimension(unit: str, expected: dict[str, int]) -> None:
    assert dimension(unit) == expected


@pytest.mark.parametrize("unit", ["", "MM", "mm^2", "HU", "Hounsfield", "mm 2", "[hnsf'U", "lesions", "m²", "ml/"])
def test_the_unit_parser_rejects_units_that_are_not_ucum(unit: str) -> None:
    with pytest.raises(ValueError, match="UCUM"):
        dimension(unit)
