from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.sr._concepts_dict import concepts  # pydicom has no other list by code value
from pydicom.sr.codedict import codes as standard
from pydicom.sr.coding import Code

from models.lungs.lungs import Lobe
from tests.fixtures.worker.described import described
from tests.fixtures.worker.reading import FIVE, everything, saved
from worker.codes import follow_up as codes_over_time
from worker.codes import lesions as codes

CONFORMANCE = Path(__file__).parents[4] / "dicom_node" / "CONFORMANCE.md"

# Not in pydicom's dictionary, which has what PS3.16 uses. The lobes with a side: SNOMED CT, as published in HL7's
# implementation guides for lung cancer; the nodules: RadLex, as in the SRs of LIDC-IDRI on the Imaging Data Commons.
NOT_IN_PYDICOM = {"42400003", "266005", "41224006", "RID50151", "RID50152", "RID50153"}
UNITS_NOT_IN_PYDICOM = {"{lesions}", "{scans}", "{slices}", "/mm", "/a", "%/a", "ml", "g"}


def own_codes() -> Iterator[Code]:
    """All codes of worker.codes."""
    for value in (*vars(codes).values(), *vars(codes_over_time).values()):
        candidates = value.values() if isinstance(value, dict) else (value,)
        yield from (code for code in candidates if isinstance(code, Code))


@pytest.mark.parametrize(
    ("own_code", "value", "scheme", "meaning"),
    [
        # OHIF 3.13 compares these two meanings case-sensitively.
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
def test_a_code_equals_that_in_the_standard(own_code: Code, value: str, scheme: str, meaning: str) -> None:
    assert (own_code.value, own_code.scheme_designator, own_code.meaning) == (value, scheme, meaning)


def test_codes_written_by_hand_equal_those_of_the_dictionary() -> None:
    assert standard.SCT.LongAxis == codes.LONG_AXIS
    assert standard.SCT.ShortAxis == codes.SHORT_AXIS
    assert standard.SCT.NumberOfLesions == codes.NUMBER_OF_LESIONS


def test_lesion_types_are_of_the_context_group_for_segmented_lesions() -> None:
    assert codes.NODULE in standard.cid7159.concepts.values()
    assert codes.NEOPLASM in standard.cid7159.concepts.values()


@pytest.mark.parametrize(("long_axis_mm", "expected"), [(3.0, "Nodule"), (29.99, "Nodule"), (30.0, "Neoplasm")])
def test_a_lesion_below_30_mm_is_a_nodule(long_axis_mm: float, expected: str) -> None:
    assert codes.lesion_type(long_axis_mm).meaning == expected


def test_every_standard_code_is_in_the_dictionary_or_listed_here() -> None:
    by_scheme: Any = concepts  # pydicom types it as object
    known = {(scheme, value) for scheme, names in by_scheme.items() for values in names.values() for value in values}

    missing = {
        code.value
        for code in own_codes()
        if code.scheme_designator != codes.PRIVATE_SCHEME and (code.scheme_designator, code.value) not in known
    }

    assert missing == NOT_IN_PYDICOM | UNITS_NOT_IN_PYDICOM


def test_codes_fit_their_attributes() -> None:
    for code in own_codes():
        assert len(code.value) <= 16, code  # SH
        assert len(code.meaning) <= 64, code  # LO


def test_no_two_codes_share_a_value() -> None:
    seen: dict[tuple[str, str], str] = {}
    for code in own_codes():
        assert seen.setdefault((code.scheme_designator, code.value), code.meaning) == code.meaning


def test_every_lobe_has_a_site() -> None:
    assert list(codes.LOBES) == list(Lobe)
    for lobe, code in codes.LOBES.items():
        height = lobe.name.split("_")[1].title()
        assert code.meaning == f"{height} lobe of {'right' if lobe.is_right else 'left'} lung"


def test_the_conformance_statement_defines_every_private_code_and_no_other() -> None:
    table = CONFORMANCE.read_text(encoding="utf-8").split("### Private codes", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| ([A-Z0-9_]+) \| ([^|]+) \| ([^|]*) ?\| ([^|]+) \|$", table, re.MULTILINE)

    stated = {value: meaning.strip() for value, meaning, _, _ in rows}
    assert stated == {
        code.value: code.meaning for code in own_codes() if code.scheme_designator == codes.PRIVATE_SCHEME
    }
    assert all(definition.strip() for *_, definition in rows)


def test_the_conformance_statement_names_every_standard_code_of_a_number_or_a_statement(
    analysed: Callable[..., Any], tmp_path: Path
) -> None:
    text = CONFORMANCE.read_text(encoding="utf-8")
    case = analysed(FIVE)
    sr = pydicom.dcmread(saved(case, tmp_path, findings=described(case.findings))["sr"])
    groups = [item for item in everything(sr) if item.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"]

    used = {
        (code.CodeValue, code.CodingSchemeDesignator)
        for group in groups
        for item in everything(group)
        if item.ValueType == "NUM"
        for code in item.ConceptNameCodeSequence
    }

    assert len(used) > 30
    for value, scheme in used:
        assert f"({value}, {scheme}, " in text or f"| {value} |" in text or f"`{value}`" in text, value
    private = {code.value for code in own_codes() if code.scheme_designator == codes.PRIVATE_SCHEME}
    assert {value for value, scheme in used if scheme == codes.PRIVATE_SCHEME} <= private
