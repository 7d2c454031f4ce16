"""Writes the findings as findings.json: every number of the report, with its unit in the key, without patient data.

The same job writes the same bytes: sorted keys, no time of writing. findings.schema.json describes the JSON. Values
that were not measured are left out; if the lungs were not found, `lungs_found` is false and `place` null. `comparison`
holds the comparison with priors (comparison.py), with days instead of dates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from models.lungs.lungs import Lobe
from models.segmenter import ModelCard
from worker.findings import Finding, Findings
from worker.lesions.density import Density
from worker.lesions.location import LesionLocation
from worker.lesions.recist_diameters import Axis
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.values import Json
from worker.outputs.quantities import (
    Quantity,
    extent_quantities,
    lesion_quantities,
    lobe_quantities,
    location_quantities,
)
from worker.product import RESEARCH_SENTENCE
from worker.staging.extent import Extent
from worker.staging.t_descriptor import TProposal

SCHEMA_VERSION = 3


def write_findings(findings: Findings, path: Path) -> None:
    """Write the findings as UTF-8 JSON."""
    path.write_text(json.dumps(as_json(findings), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def as_json(findings: Findings) -> Json:
    """Return the findings as JSON values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": RESEARCH_SENTENCE,
        "job_key": findings.job_key,
        "study_uid": findings.study_uid,
        "series_uid": findings.series_uid,
        "frame_of_reference_uid": findings.frame_of_reference_uid,
        "slices": len(findings.sop_instance_uids),
        "spacing_mm": [round(size, 4) for size in findings.volume.spacing],
        "model": _model(findings.card),
        "lungs_found": findings.lungs is not None,
        "lesions": [_lesion(finding, findings) for finding in findings.findings],
        "spread": _extent(findings.extent) if findings.extent else None,
        "comparison": comparison_json(findings.comparison) if findings.comparison else None,
    }


def _model(card: ModelCard) -> Json:
    return {
        "name": card.name,
        "version": card.version,
        "weights_sha256": card.weights_sha256,
        "threshold": card.threshold,
        "smallest_lesion_ml": card.smallest_lesion_ml,
        "engine": card.engine,
    }


def _lesion(finding: Finding, findings: Findings) -> Json:
    lesion, measured = finding.lesion, finding.measurement
    return {
        "number": lesion.number,
        "tracking_id": lesion.tracking_id,
        "tracking_uid": lesion.tracking_uid,
        "centroid_lps_mm": [round(value, 2) for value in lesion.centroid_mm],
        "voxels": int(lesion.voxels.sum()),
        **_numbers(lesion_quantities(finding)),
        **(_composition(measured.density) if measured.density else {}),
        "place": _location(finding.place) if finding.place else None,
        "long_axis": _axis(measured.long_axis, findings),
        "short_axis": _axis(measured.short_axis, findings),
    }


def _numbers(quantities: Iterable[Quantity]) -> Json:
    """Return the numbers by key, and their 95 % intervals, if any, under the key with a suffix."""
    numbers: Json = {}
    for quantity in quantities:
        numbers[quantity.key] = quantity.value
        for suffix, interval in (("_95", quantity.interval), ("_reader_95", quantity.reader_interval)):
            if interval is not None:
                numbers[quantity.key + suffix] = [interval.low, interval.high]
    return numbers


def _composition(density: Density) -> Json:
    return {
        "consistency": density.consistency.value,
        "is_calcified": density.is_calcified,
        "is_cavitated": density.is_cavitated,
    }


def _location(location: LesionLocation) -> Json:
    return {
        **_lobe(location.lobe),
        "is_lobe_sure": location.is_lobe_sure,
        "touches_wall": location.touches_wall,
        "touches_mediastinum": location.touches_mediastinum,
        "carina_mm": None,
        **_numbers(location_quantities(location)),
    }


def _lobe(lobe: Lobe) -> Json:
    return {"lobe": lobe.name.lower(), "side": "right" if lobe.is_right else "left"}


def _axis(axis: Axis, findings: Findings) -> Json:
    """Pixel coordinates: 0, 0 is the centre of the first pixel."""
    return {
        "sop_instance_uid": findings.sop_instance_uids[axis.slice_index],
        "start_column_row_px": [round(value, 4) for value in axis.start_px],
        "end_column_row_px": [round(value, 4) for value in axis.end_px],
        "start_lps_mm": [round(value, 3) for value in axis.start_mm],
        "end_lps_mm": [round(value, 3) for value in axis.end_mm],
    }


def _extent(extent: Extent) -> Json:
    return {
        **_numbers(extent_quantities(extent)),
        "by_lobe": [{**_lobe(burden.lobe), **_numbers(lobe_quantities(burden))} for burden in extent.by_lobe],
        "proposal": _proposal(extent.proposal) if extent.proposal else None,
    }


def _proposal(proposal: TProposal) -> Json:
    """An imaging proposal: neither cT nor pT, without N, and for M only M1a."""
    return {"t": proposal.descriptor, "m1a": proposal.m1a, "basis": list(proposal.basis)}
