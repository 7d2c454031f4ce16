"""The timeline as a table for trials: one row for each lesion and time point.

The table holds no identifying values: no dates, no names, no UIDs but tracking UIDs. Tracking UIDs
of other software are replaced, as many vendors write dates into UIDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.outputs.json.change_model import ChangeJson
from worker.outputs.json.recist_model import AssessmentJson, RecistJson
from worker.outputs.json.values import Ends
from worker.timeline.model import (
    NoTimeline,
    TimelineJson,
    TimelineLesionJson,
    TimelineObservationJson,
    TimelinePointJson,
)
from worker.uids import derived_uid

Value = str | int | float | bool | None
SUBJECT_DIGITS = 12
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_UUID_ROOT = "2.25."

COLUMNS: Mapping[str, str] = {
    "subject": "label of the patient, as given, or the first digits of the patient key",
    "day": "days since the first scan of the timeline",
    "tracking_uid": "the lesion, the same at all time points",
    "lesion": "its name in the reports of LungSpread",
    "state": "present, too small to measure, vanished, merged, not evaluable, doubtful",
    "role": "target, non-target (of the baseline), or new; a part has the role of the lesion that it split from",
    "event": "since the scan before: same, new, vanished, merged, split, returned",
    "confidence": "of the event, 0 to 1",
    "merged_into": "tracking UID of the lesion that holds it, once it has merged",
    "split_from": "tracking UID of the lesion that it was a part of",
    "possible_match": "tracking UID of the known lesion that it may be",
    "volume_ml": "volume",
    "volume_ml_low": "95 % interval by the scan alone, low end",
    "volume_ml_high": "high end",
    "long_axis_mm": "RECIST long axis",
    "long_axis_mm_low": "95 % interval by the scan alone, low end",
    "long_axis_mm_high": "high end",
    "short_axis_mm": "longest diameter at a right angle to it",
    "short_axis_mm_low": "95 % interval by the scan alone, low end",
    "short_axis_mm_high": "high end",
    "volume_change_percent": "since the last scan that showed the lesion",
    "is_beyond_chance": "whether volume or long axis changed by more than what unchanged lesions repeat within",
    "doubling_days": "volume doubling time; negative: it halves in so many days",
    "slice_mm": "distance of the slices",
    "outlined_by": "ours, or a reader",
    "burden_ml": "volume of all lesions of the time point that were measured",
    "is_burden_complete": "whether that is every lesion",
    "sum_of_diameters_mm": "RECIST 1.1, of the targets that could be measured",
    "is_sum_complete": "whether every target could be measured, or is gone",
    "nadir_mm": "the smallest sum before",
    "from_baseline_percent": "sum of diameters against the baseline",
    "from_nadir_percent": "sum of diameters against the nadir",
    "response": "RECIST 1.1, proposed: CR, PR, SD, PD, NE, non-CR/non-PD; empty at the baseline",
    "response_by_volume": "by the volume of the targets, no part of RECIST 1.1",
}
"""Meaning of each column, in the order of the columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineTable:
    """Rows sorted by day, then in the order of the lesions; values in the order of COLUMNS."""

    rows: tuple[tuple[Value, ...], ...]


def table_of(timeline: TimelineJson, subject: str | None = None) -> TimelineTable:
    """Return the table. Raises NoTimeline for an invalid subject label, or without both label and patient key."""
    label = subject if subject is not None else (timeline.patient_key or "")[:SUBJECT_DIGITS]
    if not _SUBJECT.fullmatch(label):
        raise NoTimeline("--subject must be a label of 1 to 64 letters, digits, dots, dashes and underscores")
    filled = [{"subject": label, **row} for point in timeline.time_points for row in _rows(point, timeline)]
    return TimelineTable(rows=tuple(tuple(row.get(column) for column in COLUMNS) for row in filled))


