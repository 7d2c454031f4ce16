"""Writes the findings as findings.json: every number of the report, its unit in the key. Holds no patient data.

The same job writes the same bytes: sorted keys, no time of writing. findings.schema.json describes the form. What was
not measured is left out; where the lungs were not found, `lungs_found` is false and `place` null. What is said of
earlier scans stands under `comparison` (comparison.py), with days in place of dates.
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
from worker.outputs.dicom.header import RESEARCH_SENTENCE
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.values import Json
from worker.outputs.quantities import Quantity, of_extent, of_lesion, of_lobe, of_place
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
        "spread": _spread(findings.spread) if findings.spread else None,
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
        **_numbers(of_lesion(finding)),
        **(_made_of(measured.density) if measured.density else {}),
        "place": _place(finding.place) if finding.place else None,
        "long_axis": _axis(measured.long_axis, findings),
        "short_axis": _axis(measured.short_axis, findings),
    }


def _numbers(quantities: Iterable[Quantity]) -> Json:
    """Each number under its key, and the ends of its 95 % intervals, where it has any, under the key and an ending."""
    numbers: Json = {}
    for quantity in quantities:
        numbers[quantity.key] = quantity.value
        for ending, interval in (("_95", quantity.interval), ("_reader_95", quantity.reader_interval)):
            if interval is not None:
                numbers[quantity.key + ending] = [interval.low, interval.high]
    return numbers


def _made_of(density: Density) -> Json:
    return {
        "consistency": density.consistency.value,
        "is_calcified": density.is_calcified,
        "is_cavitated": density.is_cavitated,
    }


def _place(place: LesionLocation) -> Json:
    return {
        **_lobe(place.lobe),
        "is_lobe_sure": place.is_lobe_sure,
        "touches_wall": place.touches_wall,
        "touches_mediastinum": place.touches_mediastinum,
        "carina_mm": None,
        **_numbers(of_place(place)),
    }


def _lobe(lobe: Lobe) -> Json:
    return {"lobe": lobe.name.lower(), "side": "right" if lobe.is_right else "left"}


def _axis(axis: Axis, findings: Findings) -> Json:
    """Pixels count from the centre of the first one, at 0, 0."""
    return {
        "sop_instance_uid": findings.sop_instance_uids[axis.slice_index],
        "start_column_row_px": [round(value, 4) for value in axis.start_px],
        "end_column_row_px": [round(value, 4) for value in axis.end_px],
        "start_lps_mm": [round(value, 3) for value in axis.start_mm],
        "end_lps_mm": [round(value, 3) for value in axis.end_mm],
    }


def _spread(spread: Extent) -> Json:
    return {
        **_numbers(of_extent(spread)),
        "by_lobe": [{**_lobe(burden.lobe), **_numbers(of_lobe(burden))} for burden in spread.by_lobe],
        "proposal": _proposal(spread.proposal) if spread.proposal else None,
    }


def _proposal(proposal: TProposal) -> Json:
    """An imaging proposal: neither cT nor pT, no N, and of M no more than M1a."""
    return {"t": proposal.descriptor, "m1a": proposal.m1a, "basis": list(proposal.basis)}
