from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from worker import codes


@pytest.mark.parametrize(
    ("ours", "value", "scheme", "meaning"),
    [
        # OHIF 3.13 compares these two meanings letter by letter.
        (codes.LONG_AXIS, "103339001", "SCT", "Long Axis"),
        (codes.SHORT_AXIS, "103340004", "SCT", "Short Axis"),
        (codes.VOLUME, "118565006", "SCT", "Volume"),
        (codes.LUNG, "39607008", "SCT", "Lung"),
        (codes.NODULE, "27925004", "SCT", "Nodule"),
        (codes.NEOPLASM, "108369006", "SCT", "Neoplasm"),
        (codes.HOUNSFIELD_UNIT, "[hnsf'U]", "UCUM", "Hounsfield unit"),
        (codes.MILLILITRE, "ml", "UCUM", "milliliter"),
        (codes.MILLIMETRE, "mm", "UCUM", "mm"),
        (codes.WITHOUT_FINDINGS, "111241", "DCM", "All algorithms succeeded; without findings"),
        (codes.NOT_ATTEMPTED, "111225", "DCM", "Not Attempted"),
    ],
)
def test_a_code_reads_as_the_standard_prints_it(ours: Code, value: str, scheme: str, meaning: str) -> None:
    assert (ours.value, ours.scheme_designator, ours.meaning) == (value, scheme, meaning)


def test_the_codes_written_by_hand_are_those_of_the_dictionary() -> None:
    assert standard.SCT.LongAxis == codes.LONG_AXIS
    assert standard.SCT.ShortAxis == codes.SHORT_AXIS
    assert standard.SCT.NumberOfLesions == codes.NUMBER_OF_LESIONS


def test_lesion_types_are_of_the_context_group_for_segmented_lesions() -> None:
    assert codes.NODULE in standard.cid7159.concepts.values()
    assert codes.NEOPLASM in standard.cid7159.concepts.values()


@pytest.mark.parametrize(("long_axis_mm", "expected"), [(3.0, "Nodule"), (29.99, "Nodule"), (30.0, "Neoplasm")])
def test_a_lesion_below_30_mm_is_a_nodule(long_axis_mm: float, expected: str) -> None:
    assert codes.lesion_type(long_axis_mm).meaning == expected
