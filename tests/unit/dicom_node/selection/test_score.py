from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from dicom_node.selection.rules import SelectionRule
from dicom_node.selection.score import PREFERRED, Score, score_of
from dicom_node.selection.series_facts import facts_of, read_facts
from tests.fixtures.worker.analysed_series import Scan
from tests.fixtures.worker.multi_frame import converted, enhanced, with_group


def headers(count: int = 120, spacing_mm: float = 2.5, tilt_deg: float = 0.0, **elements: Any) -> list[Dataset]:  # noqa: ANN401 - values of any VR
    """An axial chest series of 512 x 512 pixels of 0.7 mm; an element given as None is left out."""
    cosine, sine = math.cos(math.radians(tilt_deg)), math.sin(math.radians(tilt_deg))
    found = []
    for number in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.Rows = ds.Columns = 512
        ds.PixelSpacing = [0.7, 0.7]
        ds.ImageOrientationPatient = [1, 0, 0, 0, cosine, sine]
        ds.ImagePositionPatient = [0, -sine * number * spacing_mm, cosine * number * spacing_mm]
        for keyword, value in elements.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)
        found.append(ds)
    return found


def score(count: int = 120, spacing_mm: float = 2.5, tilt_deg: float = 0.0, **elements: Any) -> Score:  # noqa: ANN401 - values of any VR
    return score_of(facts_of(headers(count, spacing_mm, tilt_deg, **elements)))


def points(count: int = 120, spacing_mm: float = 2.5, tilt_deg: float = 0.0, **elements: Any) -> int:  # noqa: ANN401 - values of any VR
    found = score(count, spacing_mm, tilt_deg, **elements).points
    assert found is not None
    return found


def test_coverage_spacing_field_and_tilt_are_those_of_the_positions() -> None:
    facts = facts_of(headers(count=101, spacing_mm=3.0, tilt_deg=20.0)[::-1])

    assert (facts.slices, facts.gaps) == (101, 0)
    assert facts.coverage_mm == pytest.approx(300.0, abs=0.01)  # 100 gaps of 3 mm
    assert facts.spacing_mm == pytest.approx(3.0, abs=0.001)
    assert facts.field_mm == pytest.approx(358.4)  # 512 x 0.7
    assert facts.tilt_deg == pytest.approx(20.0, abs=0.01)


def test_thinner_slices_of_the_same_chest_have_more_points() -> None:
    by_spacing = [points(count=round(300 / mm), spacing_mm=mm) for mm in (1.0, 2.0, 3.0, 5.0, 8.0)]

    assert by_spacing == sorted(by_spacing, reverse=True)
    assert len(set(by_spacing)) == len(by_spacing)


@pytest.mark.parametrize(
    "worse",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "VMI"]},
        {"SeriesDescription": "ABDOMEN"},
        {"BodyPartExamined": "HEAD"},
        {"SeriesDescription": "CT AC WB"},
        {"SeriesDescription": "QA Phantom"},
        {"ConvolutionKernel": "B70f"},
        {"PixelSpacing": [1.37, 1.37]},  # 700 mm wide: the field of a PET/CT
        {"PixelSpacing": [0.35, 0.35]},  # 180 mm wide: one lung
        {"PixelSpacing": None},
        {"ImagePositionPatient": None},
    ],
)
def test_what_makes_a_series_worse_costs_points_and_excludes_nothing(worse: dict[str, Any]) -> None:
    assert points(**worse) < points()


def test_a_description_that_names_the_chest_among_other_regions_costs_nothing() -> None:
    assert points(SeriesDescription="CHEST/ABDOMEN/PELVIS") == points()


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "a projection of a slab"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MINIP"]}, "a projection of a slab"),
        ({"ImageType": ["DERIVED", "SECONDARY", "IODINE"]}, "a map"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "a picture of a screen"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "not a CT image"),
        ({"Modality": "PT"}, "not a CT image"),
    ],
)
def test_what_is_no_slice_of_a_ct_does_not_suit_and_is_named(elements: dict[str, Any], reason: str) -> None:
    found = score(**elements)

    assert found.points is None
    assert reason in found.reasons[0]


def test_slices_beyond_the_tilt_of_a_gantry_do_not_suit() -> None:
    assert score(tilt_deg=29.9).points is not None
    assert score(tilt_deg=30.1).points is None
    assert "tilted by 90 degrees" in score(tilt_deg=90.0).reasons[0]


