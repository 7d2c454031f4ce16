"""Draws totals over time: the tumour burden in ml, and the sum of diameters with the limits of RECIST 1.1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.follow_up.burden import burden_at
from worker.outputs.page.chart import (
    Chart,
    chart_in,
    draw_axes,
    draw_curve,
    draw_days,
    draw_marker,
    draw_strip,
)
from worker.outputs.page.sections.lesion_timeline import CURVE, MISSING, TimelineView
from worker.outputs.page.sections.overview import spaced_positions
from worker.outputs.page.sheet import BLACK, MM_PER_PT, WHITE, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.timeline_wording import MINUS, signed
from worker.recist.assessment import ResponseTimeline
from worker.recist.rules import LEAST_INCREASE_MM

TITLE, LABEL = TextStyle(size_pt=7.5, bold=True), TextStyle(size_pt=6.2)
TITLE_MM, LABELS_MM, PITCH_MM = 4.4, 21.0, 2.7
RESPONSE_ROWS = 1
MIN_LIMIT_MM = 9.0
"""Minimum length of the line of a limit, to keep a recent one visible."""
HEADROOM = 1.08
PARTIAL = LineStyle(colour="#7f7f7f", width_pt=0.9, dashes=(3.0, 1.5))
NADIR = LineStyle(colour=BLACK, width_pt=0.8, dashes=(0.8, 1.2))
PROGRESSION = LineStyle(colour="#d55e00", width_pt=0.9, dashes=(4.0, 1.2, 1.0, 1.2))
COMPLETE, INCOMPLETE = "#0072b2", WHITE
"""Marker colours of a complete sum, and of one that lacks lesions that could not be measured."""


def draw_burden(sheet: Sheet, rect: Rect, view: TimelineView) -> None:
    """Draw the volume of all lesions at each scan."""
    sums = [(day, burden_at(view.comparison, scan.date)) for day, scan in
            zip(view.scan_days, view.comparison.scans, strict=True)]  # fmt: skip
    top = max(burden.volume_ml for _, burden in sums)
    title = "Burden, all lesions" + _title_suffix(burden.is_complete for _, burden in sums)
    chart = _chart(sheet, rect, view, title, (HEADROOM * top or 1.0, "ml", 0))
    draw_axes(sheet, chart)
    _draw_sums(sheet, chart, [(day, burden.volume_ml, burden.is_complete) for day, burden in sums])
    draw_days(sheet, chart, rect.bottom)
    (_, first), (_, last) = sums[0], sums[-1]
    labels = [(last.volume_ml, f"{last.volume_ml:.2f} ml")]
    if first.volume_ml:
        change = signed(100 * (last.volume_ml / first.volume_ml - 1))
        labels.append((last.volume_ml, f"{change} % of day 0"))
    _draw_labels(sheet, chart, labels)


def draw_sum(sheet: Sheet, rect: Rect, timeline: ResponseTimeline, view: TimelineView) -> None:
    """Draw the sum of diameters at each scan, its nadir, and the limits of partial response and progression."""
    base = timeline.baseline
    if not base.targets:
        sheet.text((rect.left, rect.top + 2.6), "Sum of diameters, RECIST 1.1", TITLE, rect.width)
        sheet.text((rect.left, rect.top + 7.0), "No lesion of the baseline is a target.", LABEL, rect.width)
        return
    sums = [(view.days.of(base.date), base.total), *((view.days.of(a.date), a.total) for a in timeline.assessments)]
    limits = _limits(timeline, view)
    top = HEADROOM * max(*(total.sum_mm for _, total in sums), *(limit.sum_mm for limit in limits))
    responses = [(view.days.of(base.date), "baseline")]
    responses += [(view.days.of(each.date), str(each.response)) for each in timeline.assessments]
    title = "Sum of diameters of the targets, RECIST 1.1" + _title_suffix(total.is_complete for _, total in sums)
    chart = _chart(sheet, rect, view, title, (top, "mm", RESPONSE_ROWS))
    draw_axes(sheet, chart)
    last = view.scan_days[-1]
    for limit in limits:
        end, height = chart.point(last, limit.sum_mm)
        sheet.line([(min(chart.x(limit.since), end - MIN_LIMIT_MM), height), (end, height)], limit.line_style)
    _draw_sums(sheet, chart, [(day, total.sum_mm, total.is_complete) for day, total in sums])
    draw_strip(sheet, chart, responses, RESPONSE_ROWS)
    draw_days(sheet, chart, rect.bottom)
    now = sums[-1][1].sum_mm
    _draw_labels(sheet, chart, [(now, f"{now:.1f} mm now"), *((limit.sum_mm, limit.text) for limit in limits)])


def _title_suffix(are_complete: Iterable[bool]) -> str:
    return "" if all(are_complete) else " (white: at least)"


def _draw_sums(sheet: Sheet, chart: Chart, sums: Sequence[tuple[int, float, bool]]) -> None:
    """Draw a marker for each sum and lines between complete sums only: an incomplete sum is not a decrease."""
    complete = [number for number, (*_, is_complete) in enumerate(sums) if is_complete]
    for start, end in pairwise(complete):
        ends = [sums[number][:2] for number in (start, end)]
        draw_curve(sheet, chart, ends, CURVE if end == start + 1 else MISSING)
    for day, value, is_complete in sums:
        draw_marker(sheet, chart.point(day, value), COMPLETE if is_complete else INCOMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """A limit of the sum of diameters, valid from a day on."""

    since: int
    sum_mm: float
    text: str
    line_style: LineStyle


def _limits(timeline: ResponseTimeline, view: TimelineView) -> list[_Limit]:
    """Return the limits for the current sum, by the rules of worker/recist/rules.py."""
    base = timeline.baseline
    first, base_mm = view.days.of(base.date), base.total.sum_mm
    partial = _Limit(
        since=first, sum_mm=0.7 * base_mm, text=f"PR, {MINUS}30 %: {0.7 * base_mm:.1f}", line_style=PARTIAL
    )
    if not timeline.assessments:
        return [partial]
    nadir_mm = timeline.assessments[-1].nadir_mm
    since = next(
        (view.days.of(each.date) for each in timeline.assessments[:-1]
         if each.total.is_complete and each.total.sum_mm == nadir_mm),
        first,
    ) if nadir_mm < base_mm else first  # fmt: skip
    progression_mm = max(1.2 * nadir_mm, nadir_mm + LEAST_INCREASE_MM)
    increase = f"+{LEAST_INCREASE_MM:.0f} mm" if progression_mm > 1.2 * nadir_mm else "+20 %"
    return [
        partial,
        _Limit(since=since, sum_mm=nadir_mm, text=f"nadir: {nadir_mm:.1f}", line_style=NADIR),
        _Limit(
            since=since, sum_mm=progression_mm, text=f"PD, {increase}: {progression_mm:.1f}", line_style=PROGRESSION
        ),
    ]


def _chart(sheet: Sheet, rect: Rect, view: TimelineView, title: str, scale: tuple[float, str, int]) -> Chart:
    """Write the title, and return the chart below it, with space for labels on its right."""
    heading, below = rect.split_below(TITLE_MM)
    sheet.text((heading.left, heading.top + 2.6), title, TITLE, heading.width)
    top, unit, rows = scale
    return chart_in(below.split_beside(below.width - LABELS_MM)[0], view.scan_days, top, unit, rows)


def _draw_labels(sheet: Sheet, chart: Chart, labels: Sequence[tuple[float, str]]) -> None:
    """Write labels beside the chart at the heights of their values, moved apart where they would touch."""
    labels = sorted(labels, key=lambda label: -label[0])
    heights = spaced_positions(
        [chart.y(value) for value, _ in labels], PITCH_MM, chart.plot.top + 1, chart.plot.bottom - 1
    )
    left = chart.plot.right + 1.0
    for (_, text), height in zip(labels, heights, strict=True):
        sheet.text((left, height + 0.36 * LABEL.size_pt * MM_PER_PT), text, LABEL, LABELS_MM - 1.0)
