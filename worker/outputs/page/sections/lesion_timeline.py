"""Draws one lesion over time: its volume at each scan with what chance allows, and what became of it in words.

Computes nothing but where things lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.findings import Findings
from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline
from worker.follow_up.days import Days, days_of
from worker.follow_up.repeatability import is_within_repeatability, repeatability_of
from worker.lesions.uncertainty import uncertainty_of
from worker.outputs.page.chart import (
    Chart,
    chart_in,
    draw_axes,
    draw_cross,
    draw_curve,
    draw_days,
    draw_marker,
    draw_strip,
    rows_for,
)
from worker.outputs.page.sheet import BLACK, GREY, WHITE, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.timeline_wording import event_words, is_one_thing, lesion_words, strip_words
from worker.recist.timepoints import State

# Okabe and Ito 2008.
CURVE = LineStyle(colour="#0072b2", width_pt=1.1)
MISSING = LineStyle(colour="#0072b2", width_pt=0.7, dashes=(2.0, 1.6))
INTERVAL = LineStyle(colour=BLACK, width_pt=0.7)
CHANCE = "#dcdcdc"
BEYOND, FIRST = "#e69f00", "#8c8c8c"
NAME, EVENT = TextStyle(size_pt=8, bold=True), TextStyle(size_pt=7, bold=True)
SAID, REMARK = TextStyle(size_pt=6.2), TextStyle(size_pt=6.2, colour=GREY)
NAME_MM, LINE_MM, CAP_MM = 3.8, 2.75, 0.6
MOST_ROWS_OF_WORDS = 3
HEADROOM = 1.06


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineView:
    """What the charts of one comparison share."""

    comparison: Comparison
    days: Days
    scan_days: tuple[int, ...]
    targets: tuple[str, ...]
    numbers: Mapping[str, int]
    """By tracking UID: the number that the page of the scan gives a lesion."""


def view_of(comparison: Comparison, findings: Findings) -> TimelineView:
    """Return it."""
    days = days_of(comparison)
    return TimelineView(
        comparison=comparison,
        days=days,
        numbers={each.lesion.tracking_uid: each.lesion.number for each in findings.findings},
        scan_days=tuple(days.of(scan.date) for scan in comparison.scans),
        targets=comparison.recist.baseline.targets if comparison.recist else (),
    )


def draw_lesion_timelines(
    paper: Sheet, rects: Sequence[Rect], lesions: Sequence[LesionTimeline], view: TimelineView
) -> None:
    """Draw lesions, each into its region, alike in height."""
    if lesions:
        lines = max(len(list(lesion_words(lesion, view.days))) for lesion in lesions)
        rows = max(_rows(paper, rect, lesion, view) for rect, lesion in zip(rects, lesions, strict=True))
    for rect, lesion in zip(rects, lesions, strict=True):
        _draw_lesion_timeline(paper, rect, (lines, rows), lesion, view)


def _rows(paper: Sheet, rect: Rect, lesion: LesionTimeline, view: TimelineView) -> int:
    chart = chart_in(rect, view.scan_days, 1.0, "ml")
    return rows_for(paper, chart, strip_words(lesion, view.comparison, view.days), MOST_ROWS_OF_WORDS)


def _draw_lesion_timeline(
    paper: Sheet, rect: Rect, heights: tuple[int, int], lesion: LesionTimeline, view: TimelineView
) -> None:
    """Draw one lesion: its name, so many lines on its change, and its chart with so many rows of words."""
    lines, rows = heights
    heading, rest = rect.split_below(NAME_MM)
    said, below = rest.split_below(lines * LINE_MM)
    _draw_heading(paper, heading, lesion, view)
    for number, words in enumerate(lesion_words(lesion, view.days)):
        paper.text((said.left, said.top + (number + 0.8) * LINE_MM), words, SAID, said.width)
    chart = chart_in(below, view.scan_days, _most(lesion, view.comparison), "ml", rows)
    _draw_chance(paper, chart, lesion, view)
    draw_axes(paper, chart)
    _draw_volumes(paper, chart, lesion, view)
    draw_strip(paper, chart, strip_words(lesion, view.comparison, view.days), rows)
    draw_days(paper, chart, below.bottom)


def _draw_heading(paper: Sheet, rect: Rect, lesion: LesionTimeline, view: TimelineView) -> None:
    baseline = rect.bottom - 1.0
    paper.text((rect.left, baseline), lesion.name, NAME, rect.width * 0.45)
    left = rect.left + min(paper.text_width_mm(lesion.name, NAME), rect.width * 0.45) + 1.2
    remarks = ", ".join(_remarks(lesion, view))
    if remarks:
        paper.text((left, baseline), remarks, REMARK)
        left += paper.text_width_mm(remarks, REMARK) + 1.2
    words = event_words(lesion, view.comparison)
    width = min(paper.text_width_mm(words, EVENT), rect.right - left)
    if words:
        paper.text((rect.right - width, baseline), words, EVENT, rect.right - left)


def _remarks(lesion: LesionTimeline, view: TimelineView) -> Iterator[str]:
    if lesion.tracking_uid in view.numbers:
        yield f"no. {view.numbers[lesion.tracking_uid]}"
    if lesion.tracking_uid in view.targets:
        yield "target"


def _most(lesion: LesionTimeline, comparison: Comparison) -> float:
    """The largest value: a volume's interval, or the upper limit of chance."""
    ends = [uncertainty_of(each.sizes).volume_ml.high for each in lesion.observations if each.sizes]
    return HEADROOM * max([*ends, *(high for *_, high in _chances(lesion, comparison))], default=1.0)


