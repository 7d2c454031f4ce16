"""The course as a table for trials: one row for each lesion and time point, each column with its meaning.

Holds nothing that identifies: no date, no name, no UID but the lesions' tracking UIDs. What a reader's software called
a lesion is left out, since it may be anything, and its tracking UIDs are replaced: many vendors write dates into UIDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.outputs.json.model import AssessmentForm, RecistForm
from worker.outputs.json.read import NoTimeline
from worker.outputs.json.values import Json
from worker.timeline.model import TimelineForm, TimelineLesion, TimelineObservation, TimelinePoint
from worker.uids import derived_uid

Value = str | int | float | bool | None
SUBJECT_DIGITS = 12
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BARE = "2.25."
_OUR_NAME = re.compile(r"lesion-\d+")

COLUMNS: Mapping[str, str] = {
    "subject": "label of the patient, as given, or the first digits of the patient key",
    "day": "days since the first scan of the course",
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
"""Every column with its meaning, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineTable:
    """Rows in the order of COLUMNS, by day, then in the order of the lesions."""

    rows: tuple[tuple[Value, ...], ...]


def table_of(course: TimelineForm, subject: str | None = None) -> TimelineTable:
    """Return the table. Raises NoTimeline for a label that is none, and where neither a label nor a key is known."""
    label = subject if subject is not None else (course["patient_key"] or "")[:SUBJECT_DIGITS]
    if not _SUBJECT.fullmatch(label):
        raise NoTimeline("a subject needs a label of 1 to 64 letters, digits, dots, dashes and underscores: --subject")
    filled = [{"subject": label, **row} for point in course["time_points"] for row in _rows(point, course)]
    return TimelineTable(rows=tuple(tuple(row.get(column) for column in COLUMNS) for row in filled))


def _rows(point: TimelinePoint, course: TimelineForm) -> Iterator[dict[str, Value]]:
    """Yield a row for each lesion that the scan says something of; one without a lesion, where there is none."""
    shared = {**_of_point(point), **_of_response(point["day"], course["recist"])}
    seen = [
        (lesion, each) for lesion in course["lesions"] for each in lesion["observations"] if each["day"] == point["day"]
    ]
    for lesion, observation in seen:
        role = _role(lesion, point["day"], course)
        yield {
            **shared,
            **_of_lesion(lesion, role),
            **_of_observation(observation),
            **_of_change(observation["change"]),
        }
    if not seen:
        yield shared


def _of_point(point: TimelinePoint) -> dict[str, Value]:
    return {
        "day": point["day"],
        "slice_mm": point["slice_mm"],
        "outlined_by": point["outlined_by"],
        "burden_ml": point["burden_ml"],
        "is_burden_complete": point["is_burden_complete"],
    }


def _of_lesion(lesion: TimelineLesion, role: str | None) -> dict[str, Value]:
    name = lesion["name"] if _OUR_NAME.fullmatch(lesion["name"]) else None
    return {
        "tracking_uid": _bare(lesion["tracking_uid"]),
        "lesion": name,
        "role": role,
        "merged_into": _bare(lesion["merged_into"]),
        "split_from": _bare(lesion["split_from"]),
        "possible_match": _bare(lesion["possible_match"]),
    }


def _bare(tracking_uid: str | None) -> str | None:
    """Return a UID that says nothing: it is one if made of a UUID or a hash (PS3.5 B.2); another is replaced."""
    if tracking_uid is None or tracking_uid.startswith(_BARE):
        return tracking_uid
    return derived_uid("course", tracking_uid)


def _of_observation(observation: TimelineObservation) -> dict[str, Value]:
    sizes = observation["sizes"]
    row: dict[str, Value] = {key: observation[key] for key in ("state", "event", "confidence")}
    if sizes:
        row |= {key: sizes[key] for key in ("volume_ml", "long_axis_mm", "short_axis_mm")}
        row |= _ends("volume_ml", sizes.get("volume_ml_95"))
        row |= _ends("long_axis_mm", sizes.get("long_axis_mm_95"))
        row |= _ends("short_axis_mm", sizes.get("short_axis_mm_95"))
    return row


def _ends(name: str, interval: Sequence[float] | None) -> dict[str, Value]:
    return dict(zip((f"{name}_low", f"{name}_high"), interval, strict=True)) if interval else {}


def _of_change(change: Json | None) -> dict[str, Value]:
    if change is None:
        return {}
    return {
        "volume_change_percent": _number(change, "volume", "percent"),
        "is_beyond_chance": bool(change["is_beyond_chance"]),
        "doubling_days": _number(change, "growth", "doubling_days"),
    }


def _number(change: Json, part: str, key: str) -> float | None:
    values = change[part]
    value = values.get(key) if isinstance(values, dict) else None
    return value if isinstance(value, int | float) else None


def _of_response(day: int, recist: RecistForm | None) -> dict[str, Value]:
    if recist is None:
        return {}
    if day == recist["baseline"]["day"]:
        base = recist["baseline"]
        return {"sum_of_diameters_mm": base["sum_mm"], "is_sum_complete": base["is_complete"]}
    return next((_of_assessment(each) for each in recist["assessments"] if each["day"] == day), {})


def _of_assessment(each: AssessmentForm) -> dict[str, Value]:
    return {
        "sum_of_diameters_mm": each["sum_mm"],
        "is_sum_complete": each["is_complete"],
        "nadir_mm": each["nadir_mm"],
        "from_baseline_percent": each["from_baseline_percent"],
        "from_nadir_percent": each["from_nadir_percent"],
        "response": each["response"],
        "response_by_volume": each["volumetric"]["response"],
    }


def _role(lesion: TimelineLesion, day: int, course: TimelineForm) -> str | None:
    """Return the lesion's part in RECIST; None of one in doubt, which has none yet."""
    recist, uid = course["recist"], lesion["tracking_uid"]
    if recist is None:
        return None
    if uid in recist["baseline"]["targets"]:
        return "target"
    if uid in recist["baseline"]["non_targets"]:
        return "non-target"
    if any(uid in each["new_lesions"] for each in recist["assessments"] if each["day"] <= day):
        return "new"
    whole = next((each for each in course["lesions"] if each["tracking_uid"] == lesion["split_from"]), None)
    return _role(whole, day, course) if whole and whole is not lesion else None
