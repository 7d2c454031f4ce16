"""Comparison of the current scan with its priors as JSON values.

Times are days since the first scan; dates in texts are replaced by days. Tracking UIDs identify lesions, Series
Instance UIDs identify scans.
"""

from __future__ import annotations

from worker.follow_up.burden import burden_at
from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline, TimelineScan
from worker.follow_up.days import Days, days_of
from worker.lesions.uncertainty import Sizes, uncertainty_of
from worker.outputs.json.change import change_json
from worker.outputs.json.model import ComparisonForm, LesionForm, ObservationForm, SizesForm, TimePointForm
from worker.outputs.json.recist import recist_json
from worker.outputs.json.values import DECIMALS, Json, ends, rounded
from worker.registration.register import Registration


def comparison_json(comparison: Comparison) -> ComparisonForm:
    """Return the comparison with priors as JSON values; without priors, the statement why there is none."""
    days = days_of(comparison)
    return {
        "statement": comparison.statement.value,
        "reason": days.replace_dates(comparison.reason) if comparison.reason else None,
        "registration": _registration(comparison.registration, days) if comparison.registration else None,
        "time_points": [_time_point(scan, comparison, days) for scan in comparison.scans],
        "lesions": [_lesion(lesion, days) for lesion in comparison.lesions],
        "recist": recist_json(comparison.recist, days) if comparison.recist else None,
    }


def _registration(registration: Registration, days: Days) -> Json:
    quality = registration.quality
    return {
        "method": registration.method.value,
        "reason": days.replace_dates(registration.reason) if registration.reason else None,
        "surface_mm": rounded(quality.surface_mm) if quality else None,
        "surface_95_mm": rounded(quality.surface_95_mm) if quality else None,
        "smallest_jacobian": rounded(quality.smallest_jacobian) if quality else None,
        "largest_jacobian": rounded(quality.largest_jacobian) if quality else None,
    }


def _time_point(scan: TimelineScan, comparison: Comparison, days: Days) -> TimePointForm:
    burden = burden_at(comparison, scan.date)
    return {
        "day": days.of(scan.date),
        "study_uid": scan.study_uid,
        "series_uid": scan.series_uid,
        "slice_mm": round(scan.slice_mm, DECIMALS),
        "outlined_by": scan.origin.value,
        "report_uid": scan.report.sop_instance_uid if scan.report else None,
        "burden_ml": round(burden.volume_ml, DECIMALS),
        "is_burden_complete": burden.is_complete,
    }


def _lesion(lesion: LesionTimeline, days: Days) -> LesionForm:
    return {
        "tracking_uid": lesion.tracking_uid,
        "name": lesion.name,
        "event": lesion.event.value if lesion.event else None,
        "confidence": rounded(lesion.confidence),
        "possible_match": lesion.possible_match,
        "merged_into": lesion.merged_into,
        "split_from": lesion.split_from,
        "observations": [_observation(observation, days) for observation in lesion.observations],
        "change": change_json(lesion.change, days.of(lesion.now.date)) if lesion.change else None,
    }


def _observation(observation: LesionObservation, days: Days) -> ObservationForm:
    return {
        "day": days.of(observation.date),
        "state": observation.state.value,
        "sizes": _sizes(observation.sizes) if observation.sizes else None,
    }


def _sizes(sizes: Sizes) -> SizesForm:
    """The 95 % intervals are by the scan alone (worker/lesions/uncertainty.py)."""
    uncertainty = uncertainty_of(sizes)
    return {
        "volume_ml": round(sizes.volume_ml, DECIMALS),
        "volume_ml_95": ends(uncertainty.volume_ml),
        "long_axis_mm": round(sizes.long_axis_mm, DECIMALS),
        "long_axis_mm_95": ends(uncertainty.long_axis_mm),
        "short_axis_mm": round(sizes.short_axis_mm, DECIMALS),
        "short_axis_mm_95": ends(uncertainty.short_axis_mm),
    }