def test_reasons_name_no_patient() -> None:
    found = score(SeriesDescription="DOE JOHN ABDOMEN", BodyPartExamined="HEAD", StudyDescription="SECRET phantom")

    assert not any(word in " ".join(found.reasons) for word in ("DOE", "JOHN", "SECRET"))


def test_an_element_of_the_wrong_type_decides_nothing() -> None:
    damaged = headers()
    for ds in damaged:
        ds["PixelSpacing"]._value = ["wide", "wider"]
    assert score_of(facts_of(damaged)).points is not None
    assert score_of(facts_of([])).points is None


def rule(**parts: object) -> SelectionRule:
    return SelectionRule.model_validate(parts)


def test_rules_require_exclude_and_prefer() -> None:
    soft, sharp = (facts_of(headers(ConvolutionKernel=kernel, KVP=100)) for kernel in ("Br40d", "Br64d"))
    needs_soft = rule(element="ConvolutionKernel", matches="^br4", then="require")
    no_sharp = rule(element="ConvolutionKernel", matches="6", then="exclude")
    likes_sharp = rule(element="ConvolutionKernel", matches="6", then="prefer")
    low_voltage = rule(element="KVP", at_least=80, at_most=110, then="exclude")

    for facts, rules, expected in (
        (soft, [needs_soft], True), (sharp, [needs_soft], False), (soft, [no_sharp], True), (sharp, [no_sharp], False),
        (soft, [no_sharp, low_voltage], False),
    ):  # fmt: skip
        assert (score_of(facts, rules).points is not None) is expected
    assert (score_of(sharp, [likes_sharp]).points or 0) > PREFERRED
    assert "number 2: exclude by KVP" in score_of(soft, [no_sharp, low_voltage]).reasons[0]


def test_a_rule_on_a_missing_element_or_on_text_where_a_number_is_needed_does_not_hold() -> None:
    facts = facts_of(headers(ConvolutionKernel="Br40d"))

    assert not rule(element="ReconstructionDiameter", at_most=500, then="prefer").holds(facts.sample)
    assert not rule(element="ConvolutionKernel", at_most=500, then="prefer").holds(facts.sample)


@pytest.mark.parametrize(
    "parts",
    [
        {"element": "NoSuchElement", "matches": "x", "then": "prefer"},
        {"element": "ConvolutionKernel", "then": "prefer"},
        {"element": "ConvolutionKernel", "matches": "(", "then": "prefer"},
        {"element": "ConvolutionKernel", "matches": "x", "then": "maybe"},
    ],
)
def test_a_rule_that_could_never_hold_is_an_error_of_the_configuration(parts: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"keyword|condition|needs|regular|require"):
        rule(**parts)


@pytest.mark.parametrize("make", [enhanced, converted])
def test_a_multi_frame_image_has_the_facts_of_its_single_frames(
    make: Callable[[list[Dataset]], Dataset], tmp_path: Path
) -> None:
    images = Scan().images()
    for image in images:
        image.ConvolutionKernel, image.SeriesDescription = "B70f", "CHEST"
    single = [tmp_path / f"{image.InstanceNumber}.dcm" for image in images]
    for path, image in zip([*single, tmp_path / "multi.dcm"], [*images, make(images)], strict=True):
        image.save_as(path, enforce_file_format=True)

    expected, facts = read_facts(single), read_facts([tmp_path / "multi.dcm"])

    assert (facts.slices, facts.is_ct, facts.kernel, facts.has_contrast) == (12, True, "B70f", False)
    for name in ("tilt_deg", "coverage_mm", "spacing_mm", "field_mm"):
        assert getattr(facts, name) == getattr(expected, name)
    assert score_of(facts) == score_of(expected)


def test_a_multi_frame_image_of_projections_does_not_suit(tmp_path: Path) -> None:
    image = enhanced(Scan().images(), is_shared=False)
    with_group(image, "VolumeBasedCalculationTechnique", ["MAX_IP"] * 12)
    image.save_as(tmp_path / "multi.dcm", enforce_file_format=True)

    found = score_of(read_facts([tmp_path / "multi.dcm"]))

    assert found.points is None
    assert found.reasons[0] == "a projection of a slab: Image Type says MAX_IP"
