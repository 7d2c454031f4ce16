"""The report of one scan as a part of a timeline."""

from __future__ import annotations

from dataclasses import dataclass

from worker.follow_up.comparison import Origin
from worker.outputs.json.comparison_model import (
    ComparisonJson,
    LesionTimelineJson,
    ObservationJson,
    SizesJson,
    TimePointJson,
)
from worker.outputs.json.findings_model import FindingsJson, LesionJson
from worker.outputs.json.values import round_number
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """Report of one job; its own scan is the last of the time points."""

    job_key: str
    series_uid: str
    comparison: ComparisonJson

    @property
    def day(self) -> int:
        """Day of its scan, counted from its first time point."""
        return self.comparison.time_points[-1].day

    @property
    def is_compared(self) -> bool:
        """Whether the scan was compared with a prior."""
        return len(self.comparison.time_points) > 1


def scan_report(findings: FindingsJson) -> ScanReport:
    """Return the report in the content of a findings.json."""
    return ScanReport(job_key=findings.job_key, series_uid=findings.series_uid, comparison=_comparison(findings))


def _comparison(findings: FindingsJson) -> ComparisonJson:
    """Return the comparison; that of a scan without a prior has this scan as its only time point, at day 0."""
    comparison = findings.comparison
    if comparison.time_points:
        return comparison
    point = TimePointJson(
        day=0,
        study_uid=findings.study_uid,
        series_uid=findings.series_uid,
        slice_mm=findings.spacing_mm[0],
        outlined_by=Origin.OURS,
        report_uid=None,
        burden_ml=round_number(sum(lesion.volume_ml for lesion in findings.lesions)),
        is_burden_complete=True,
    )
    return comparison.model_copy(
        update={"time_points": (point,), "lesions": tuple(_first_seen(lesion) for lesion in findings.lesions)}
    )


def _first_seen(lesion: LesionJson) -> LesionTimelineJson:
    sizes = SizesJson(
        volume_ml=lesion.volume_ml,
        volume_ml_95=lesion.volume_ml_95,
        long_axis_mm=lesion.long_axis_mm,
        long_axis_mm_95=lesion.long_axis_mm_95,
        short_axis_mm=lesion.short_axis_mm,
        short_axis_mm_95=lesion.short_axis_mm_95,
    )
    return LesionTimelineJson(
        tracking_uid=lesion.tracking_uid,
        name=lesion.tracking_id,
        event=None,
        confidence=None,
        possible_match=None,
        merged_into=None,
        split_from=None,
        observations=(ObservationJson(day=0, state=State.PRESENT, sizes=sizes),),
        change=None,
    )
