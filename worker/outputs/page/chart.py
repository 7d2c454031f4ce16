"""A small chart of a quantity over days, drawn on a sheet: axes, ticks, curves, labels.

The horizontal axis has a tick for each scan, the vertical axis begins at 0. Labels of scans have a strip of their own
between the axis and the day numbers, so that they never overlap a curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from matplotlib.ticker import MaxNLocator, ScalarFormatter

from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, WHITE, LineStyle, Point, Rect, Sheet, TextStyle

TICK_LABEL = TextStyle(size_pt=5.5, colour=GREY)
STRIP_LABEL = TextStyle(size_pt=5.0)
AXIS, GRID = LineStyle(width_pt=0.5), LineStyle(colour="#cccccc", width_pt=0.3)
LEFT_MM, TOP_MM = 9.0, 1.4
DAY_LABELS_MM, LABEL_ROW_MM = 2.9, 2.2
INSET_MM, GAP_MM = 1.6, 0.9
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MARKER_MM, CORNERS = 0.85, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Scales of a chart on a sheet. plot: the region without ticks and labels."""

    plot: Rect
    days: Sequence[int]
    """Days of the scans, ascending."""
    unit: str
    ticks: list[float]
    """Values with a grid line, ascending from 0."""
    top: float
    """The value at the upper edge."""

    def x(self, day: float) -> float:
        """Return the x position of a day in mm; a single scan lies in the middle."""
        first, last = self.days[0], self.days[-1]
        share = (day - first) / (last - first) if last > first else 0.5
        return self.plot.left + INSET_MM + share * (self.plot.width - 2 * INSET_MM)

    def y(self, value: float) -> float:
        """Return the y position of a value in mm; a value beyond the chart lies at its edge."""
        return self.plot.bottom - min(max(value / self.top, 0.0), 1.0) * self.plot.height

    def point(self, day: float, value: float) -> Point:
        """Return the point of a value at a day."""
        return self.x(day), self.y(value)


def chart_in(rect: Rect, days: Sequence[int], top: float, unit: str, label_rows: int = 0) -> Chart:
    """Return a chart that fills a region. top: the value at its upper edge, above 0."""
    below = DAY_LABELS_MM + label_rows * LABEL_ROW_MM + 0.4
    plot = Rect(
        left=rect.left + LEFT_MM,
        top=rect.top + TOP_MM,
        width=rect.width - LEFT_MM,
        height=rect.height - TOP_MM - below,
    )
    return Chart(plot=plot, days=days, unit=unit, ticks=ticks_of(top, min_steps=3 if plot.height > 40 else 2), top=top)


def ticks_of(top: float, min_steps: int) -> list[float]:
    """Return the multiples from 0 to `top` of the largest round step that fits at least `min_steps` times."""
    locator = MaxNLocator(nbins=min_steps, min_n_ticks=min_steps + 1, steps=STEPS)
    return [float(tick) for tick in locator.tick_values(0.0, top) if tick <= top * (1 + 1e-9)]


def tick_labels(ticks: list[float]) -> list[str]:
    """Return the texts of an axis's values: all with as many decimals as their step needs, never with an exponent."""
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_scientific(False)
    formatter.create_dummy_axis()
    return formatter.format_ticks(ticks)


def draw_axes(sheet: Sheet, chart: Chart) -> None:
    """Draw the grid, the values beside it and a tick for each day."""
    plot = chart.plot
    *labels, highest = tick_labels(chart.ticks)
    for value, label in zip(chart.ticks, [*labels, f"{highest} {chart.unit}"], strict=True):
        height = chart.y(value)
        sheet.line([(plot.left, height), (plot.right, height)], GRID if value else AXIS)
        at = (plot.left - 0.8, height + 0.36 * TICK_LABEL.size_pt * MM_PER_PT)
        sheet.text(at, label, replace(TICK_LABEL, align="right"), LEFT_MM - 1.0)
    for day in chart.days:
        sheet.line([(chart.x(day), plot.bottom), (chart.x(day), plot.bottom + 0.7)], AXIS)


def draw_days(sheet: Sheet, chart: Chart, bottom: float) -> None:
    """Write the days below the chart: the first, the last, and those between them that do not overlap."""
    first, last = chart.days[0], chart.days[-1]
    names = {day: f"day {day}" if day == first else str(day) for day in chart.days}
    boxes = {day: _box(sheet, chart, day, (names[day], TICK_LABEL)) for day in chart.days}
    shown = [first]
    for day in chart.days[1:-1]:
        if boxes[shown[-1]][1] + GAP_MM <= boxes[day][0] and boxes[day][1] + GAP_MM <= boxes[last][0]:
            shown.append(day)
    for day in [*shown, last] if last > first else shown:
        sheet.text((boxes[day][0], bottom - 0.7), names[day], TICK_LABEL)


def label_rows_needed(sheet: Sheet, chart: Chart, labels: Iterable[tuple[int, str]], max_rows: int) -> int:
    """Return how many rows the labels of scans need below the axis, at most `max_rows`."""
    return max((row + 1 for row, *_ in _strip(sheet, chart, labels, max_rows)), default=0)


def draw_strip(sheet: Sheet, chart: Chart, labels: Iterable[tuple[int, str]], rows: int) -> None:
    """Write labels of scans below the axis, each in the first row with room; a label without room is left out."""
    for row, left, label in _strip(sheet, chart, labels, rows):
        sheet.text((left, chart.plot.bottom + 0.4 + (row + 0.86) * LABEL_ROW_MM), label, STRIP_LABEL, chart.plot.width)


def _strip(
    sheet: Sheet, chart: Chart, labels: Iterable[tuple[int, str]], rows: int
) -> Iterator[tuple[int, float, str]]:
    ends = [-math.inf] * rows
    for day, label in sorted(labels):
        left, right = _box(sheet, chart, day, (label, STRIP_LABEL))
        row = next((row for row, end in enumerate(ends) if end + GAP_MM <= left), None)
        if row is not None:
            ends[row] = right
            yield row, left, label


def draw_curve(sheet: Sheet, chart: Chart, points: Sequence[tuple[int, float]], line_style: LineStyle) -> None:
    """Draw straight lines between consecutive values."""
    for start, end in pairwise(points):
        sheet.line([chart.point(*start), chart.point(*end)], line_style)


def draw_marker(sheet: Sheet, at: Point, fill: str = WHITE) -> None:
    """Draw a small circle."""
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    sheet.shape([(at[0] + MARKER_MM * math.cos(a), at[1] + MARKER_MM * math.sin(a)) for a in angles], fill)


def draw_cross(sheet: Sheet, at: Point) -> None:
    """Draw a small cross."""
    x, y, arm = at[0], at[1], MARKER_MM
    for sign in (1, -1):
        sheet.line([(x - arm, y - sign * arm), (x + arm, y + sign * arm)], LineStyle(colour=BLACK, width_pt=0.9))


def _box(sheet: Sheet, chart: Chart, day: int, label: tuple[str, TextStyle]) -> tuple[float, float]:
    """Return the left and right end of a label below its scan and within the chart, in mm."""
    width = min(sheet.text_width_mm(*label), chart.plot.width)
    left = min(max(chart.x(day) - width / 2, chart.plot.left), chart.plot.right - width)
    return left, left + width