def _draw_chance(paper: Sheet, chart: Chart, lesion: LesionTimeline, view: TimelineView) -> None:
    """Shade, from each scan to the next, within which volumes an unchanged lesion may be found there."""
    for one, other, low, high in _chances(lesion, view.comparison):
        left, right = (chart.x(view.days.of(each.date)) for each in (one, other))
        top, bottom = chart.y(high), chart.y(low)
        paper.box(Rect(left=left, top=top, width=right - left, height=bottom - top), CHANCE)


def _chances(
    lesion: LesionTimeline, comparison: Comparison
) -> list[tuple[LesionObservation, LesionObservation, float, float]]:
    found = []
    for one, other in pairwise(each for each in lesion.observations if each.sizes):
        if one.sizes and other.sizes and is_one_thing(lesion, (one, other), comparison):
            limits, before = repeatability_of(one.sizes, other.sizes).volume_percent, one.sizes.volume_ml
            found.append((one, other, before * (1 + limits.low / 100), before * (1 + limits.high / 100)))
    return found


def _draw_volumes(paper: Sheet, chart: Chart, lesion: LesionTimeline, view: TimelineView) -> None:
    known = [each for each in lesion.observations if each.sizes or each.state is State.VANISHED]
    for one, other in pairwise(known):
        if one.sizes or other.sizes:
            ends = [(view.days.of(each.date), _volume_ml(each)) for each in (one, other)]
            draw_curve(paper, chart, ends, CURVE if _is_followed(lesion, (one, other), view) else MISSING)
    before: LesionObservation | None = None
    for observation in known:
        day = view.days.of(observation.date)
        if not observation.sizes:
            draw_cross(paper, chart.place(day, 0.0))
            continue
        sure = uncertainty_of(observation.sizes).volume_ml
        _draw_interval(paper, chart, day, (sure.low, sure.high))
        is_same = before is not None and is_one_thing(lesion, (before, observation), view.comparison)
        draw_marker(
            paper, chart.place(day, observation.sizes.volume_ml), _fill(before if is_same else None, observation)
        )
        before = observation


def _volume_ml(observation: LesionObservation) -> float:
    return observation.sizes.volume_ml if observation.sizes else 0.0


def _is_followed(lesion: LesionTimeline, pair: tuple[LesionObservation, LesionObservation], view: TimelineView) -> bool:
    """Both volumes were measured, on one scan after the other, and of one thing."""
    one, other = pair
    is_next = lesion.observations.index(other) == lesion.observations.index(one) + 1
    return bool(one.sizes and other.sizes) and is_next and is_one_thing(lesion, pair, view.comparison)


def _draw_interval(paper: Sheet, chart: Chart, day: int, ends: tuple[float, float]) -> None:
    x, low, high = chart.x(day), chart.y(ends[0]), chart.y(ends[1])
    paper.line([(x, low), (x, high)], INTERVAL)
    for height in (low, high):
        paper.line([(x - CAP_MM, height), (x + CAP_MM, height)], INTERVAL)


def _fill(before: LesionObservation | None, now: LesionObservation) -> str:
    if before is None or before.sizes is None or now.sizes is None:
        return FIRST
    return WHITE if is_within_repeatability(before.sizes, now.sizes) else BEYOND
