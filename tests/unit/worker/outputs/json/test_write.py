from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests.fixtures.worker.analysed_series import TWO_SPACINGS
from tests.fixtures.worker.described import PROPOSAL, described, extent
from tests.fixtures.worker.make_comparisons import alone, compared
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import FIVE, GROUP, ONE, Made, everything, items, saved
from tests.fixtures.worker.ucum import dimension
from worker.findings import Findings
from worker.follow_up.comparison import ComparisonStatus
from worker.outputs.json.findings_model import FindingsJson
from worker.outputs.json.schema import schema_text
from worker.outputs.json.write import findings_json, write_findings
from worker.outputs.quantities import extent_quantities, lesion_quantities, lobe_quantities, location_quantities
from worker.report import Report

Analyse = Callable[..., Made]

SCHEMA = json.loads(schema_text(FindingsJson))


def report_numbers(file: Path) -> set[float]:
    """All numbers of the measurement groups of the SR, intervals as their ends."""
    found = set()
    for group in items(pydicom.dcmread(file), *GROUP):
        for item in (item for item in everything(group) if item.ValueType == "NUM"):
            value = float(item.MeasuredValueSequence[0].NumericValue)
            found.add(value)
            for name, sign in (("+, range of upper", 1), ("-, range of lower", -1)):
                for below in items(item, f"{name} measurement uncertainty"):
                    change = float(below.MeasuredValueSequence[0].NumericValue)
                    found.add(round(value + sign * change, 4))
    return found


