"""Writes the comparison of the current scan with its priors; dates in texts are replaced by days."""

from __future__ import annotations

from worker.follow_up.burden import burden_at
from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline, TimelineScan
from worker.lesions.uncertainty import Sizes, uncertainty_of
from worker.outputs.days import Days, days_of
from worker.outputs.json.change import change_json
from worker.outputs.json.comparison_model import (
    ComparisonJson,
    LesionTimelineJson,
    ObservationJson,
    RegistrationJson,
    SizesJson,
    TimePointJson,
)
from worker.outputs.json.recist import recist_json
from worker.outputs.json.values import ends, round_number, rounded
from worker.registration.register import Registration


def comparison_json(comparison: Comparison) -> ComparisonJson:
    """Return the comparison with priors as JSON; without priors, the statement why there is none."""
    days = days_of(comparison)
    return ComparisonJson(
        statement=comparison.statement,
        reason=days.replace_dates(comparison.reason) if comparison.reason else None,
        registration=_registration(comparison.registration, days) if comparison.registration else None,
        time_points=tuple(_time_point(scan, comparison, days) for scan in comparison.scans),
        lesions=tuple(_lesion(lesion, days) for lesion in comparison.lesions),
        recist=recist_json(comparison.recist, days) if comparison.recist else None,
    )


def _registration(registration: Registration, days: Days) -> RegistrationJson:
    quality = registration.quality
    return RegistrationJson(
        method=registration.method,
        reason=days.replace_dates(registration.reason) if registration.reason else None,
        surface_mm=rounded(quality.surface_mm) if quality else None,
        surface_95_mm=rounded(quality.surface_95_mm) if quality else None,
        smallest_jacobian=rounded(quality.smallest_jacobian) if quality else None,
        largest_jacobian=rounded(quality.largest_jacobian) if quality else None,
    )


def _time_point(scan: TimelineScan, comparison: Comparison, days: Days) -> TimePointJson:
    burden = burden_at(comparison, scan.date)
    return TimePointJson(
        day=days.of(scan.date),
        study_uid=scan.study_uid,
        series_uid=scan.series_uid,
        slice_mm=round_number(scan.slice_mm),
        outlined_by=scan.origin,
        report_uid=scan.report.sop_instance_uid if scan.report else None,
        burden_ml=round_number(burden.volume_ml),
        is_burden_complete=burden.is_complete,
    )


def _lesion(lesion: LesionTimeline, days: Days) -> LesionTimelineJson:
    return LesionTimelineJson(
        tracking_uid=lesion.tracking_uid,
        name=lesion.name,
        event=lesion.event,
        confidence=rounded(lesion.confidence),
        possible_match=lesion.possible_match,
        merged_into=lesion.merged_into,
        split_from=lesion.split_from,
        observations=tuple(_observation(observation, days) for observation in lesion.observations),
        change=change_json(lesion.change, days.of(lesion.now.date)) if lesion.change else None,
    )


def _observation(observation: LesionObservation, days: Days) -> ObservationJson:
    return ObservationJson(
        day=days.of(observation.date),
        state=observation.state,
        sizes=sizes_json(observation.sizes) if observation.sizes else None,
    )


def sizes_json(sizes: Sizes) -> SizesJson:
    """Return sizes with their 95 % intervals by the scan alone as JSON."""
    uncertainty = uncertainty_of(sizes)
    return SizesJson(
        volume_ml=round_number(sizes.volume_ml),
        volume_ml_95=ends(uncertainty.volume_ml),
        long_axis_mm=round_number(sizes.long_axis_mm),
        long_axis_mm_95=ends(uncertainty.long_axis_mm),
        short_axis_mm=round_number(sizes.short_axis_mm),
        short_axis_mm_95=ends(uncertainty.short_axis_mm),
    )
