"""Draws one lesion over time: a chart of its volume with repeatability limits, and its events as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline
from worker.follow_up.repeatability import is_within_repeatability, repeatability_of
from worker.lesions.uncertainty import uncertainty_of
from worker.outputs.days import Days, days_of
from worker.outputs.page.chart import (
    Chart,
    chart_in,
    draw_axes,
    draw_cross,
    draw_curve,
    draw_days,
    draw_marker,
    draw_strip,
    label_rows_needed,
)
from worker.outputs.page.sheet import BLACK, GREY, WHITE, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.timeline_wording import event_text, is_comparable, lesion_lines, strip_labels
from worker.recist.timepoints import State

# Okabe and Ito 2008.
CURVE = LineStyle(colour="#0072b2", width_pt=1.1)
MISSING = LineStyle(colour="#0072b2", width_pt=0.7, dashes=(2.0, 1.6))
INTERVAL = LineStyle(colour=BLACK, width_pt=0.7)
CHANCE = "#dcdcdc"
BEYOND, FIRST = "#e69f00", "#8c8c8c"
NAME, EVENT = TextStyle(size_pt=8, bold=True), TextStyle(size_pt=7, bold=True)
DETAIL, REMARK = TextStyle(size_pt=6.2), TextStyle(size_pt=6.2, colour=GREY)
NAME_MM, LINE_MM, CAP_MM = 3.8, 2.75, 0.6
MAX_LABEL_ROWS = 3
HEADROOM = 1.06
TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineView:
    """Input that all charts of one comparison share."""

    comparison: Comparison
    days: Days
    scan_days: tuple[int, ...]
    targets: tuple[str, ...]


def timeline_view_of(comparison: Comparison) -> TimelineView:
    """Collect the input of the lesion timeline charts."""
    days = days_of(comparison)
    return TimelineView(
        comparison=comparison,
        days=days,
        scan_days=tuple(days.of(scan.date) for scan in comparison.scans),
        targets=comparison.recist.baseline.targets if comparison.recist else (),
    )


def draw_lesion_timelines(
    sheet: Sheet, rects: Sequence[Rect], lesions: Sequence[LesionTimeline], view: TimelineView
) -> None:
    """Draw each lesion into its region, all charts at the same height."""
    if lesions:
        lines = max(len(list(lesion_lines(lesion, view.days))) for lesion in lesions)
        label_rows = max(_label_rows(sheet, rect, lesion, view) for rect, lesion in zip(rects, lesions, strict=True))
    for rect, lesion in zip(rects, lesions, strict=True):
        _draw_lesion_timeline(sheet, rect, (lines, label_rows), lesion, view)


def _label_rows(sheet: Sheet, rect: Rect, lesion: LesionTimeline, view: TimelineView) -> int:
    chart = chart_in(rect, view.scan_days, 1.0, "ml")
    return label_rows_needed(sheet, chart, strip_labels(lesion, view.comparison, view.days), MAX_LABEL_ROWS)


def _draw_lesion_timeline(
    sheet: Sheet, rect: Rect, heights: tuple[int, int], lesion: LesionTimeline, view: TimelineView
) -> None:
    """Draw one lesion: its name, details and chart. heights: numbers of detail lines and of label rows."""
    lines, label_rows = heights
    heading, rest = rect.split_below(NAME_MM)
    details, below = rest.split_below(lines * LINE_MM)
    _draw_heading(sheet, heading, lesion, view)
    for number, text in enumerate(lesion_lines(lesion, view.days)):
        sheet.text((details.left, details.top + (number + 0.8) * LINE_MM), text, DETAIL, details.width)
    chart = chart_in(below, view.scan_days, _axis_top(lesion, view.comparison), "ml", label_rows)
    _draw_chance_limits(sheet, chart, lesion, view)
    draw_axes(sheet, chart)
    _draw_volumes(sheet, chart, lesion, view)
    draw_strip(sheet, chart, strip_labels(lesion, view.comparison, view.days), label_rows)
    draw_days(sheet, chart, below.bottom)


def _draw_heading(sheet: Sheet, rect: Rect, lesion: LesionTimeline, view: TimelineView) -> None:
    baseline = rect.bottom - 1.0
    sheet.text((rect.left, baseline), lesion.name, NAME, rect.width * 0.45)
    left = rect.left + min(sheet.text_width_mm(lesion.name, NAME), rect.width * 0.45) + 1.2
    if lesion.tracking_uid in view.targets:
        sheet.text((left, baseline), TARGET, REMARK)
        left += sheet.text_width_mm(TARGET, REMARK) + 1.2
    text = event_text(lesion, view.comparison)
    width = min(sheet.text_width_mm(text, EVENT), rect.right - left)
    if text:
        sheet.text((rect.right - width, baseline), text, EVENT, rect.right - left)


def _axis_top(lesion: LesionTimeline, comparison: Comparison) -> float:
    """Return the top of the axis in ml: the highest end of a volume interval or repeatability limit, with headroom."""
    ends = [uncertainty_of(each.sizes).volume_ml.high for each in lesion.observations if each.sizes]
    return HEADROOM * max([*ends, *(high for *_, high in _chance_limits(lesion, comparison))], default=1.0)


def _draw_chance_limits(sheet: Sheet, chart: Chart, lesion: LesionTimeline, view: TimelineView) -> None:
    """Shade, between consecutive scans, the range in which the volume of an unchanged lesion may be measured."""
    for prior, current, low, high in _chance_limits(lesion, view.comparison):
        left, right = (chart.x(view.days.of(each.date)) for each in (prior, current))
        top, bottom = chart.y(high), chart.y(low)
        sheet.box(Rect(left=left, top=top, width=right - left, height=bottom - top), CHANCE)


def _chance_limits(
    lesion: LesionTimeline, comparison: Comparison
) -> list[tuple[LesionObservation, LesionObservation, float, float]]:
    found = []
    for prior, current in pairwise(each for each in lesion.observations if each.sizes):
        if prior.sizes and current.sizes and is_comparable(lesion, (prior, current), comparison):
            limits, prior_ml = repeatability_of(prior.sizes, current.sizes).volume_percent, prior.sizes.volume_ml
            found.append((prior, current, prior_ml * (1 + limits.low / 100), prior_ml * (1 + limits.high / 100)))
    return found


def _draw_volumes(sheet: Sheet, chart: Chart, lesion: LesionTimeline, view: TimelineView) -> None:
    charted = [each for each in lesion.observations if each.sizes or each.state is State.VANISHED]
    for prior, current in pairwise(charted):
        if prior.sizes or current.sizes:
            ends = [(view.days.of(each.date), _volume_ml(each)) for each in (prior, current)]
            draw_curve(sheet, chart, ends, CURVE if _are_consecutive(lesion, (prior, current), view) else MISSING)
    before: LesionObservation | None = None
    for observation in charted:
        day = view.days.of(observation.date)
        if not observation.sizes:
            draw_cross(sheet, chart.point(day, 0.0))
            continue
        interval = uncertainty_of(observation.sizes).volume_ml
        _draw_interval(sheet, chart, day, (interval.low, interval.high))
        is_same = before is not None and is_comparable(lesion, (before, observation), view.comparison)
        draw_marker(
            sheet,
            chart.point(day, observation.sizes.volume_ml),
            _marker_colour(before if is_same else None, observation),
        )
        before = observation


def _volume_ml(observation: LesionObservation) -> float:
    return observation.sizes.volume_ml if observation.sizes else 0.0


def _are_consecutive(
    lesion: LesionTimeline, pair: tuple[LesionObservation, LesionObservation], view: TimelineView
) -> bool:
    """Whether both volumes were measured on consecutive scans and are comparable."""
    prior, current = pair
    is_next = lesion.observations.index(current) == lesion.observations.index(prior) + 1
    return bool(prior.sizes and current.sizes) and is_next and is_comparable(lesion, pair, view.comparison)


def _draw_interval(sheet: Sheet, chart: Chart, day: int, ends: tuple[float, float]) -> None:
    x, low, high = chart.x(day), chart.y(ends[0]), chart.y(ends[1])
    sheet.line([(x, low), (x, high)], INTERVAL)
    for height in (low, high):
        sheet.line([(x - CAP_MM, height), (x + CAP_MM, height)], INTERVAL)


def _marker_colour(before: LesionObservation | None, now: LesionObservation) -> str:
    if before is None or before.sizes is None or now.sizes is None:
        return FIRST
    return WHITE if is_within_repeatability(before.sizes, now.sizes) else BEYOND