def _rows(point: TimelinePointJson, timeline: TimelineJson) -> Iterator[dict[str, Value]]:
    """Yield a row for each lesion observed at the scan, or a single row without a lesion."""
    shared = {**_point_columns(point), **_response_columns(point.day, timeline.recist)}
    observed = [(lesion, each) for lesion in timeline.lesions for each in lesion.observations if each.day == point.day]
    for lesion, observation in observed:
        role = _role(lesion, point.day, timeline)
        yield {
            **shared,
            **_lesion_columns(lesion, role),
            **_observation_columns(observation),
            **_change_columns(observation.change),
        }
    if not observed:
        yield shared


def _point_columns(point: TimelinePointJson) -> dict[str, Value]:
    return {
        "day": point.day,
        "slice_mm": point.slice_mm,
        "outlined_by": point.outlined_by.value,
        "burden_ml": point.burden_ml,
        "is_burden_complete": point.is_burden_complete,
    }


def _lesion_columns(lesion: TimelineLesionJson, role: str | None) -> dict[str, Value]:
    return {
        "tracking_uid": _anonymous_uid(lesion.tracking_uid),
        "lesion": lesion.name,
        "role": role,
        "merged_into": _anonymous_uid(lesion.merged_into),
        "split_from": _anonymous_uid(lesion.split_from),
        "possible_match": _anonymous_uid(lesion.possible_match),
    }


def _anonymous_uid(tracking_uid: str | None) -> str | None:
    """Return the UID if it is made of a UUID or a hash (PS3.5 B.2), else a derived UID."""
    if tracking_uid is None or tracking_uid.startswith(_UUID_ROOT):
        return tracking_uid
    return derived_uid("timeline", tracking_uid)


def _observation_columns(observation: TimelineObservationJson) -> dict[str, Value]:
    sizes = observation.sizes
    row: dict[str, Value] = {
        "state": observation.state.value,
        "event": observation.event.value if observation.event else None,
        "confidence": observation.confidence,
    }
    if sizes:
        row |= {
            "volume_ml": sizes.volume_ml,
            "long_axis_mm": sizes.long_axis_mm,
            "short_axis_mm": sizes.short_axis_mm,
            **_interval_ends("volume_ml", sizes.volume_ml_95),
            **_interval_ends("long_axis_mm", sizes.long_axis_mm_95),
            **_interval_ends("short_axis_mm", sizes.short_axis_mm_95),
        }
    return row


def _interval_ends(name: str, interval: Ends) -> dict[str, Value]:
    return dict(zip((f"{name}_low", f"{name}_high"), interval, strict=True))


def _change_columns(change: ChangeJson | None) -> dict[str, Value]:
    if change is None:
        return {}
    return {
        "volume_change_percent": change.volume.percent,
        "is_beyond_chance": change.is_beyond_chance,
        "doubling_days": change.growth.doubling_days if change.growth else None,
    }


def _response_columns(day: int, recist: RecistJson | None) -> dict[str, Value]:
    if recist is None:
        return {}
    if day == recist.baseline.day:
        base = recist.baseline
        return {"sum_of_diameters_mm": base.sum_mm, "is_sum_complete": base.is_complete}
    return next((_assessment_columns(each) for each in recist.assessments if each.day == day), {})


def _assessment_columns(each: AssessmentJson) -> dict[str, Value]:
    return {
        "sum_of_diameters_mm": each.sum_mm,
        "is_sum_complete": each.is_complete,
        "nadir_mm": each.nadir_mm,
        "from_baseline_percent": each.from_baseline_percent,
        "from_nadir_percent": each.from_nadir_percent,
        "response": each.response.value,
        "response_by_volume": each.volumetric.response.value,
    }


def _role(lesion: TimelineLesionJson, day: int, timeline: TimelineJson) -> str | None:
    """Return the RECIST role of the lesion at this day, or None, for instance for a doubtful lesion."""
    recist, uid = timeline.recist, lesion.tracking_uid
    if recist is None:
        return None
    if uid in recist.baseline.targets:
        return "target"
    if uid in recist.baseline.non_targets:
        return "non-target"
    if any(uid in each.new_lesions for each in recist.assessments if each.day <= day):
        return "new"
    origin = next((each for each in timeline.lesions if each.tracking_uid == lesion.split_from), None)
    return _role(origin, day, timeline) if origin and origin is not lesion else None
