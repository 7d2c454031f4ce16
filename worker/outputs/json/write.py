"""Writes the report as findings.json: every number of the report, with its unit in the key, without patient data.

The same job writes the same bytes: sorted keys, no time of writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.lungs.lungs import Lobe
from models.segmenter import ModelCard
from worker.findings import Finding, Findings
from worker.lesions.location import LesionLocation
from worker.lesions.recist_diameters import Axis
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.findings_model import (
    SCHEMA_VERSION,
    AxisJson,
    ExtentJson,
    FindingsJson,
    LesionJson,
    LobeJson,
    LobeName,
    LocationJson,
    ModelJson,
    ProposalJson,
    ResamplingJson,
    Side,
)
from worker.outputs.json.values import Point
from worker.outputs.quantities import (
    Quantity,
    extent_quantities,
    lesion_quantities,
    lobe_quantities,
    location_quantities,
)
from worker.outputs.resampling import resampling_of
from worker.product import RESEARCH_SENTENCE
from worker.report import Report
from worker.staging.extent import Extent
from worker.staging.t_descriptor import TProposal

LOBES: dict[Lobe, LobeName] = {
    Lobe.RIGHT_UPPER: "right_upper",
    Lobe.RIGHT_MIDDLE: "right_middle",
    Lobe.RIGHT_LOWER: "right_lower",
    Lobe.LEFT_UPPER: "left_upper",
    Lobe.LEFT_LOWER: "left_lower",
}


def write_findings(report: Report, path: Path) -> None:
    """Write the report as UTF-8 JSON."""
    content = findings_json(report).as_json()
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def findings_json(report: Report) -> FindingsJson:
    """Return the content of findings.json."""
    findings = report.findings
    return FindingsJson(
        schema_version=SCHEMA_VERSION,
        notice=RESEARCH_SENTENCE,
        job_key=findings.job_key,
        study_uid=findings.study_uid,
        series_uid=findings.series_uid,
        frame_of_reference_uid=findings.frame_of_reference_uid,
        slices=len(findings.frames),
        spacing_mm=_point(findings.volume.spacing, 4),
        resampling=_resampling(findings),
        model=_model(findings.card),
        lungs_found=findings.lungs is not None,
        lesions=tuple(_lesion(finding, findings) for finding in findings.findings),
        extent=_extent(findings.extent),
        comparison=comparison_json(report.comparison),
    )


def _resampling(findings: Findings) -> ResamplingJson | None:
    made = resampling_of(findings)
    if made is None:
        return None
    return ResamplingJson(
        method="linear",
        images=made.images,
        closest_mm=made.closest_mm,
        widest_mm=made.widest_mm,
        slices=made.slices,
    )


def _model(card: ModelCard) -> ModelJson:
    return ModelJson(
        name=card.name,
        version=card.version,
        weights_sha256=card.weights_sha256,
        threshold=card.threshold,
        smallest_lesion_ml=card.smallest_lesion_ml,
        engine=card.engine,
    )


def _lesion(finding: Finding, findings: Findings) -> LesionJson:
    lesion, measured = finding.lesion, finding.measurement
    return LesionJson(
        number=lesion.number,
        segment=findings.segment_number(lesion.tracking_uid),
        tracking_id=lesion.tracking_id,
        tracking_uid=lesion.tracking_uid,
        centroid_lps_mm=_point(lesion.centroid_mm, 2),
        voxels=int(lesion.voxels.sum()),
        **_numbers(lesion_quantities(finding)),
        consistency=measured.density.consistency,
        is_calcified=measured.density.is_calcified,
        is_cavitated=measured.density.is_cavitated,
        location=_location(finding.location) if finding.location else None,
        long_axis=_axis(measured.long_axis, findings),
        short_axis=_axis(measured.short_axis, findings),
    )


def _numbers(quantities: Iterable[Quantity]) -> dict[str, Any]:
    """Return the numbers by key, and their 95 % intervals, if any, under the key with a suffix."""
    numbers: dict[str, Any] = {}
    for quantity in quantities:
        numbers[quantity.key] = quantity.value
        for suffix, interval in (("_95", quantity.interval), ("_reader_95", quantity.reader_interval)):
            if interval is not None:
                numbers[quantity.key + suffix] = (interval.low, interval.high)
    return numbers


def _location(location: LesionLocation) -> LocationJson:
    numbers = {"carina_mm": None, **_numbers(location_quantities(location))}
    return LocationJson(
        lobe=LOBES[location.lobe],
        side=_side(location.lobe),
        is_lobe_sure=location.is_lobe_sure,
        touches_wall=location.touches_wall,
        touches_mediastinum=location.touches_mediastinum,
        **numbers,
    )


def _side(lobe: Lobe) -> Side:
    return "right" if lobe.is_right else "left"


def _axis(axis: Axis, findings: Findings) -> AxisJson:
    frame = findings.frames[findings.volume.image_at(axis.slice_index)]
    return AxisJson(
        sop_instance_uid=frame.sop_instance_uid,
        frame_number=frame.number,
        start_column_row_px=(round(axis.start_px[0], 4), round(axis.start_px[1], 4)),
        end_column_row_px=(round(axis.end_px[0], 4), round(axis.end_px[1], 4)),
        start_lps_mm=_point(axis.start_mm, 3),
        end_lps_mm=_point(axis.end_mm, 3),
    )


def _point(values: tuple[float, float, float], decimals: int) -> Point:
    x, y, z = (round(float(value), decimals) for value in values)
    return x, y, z


def _extent(extent: Extent) -> ExtentJson:
    by_lobe = tuple(
        LobeJson(lobe=LOBES[burden.lobe], side=_side(burden.lobe), **_numbers(lobe_quantities(burden)))
        for burden in extent.by_lobe
    )
    proposal = _proposal(extent.proposal) if extent.proposal else None
    return ExtentJson(**_numbers(extent_quantities(extent)), by_lobe=by_lobe, proposal=proposal)


def _proposal(proposal: TProposal) -> ProposalJson:
    return ProposalJson(t=proposal.descriptor, m1a=proposal.m1a, basis=proposal.basis)
