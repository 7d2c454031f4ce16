"""Writes the findings as findings.json: every number of the report, its unit in the key. Holds no patient data.

The same job writes the same bytes: sorted keys, no time of writing.
"""

from __future__ import annotations

import json
from pathlib import Path

from worker.axes import Axis
from worker.findings import Finding, Findings
from worker.outputs.identity import RESEARCH_SENTENCE

SCHEMA_VERSION = 1

Json = dict[str, object]


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
        "model": {
            "name": findings.card.name,
            "version": findings.card.version,
            "weights_sha256": findings.card.weights_sha256,
            "threshold": findings.card.threshold,
            "smallest_lesion_ml": findings.card.smallest_lesion_ml,
        },
        "lesions": [_lesion(finding, findings) for finding in findings.findings],
    }


def _lesion(finding: Finding, findings: Findings) -> Json:
    lesion, measured = finding.lesion, finding.measurement
    return {
        "number": lesion.number,
        "tracking_id": lesion.tracking_id,
        "tracking_uid": lesion.tracking_uid,
        "centroid_lps_mm": [round(value, 2) for value in lesion.centroid_mm],
        "voxels": int(lesion.voxels.sum()),
        "volume_ml": measured.volume_ml,
        "mean_hu": measured.mean_hu,
        "sd_hu": measured.sd_hu,
        "long_axis_mm": measured.long_axis.length_mm,
        "short_axis_mm": measured.short_axis.length_mm,
        "long_axis": _axis(measured.long_axis, findings),
        "short_axis": _axis(measured.short_axis, findings),
    }


def _axis(axis: Axis, findings: Findings) -> Json:
    """Pixels count from the centre of the first one, at 0, 0."""
    return {
        "sop_instance_uid": findings.sop_instance_uids[axis.slice_index],
        "start_column_row_px": [round(value, 4) for value in axis.start_px],
        "end_column_row_px": [round(value, 4) for value in axis.end_px],
        "start_lps_mm": [round(value, 3) for value in axis.start_mm],
        "end_lps_mm": [round(value, 3) for value in axis.end_mm],
    }
