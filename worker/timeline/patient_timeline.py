"""Timeline of a patient, for `lungspread timeline`: joins the reports of all finished jobs.

The newest report contains the scans that it was compared with; the report of the oldest of these contains the scans
before it, and so on. Where two reports overlap, the newer one counts. Event and change of a lesion at a scan are those
in the report of that scan.

Times are days since the first scan of the timeline, not dates. RECIST is assessed again (worker/recist/assessment.py)
if the newest report covers only a part of the timeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from worker.outputs.days import Days
from worker.outputs.json.change_model import ChangeJson
from worker.outputs.json.comparison_model import LesionTimelineJson, ObservationJson, TimePointJson
from worker.outputs.json.recist import recist_json
from worker.outputs.json.recist_model import RecistJson
from worker.product import RESEARCH_SENTENCE
from worker.recist.assessment import assess_timeline
from worker.recist.timepoints import State, TimePoint, TrackedLesion
from worker.timeline.model import (
    SCHEMA_VERSION,
    NoTimeline,
    TimelineJson,
    TimelineLesionJson,
    TimelineObservationJson,
    TimelinePointJson,
)
from worker.timeline.scan_report import ScanReport

_DAY_0 = date(2000, 1, 1)
"""Arbitrary date in place of that of the first scan."""

Parts = Sequence[tuple[ScanReport, int]]
"""Reports, oldest first, each with the day of the timeline on which its own day 0 falls."""
ReportsByDay = Mapping[int, tuple[ScanReport, int]]
"""By day of the timeline: the report of that scan, and the day on which its own day 0 falls."""


def build_timeline(reports: Sequence[ScanReport], patient_key: str | None = None) -> TimelineJson:
    """Return the timeline that ends with the last report; reports are sorted by date. Raises NoTimeline for none."""
    if not reports:
        raise NoTimeline("the patient has no analysed scan")
    by_series = {report.series_uid: report for report in reports}
    parts = _parts(reports[-1], by_series)
    points = _time_points(parts)
    reports_by_day = _reports_by_day(points, by_series)
    lesions = _lesions(parts)
    recist = reports[-1].comparison.recist
    return TimelineJson(
        schema_version=SCHEMA_VERSION,
        notice=RESEARCH_SENTENCE,
        patient_key=patient_key,
        time_points=tuple(_timeline_point(point, reports_by_day) for point in points),
        lesions=tuple(_timeline_lesion(lesion, reports_by_day) for lesion in lesions),
        recist=_recist(points, lesions) if recist is None or len(parts) > 1 else recist,
        other_scans=(),
    )


def _parts(newest: ScanReport, by_series: Mapping[str, ScanReport]) -> Parts:
    """Follow the reports back from the newest one to the first scan."""
    chain = [newest]
    while (older := by_series.get(chain[-1].comparison.time_points[0].series_uid)) is not None:
        if older in chain or not older.is_compared:
            break
        chain.append(older)
    parts: list[tuple[ScanReport, int]] = []
    start = 0
    for report in reversed(chain):
        parts.append((report, start))
        start += report.day  # the scan of this report is the first one of the next report
    return parts


def _time_points(parts: Parts) -> list[TimePointJson]:
    points: dict[int, TimePointJson] = {}
    for report, start in parts:
        for point in report.comparison.time_points:
            points[start + point.day] = point.model_copy(update={"day": start + point.day})
    return [points[day] for day in sorted(points)]


def _reports_by_day(points: Sequence[TimePointJson], by_series: Mapping[str, ScanReport]) -> ReportsByDay:
    found = {point.day: by_series.get(point.series_uid) for point in points}
    return {day: (report, day - report.day) for day, report in found.items() if report is not None}


def _lesions(parts: Parts) -> list[LesionTimelineJson]:
    """Return each lesion once with all its observations, those of the newest report first."""
    observations: dict[str, dict[int, ObservationJson]] = {}
    newest: dict[str, LesionTimelineJson] = {}
    split_from: dict[str, str] = {}
    for report, start in parts:
        of_report = {lesion.tracking_uid: lesion for lesion in report.comparison.lesions}
        for uid, lesion in of_report.items():
            days = observations.setdefault(uid, {})
            for each in lesion.observations:
                days[start + each.day] = each.model_copy(update={"day": start + each.day})
            if lesion.split_from:
                split_from[uid] = lesion.split_from
        newest = {**of_report, **{uid: lesion for uid, lesion in newest.items() if uid not in of_report}}
    return [
        lesion.model_copy(
            update={
                "split_from": split_from.get(uid),
                "observations": tuple(observations[uid][day] for day in sorted(observations[uid])),
            }
        )
        for uid, lesion in newest.items()
    ]


def _timeline_point(point: TimePointJson, reports_by_day: ReportsByDay) -> TimelinePointJson:
    report, _ = reports_by_day.get(point.day, (None, 0))
    return TimelinePointJson(
        **dict(point),
        job_key=report.job_key if report else None,
        statement=report.comparison.statement if report else None,
        reason=report.comparison.reason if report else None,
        registration=report.comparison.registration if report else None,
    )


def _timeline_lesion(lesion: LesionTimelineJson, reports_by_day: ReportsByDay) -> TimelineLesionJson:
    return TimelineLesionJson(
        tracking_uid=lesion.tracking_uid,
        name=lesion.name,
        possible_match=lesion.possible_match,
        merged_into=lesion.merged_into,
        split_from=lesion.split_from,
        observations=tuple(
            _timeline_observation(observation, lesion.tracking_uid, reports_by_day)
            for observation in lesion.observations
        ),
    )


def _timeline_observation(
    observation: ObservationJson, tracking_uid: str, reports_by_day: ReportsByDay
) -> TimelineObservationJson:
    report, start = reports_by_day.get(observation.day, (None, 0))
    reported = next((each for each in _reported_lesions(report) if each.tracking_uid == tracking_uid), None)
    return TimelineObservationJson(
        **dict(observation),
        event=reported.event if reported else None,
        confidence=reported.confidence if reported else None,
        change=_shifted_change(reported.change, start) if reported and reported.change else None,
    )


def _reported_lesions(report: ScanReport | None) -> Sequence[LesionTimelineJson]:
    return report.comparison.lesions if report else ()


def _shifted_change(change: ChangeJson, start: int) -> ChangeJson:
    return change.model_copy(update={"since_day": change.since_day + start})


def _recist(points: Sequence[TimePointJson], lesions: Sequence[LesionTimelineJson]) -> RecistJson:
    found = [
        TimePoint(
            date=_DAY_0 + timedelta(days=point.day),
            slice_mm=point.slice_mm,
            lesions=tuple(_tracked_lesions(point.day, lesions)),
        )
        for point in points
    ]
    return recist_json(assess_timeline(found), Days(start=_DAY_0))


def _tracked_lesions(day: int, lesions: Sequence[LesionTimelineJson]) -> Iterator[TrackedLesion]:
    for lesion in lesions:
        for observation in lesion.observations:
            if observation.day == day:
                yield _tracked_lesion(lesion, observation)


def _tracked_lesion(lesion: LesionTimelineJson, observation: ObservationJson) -> TrackedLesion:
    state, sizes = observation.state, observation.sizes
    is_first = observation.day == lesion.observations[0].day
    return TrackedLesion(
        tracking_uid=lesion.tracking_uid,
        state=state,
        long_axis_mm=sizes.long_axis_mm if sizes else None,
        volume_ml=sizes.volume_ml if sizes else None,
        merged_into=lesion.merged_into if state is State.MERGED else None,
        split_from=lesion.split_from if is_first else None,
        name=lesion.name,
    )
