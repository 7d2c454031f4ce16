"""The whole course of a patient, for `lungspread timeline`: put together from what each finished job said of its scan.

The newest report knows the scans that it was compared with; the report of the oldest of those, in turn, the ones before
it, and so on: where two overlap, the newer counts. What became of a lesion at a scan (event, change) is what the report
of that very scan says.

findings.schema.json describes the form. Holds no date: days count from the first scan of the course. Judges nothing but
RECIST over the whole, by worker/recist/assessment.py, where the newest report knows a part of it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from worker.follow_up.days import Days
from worker.outputs.dicom.header import RESEARCH_SENTENCE
from worker.outputs.json.model import LesionForm, ObservationForm, RecistForm, TimePointForm
from worker.outputs.json.read import NoTimeline, Report
from worker.outputs.json.recist import recist_json
from worker.outputs.json.values import Json
from worker.recist.assessment import course_of
from worker.recist.timepoints import State, TimePoint, TrackedLesion
from worker.timeline.model import TimelineForm, TimelineLesion, TimelineObservation, TimelinePoint

SCHEMA_VERSION = 1
_DAY_0 = date(2000, 1, 1)
"""Stands for the first scan, whose date nobody needs to know."""

Parts = Sequence[tuple[Report, int]]
"""Reports, the oldest first, each with the day of the course that its own day 0 is."""
Owners = Mapping[int, tuple[Report, int]]
"""By day of the course: the report of that scan, and the day that its own day 0 is."""


def course(reports: Sequence[Report], patient_key: str | None = None) -> TimelineForm:
    """Return the course that ends with the last of these reports, which are by date. Raises NoTimeline without any."""
    if not reports:
        raise NoTimeline("no scan of it is analysed")
    by_series = {report.series_uid: report for report in reports}
    parts = _parts(reports[-1], by_series)
    points = _time_points(parts)
    owners = _owners(points, by_series)
    lesions = _lesions(parts)
    recist = reports[-1].comparison["recist"]
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": RESEARCH_SENTENCE,
        "patient_key": patient_key,
        "time_points": [_timeline_point(point, owners) for point in points],
        "lesions": [_timeline_lesion(lesion, owners) for lesion in lesions],
        "recist": _recist(points, lesions) if recist is None or len(parts) > 1 else recist,
        "other_scans": [],
    }


def _parts(newest: Report, by_series: Mapping[str, Report]) -> Parts:
    """Go back from the newest report to the first scan."""
    chain = [newest]
    while (older := by_series.get(chain[-1].comparison["time_points"][0]["series_uid"])) is not None:
        if older in chain or not older.is_compared:
            break
        chain.append(older)
    placed: list[tuple[Report, int]] = []
    start = 0
    for report in reversed(chain):
        placed.append((report, start))
        start += report.day  # its scan is the first one of the next report
    return placed


def _time_points(parts: Parts) -> list[TimePointForm]:
    points: dict[int, TimePointForm] = {}
    for report, start in parts:
        for point in report.comparison["time_points"]:
            points[start + point["day"]] = {**point, "day": start + point["day"]}
    return [points[day] for day in sorted(points)]


def _owners(points: Sequence[TimePointForm], by_series: Mapping[str, Report]) -> dict[int, tuple[Report, int]]:
    found = {point["day"]: by_series.get(point["series_uid"]) for point in points}
    return {day: (report, day - report.day) for day, report in found.items() if report is not None}


def _lesions(parts: Parts) -> list[LesionForm]:
    """Return each lesion once, with all its sightings; those of the newest report first."""
    observations: dict[str, dict[int, ObservationForm]] = {}
    newest: dict[str, LesionForm] = {}
    for report, start in parts:
        for lesion in report.comparison["lesions"]:
            days = observations.setdefault(lesion["tracking_uid"], {})
            days.update({start + seen["day"]: {**seen, "day": start + seen["day"]} for seen in lesion["observations"]})
        of_report = {lesion["tracking_uid"]: lesion for lesion in report.comparison["lesions"]}
        newest = {**of_report, **{uid: lesion for uid, lesion in newest.items() if uid not in of_report}}
    parts_of = {lesion["tracking_uid"]: lesion["split_from"] for report, _ in parts
                for lesion in report.comparison["lesions"] if lesion["split_from"]}  # fmt: skip
    return [
        {**lesion, "split_from": parts_of.get(uid), "observations": [days[day] for day in sorted(days)]}
        for uid, lesion in newest.items()
        for days in [observations[uid]]
    ]


def _timeline_point(point: TimePointForm, owners: Owners) -> TimelinePoint:
    report, _ = owners.get(point["day"], (None, 0))
    return {
        **point,
        "job_key": report.job_key if report else None,
        "statement": report.comparison["statement"] if report else None,
        "reason": report.comparison["reason"] if report else None,
        "registration": report.comparison["registration"] if report else None,
    }


def _timeline_lesion(lesion: LesionForm, owners: Owners) -> TimelineLesion:
    return {
        "tracking_uid": lesion["tracking_uid"],
        "name": lesion["name"],
        "possible_match": lesion["possible_match"],
        "merged_into": lesion["merged_into"],
        "split_from": lesion["split_from"],
        "observations": [
            _timeline_observation(seen, lesion["tracking_uid"], owners) for seen in lesion["observations"]
        ],
    }


def _timeline_observation(seen: ObservationForm, tracking_uid: str, owners: Owners) -> TimelineObservation:
    report, start = owners.get(seen["day"], (None, 0))
    said = next((each for each in _said(report) if each["tracking_uid"] == tracking_uid), None)
    return {
        **seen,
        "event": said["event"] if said else None,
        "confidence": said["confidence"] if said else None,
        "change": _shifted(said["change"], start) if said and said["change"] else None,
    }


def _said(report: Report | None) -> Sequence[LesionForm]:
    return report.comparison["lesions"] if report else ()


def _shifted(change: Json, start: int) -> Json:
    since = change["since_day"]
    return {**change, "since_day": since + start if isinstance(since, int) else None}


def _recist(points: Sequence[TimePointForm], lesions: Sequence[LesionForm]) -> RecistForm:
    found = [
        TimePoint(
            date=_DAY_0 + timedelta(days=point["day"]),
            slice_mm=point["slice_mm"],
            lesions=tuple(_tracked(point["day"], lesions)),
        )
        for point in points
    ]
    return recist_json(course_of(found), Days(start=_DAY_0))


def _tracked(day: int, lesions: Sequence[LesionForm]) -> Iterator[TrackedLesion]:
    for lesion in lesions:
        for seen in lesion["observations"]:
            if seen["day"] == day:
                yield _one(lesion, seen)


def _one(lesion: LesionForm, seen: ObservationForm) -> TrackedLesion:
    state, sizes = State(seen["state"]), seen["sizes"]
    is_first = seen["day"] == lesion["observations"][0]["day"]
    return TrackedLesion(
        tracking_uid=lesion["tracking_uid"],
        state=state,
        long_axis_mm=sizes["long_axis_mm"] if sizes else None,
        volume_ml=sizes["volume_ml"] if sizes else None,
        merged_into=lesion["merged_into"] if state is State.MERGED else None,
        split_from=lesion["split_from"] if is_first else None,
        name=lesion["name"],
    )