def json_numbers(value: Any) -> Iterator[float]:  # noqa: ANN401  (a JSON value)
    """All numbers except voxel counts, coordinates and lesion numbers."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key not in {"number", "voxels", "centroid_lps_mm", "long_axis", "short_axis"}:
                yield from json_numbers(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from json_numbers(inside)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


@pytest.mark.parametrize("boxes", [[], ONE, FIVE], ids=["none", "one", "five"])
def test_the_file_has_the_numbers_of_the_report_and_no_others(
    analysed: Analyse, tmp_path: Path, boxes: list[Any]
) -> None:
    case = analysed(boxes)
    findings = described(case.findings)

    written = findings_json(report_of(findings)).as_json()

    in_file = set(json_numbers(written["lesions"])) | set(json_numbers(written["extent"]))
    in_report = report_numbers(saved(case, tmp_path, findings=findings)["sr"])
    assert in_file <= in_report
    of_sizes = {value for each in findings.findings for value in (each.sizes.slices, round(each.sizes.noise, 6))}
    priors = 0.0
    differences = {95.0, priors, *of_sizes} | {
        round(abs(end - lesion[key]), 4)
        for lesion in written["lesions"]
        for key in ("volume_ml", "long_axis_mm", "short_axis_mm")
        for end in lesion[f"{key}_95"]
    }
    assert in_report - in_file <= differences


ENDINGS = {"_ml": "ml", "_mm2": "mm2", "_per_mm": "/mm", "_mm": "mm", "_g": "g", "_hu": "[hnsf'U]"}


def test_the_unit_in_a_key_is_that_of_the_report(analysed: Analyse) -> None:
    findings = described(analysed(ONE).findings)
    (finding,) = findings.findings
    assert finding.location

    quantities = [
        *lesion_quantities(finding),
        *location_quantities(finding.location),
        *extent_quantities(findings.extent),
    ]
    quantities += [quantity for burden in findings.extent.by_lobe for quantity in lobe_quantities(burden)]

    for quantity in quantities:
        ending = next((ending for ending in ENDINGS if quantity.key.endswith(ending)), "")
        if ending:
            assert quantity.unit.value == ENDINGS[ending], quantity.key
        else:
            assert dimension(quantity.unit.value) == {}, quantity.key


def variants(findings: Findings) -> list[Report]:
    """Reports with all values and priors, without priors, and without lungs."""
    full = report_of(described(findings), compared())
    unplaced = replace(
        extent(len(findings.findings), PROPOSAL if findings.findings else None),
        lesions_right=None,
        lesions_left=None,
        satellites=None,
        lungs_ml=None,
        burden_share=None,
        by_lobe=(),
    )
    first = report_of(findings, alone(ComparisonStatus.NO_PRIOR))
    return [full, first, report_of(findings), report_of(replace(findings, extent=unplaced))]


@pytest.mark.parametrize("boxes", [[], FIVE], ids=["none", "five"])
def test_the_file_conforms_to_the_schema(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = SCHEMA
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    for number, report in enumerate(variants(analysed(boxes).findings)):
        write_findings(report, tmp_path / f"{number}.json")
        assert [
            error.message for error in validator.iter_errors(json.loads((tmp_path / f"{number}.json").read_text()))
        ] == []


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda written: written.pop("lungs_found"),
        lambda written: written.update(schema_version=2),
        lambda written: written.pop("comparison"),
        lambda written: written.update(comparison={}),
        lambda written: written.update(patient="A"),
        lambda written: written["lesions"][0].update(volume_mm3=1.0),
        lambda written: written["lesions"][0].update(volume_ml="1"),
        lambda written: written["lesions"][0]["location"].update(lobe="middle"),
        lambda written: written["lesions"][0].update(volume_ml_95=[1.0]),
        lambda written: written["extent"]["proposal"].update(n="N1"),
        lambda written: written["extent"]["proposal"].update(t="cT2b"),
        lambda written: written["extent"]["by_lobe"].pop(),
    ],
)  # fmt: skip
def test_the_schema_rejects_invalid_values(analysed: Analyse, corrupt: Callable[[Any], object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    written = findings_json(report_of(described(analysed(ONE).findings))).as_json()

    corrupt(written)

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(written)


def test_the_schema_describes_every_written_key(analysed: Analyse) -> None:
    schema = SCHEMA
    written = findings_json(report_of(described(analysed(FIVE).findings))).as_json()

    lesion, overall = schema["$defs"]["LesionJson"]["properties"], schema["$defs"]["ExtentJson"]["properties"]
    assert set(schema["properties"]) == set(written)
    assert set(lesion) == set().union(*written["lesions"])
    assert set(overall) == set(written["extent"])


def test_what_needs_lungs_or_priors_is_null_or_left_out_without_them(analysed: Analyse) -> None:
    written = findings_json(report_of(analysed(ONE).findings)).as_json()

    (lesion,) = written["lesions"]
    assert written["lungs_found"] is False
    assert lesion["location"] is None
    assert written["extent"]["by_lobe"] == []
    assert not {"lesions_right", "lesions_left", "satellites", "lungs_ml", "burden_share"} & set(written["extent"])
    assert written["comparison"]["statement"] == "priors were not asked for"
    assert written["comparison"]["time_points"] == written["comparison"]["lesions"] == []
    assert written["comparison"]["registration"] is written["comparison"]["recist"] is None


def test_location_and_proposal_are_written_as_words(analysed: Analyse) -> None:
    written = findings_json(report_of(described(analysed(FIVE).findings))).as_json()

    location = written["lesions"][1]["location"]
    assert (location["lobe"], location["side"], location["carina_mm"]) == ("right_middle", "right", None)
    assert (location["touches_wall"], location["touches_mediastinum"], location["is_lobe_sure"]) == (True, False, False)
    assert written["extent"]["proposal"] == {"t": "T2b", "m1a": True, "basis": list(PROPOSAL.basis)}
    assert [one["lobe"] for one in written["extent"]["by_lobe"]] == [
        "right_upper",
        "right_middle",
        "right_lower",
        "left_upper",
        "left_lower",
    ]
    assert written["lesions"][2]["consistency"] == "ground-glass"


def test_keys_are_sorted_and_the_same_findings_write_the_same_bytes(analysed: Analyse, tmp_path: Path) -> None:
    findings = described(analysed(FIVE).findings)

    for name in ("first", "second"):
        write_findings(report_of(findings), tmp_path / name)

    text = (tmp_path / "first").read_text()
    assert text == (tmp_path / "second").read_text()
    assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def test_a_resampled_stack_is_described(analysed: Analyse) -> None:
    even = findings_json(report_of(analysed(ONE).findings))
    resampled = findings_json(report_of(analysed(ONE, **TWO_SPACINGS["2.5 mm below, 5 mm above"]).findings))

    assert even.as_json()["resampling"] is None
    assert (resampled.slices, resampled.spacing_mm) == (11, (2.5, 0.75, 0.75))
    assert resampled.as_json()["resampling"] == {
        "method": "linear", "images": 11, "closest_mm": 2.5, "widest_mm": 5.0, "slices": 14,
    }  # fmt: skip
