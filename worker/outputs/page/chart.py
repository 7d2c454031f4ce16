"""A small chart of a quantity over days, drawn on a sheet: axes, ticks, curves, words. Knows no lesions.

The horizontal axis has a tick for each scan, the vertical one begins at 0. Words about a scan stand in a strip between
the axis and the numbers of the days, so that they never run over a curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, WHITE, LineStyle, Place, Rect, Sheet, TextStyle

TICK = TextStyle(size_pt=5.5, colour=GREY)
WORD = TextStyle(size_pt=5.0)
AXIS, GRID = LineStyle(width_pt=0.5), LineStyle(colour="#cccccc", width_pt=0.3)
LEFT_MM, TOP_MM = 9.0, 1.4
DAYS_MM, WORDS_MM = 2.9, 2.2
INSET_MM, GAP_MM = 1.6, 0.9
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
MARKER_MM, CORNERS = 0.85, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Where days and values lie on the sheet. plot: without ticks and words."""

    plot: Rect
    days: Sequence[int]
    """Of the scans, ascending."""
    unit: str
    step: float
    top: float
    """The value at the upper edge."""

    def x(self, day: float) -> float:
        """Return where a day lies; a course of one scan stands in the middle."""
        first, last = self.days[0], self.days[-1]
        share = (day - first) / (last - first) if last > first else 0.5
        return self.plot.left + INSET_MM + share * (self.plot.width - 2 * INSET_MM)

    def y(self, value: float) -> float:
        """Return where a value lies; what is beyond the chart, at its edge."""
        return self.plot.bottom - min(max(value / self.top, 0.0), 1.0) * self.plot.height

    def place(self, day: float, value: float) -> Place:
        """Return where a value of a day lies."""
        return self.x(day), self.y(value)


def chart_in(rect: Rect, days: Sequence[int], most: float, unit: str, rows_of_words: int = 0) -> Chart:
    """Return a chart that fills a region; `most`: the value at its upper edge, above 0."""
    below = DAYS_MM + rows_of_words * WORDS_MM + 0.4
    plot = Rect(
        left=rect.left + LEFT_MM,
        top=rect.top + TOP_MM,
        width=rect.width - LEFT_MM,
        height=rect.height - TOP_MM - below,
    )
    return Chart(plot=plot, days=days, unit=unit, step=nice_step(most, fewest=3 if plot.height > 40 else 2), top=most)


def nice_step(most: float, fewest: int) -> float:
    """Return the largest round step that fits into the axis up to `most` at least so often."""
    power = 10.0 ** math.floor(math.log10(most / fewest))
    return max(step for step in STEPS if step * power <= most / fewest * (1 + 1e-9)) * power


def draw_axes(paper: Sheet, chart: Chart) -> None:
    """Draw the grid, and write values and days beside it."""
    plot = chart.plot
    highest = math.floor(chart.top / chart.step + 1e-9)
    for number in range(highest + 1):
        value = number * chart.step
        height = chart.y(value)
        paper.line([(plot.left, height), (plot.right, height)], GRID if number else AXIS)
        words = f"{number_words(value, chart.step)} {chart.unit if number == highest else ''}".strip()
        at = (plot.left - 0.8, height + 0.36 * TICK.size_pt * MM_PER_PT)
        paper.text(at, words, replace(TICK, align="right"), LEFT_MM - 1.0)
    for day in chart.days:
        paper.line([(chart.x(day), plot.bottom), (chart.x(day), plot.bottom + 0.7)], AXIS)


def draw_days(paper: Sheet, chart: Chart, bottom: float) -> None:
    """Number the scans below the chart: the first, the last, and what has room between them."""
    first, last = chart.days[0], chart.days[-1]
    names = {day: f"day {day}" if day == first else str(day) for day in chart.days}
    boxes = {day: _box(paper, chart, day, (names[day], TICK)) for day in chart.days}
    shown = [first]
    for day in chart.days[1:-1]:
        if boxes[shown[-1]][1] + GAP_MM <= boxes[day][0] and boxes[day][1] + GAP_MM <= boxes[last][0]:
            shown.append(day)
    for day in [*shown, last] if last > first else shown:
        paper.text((boxes[day][0], bottom - 0.7), names[day], TICK)


def rows_for(paper: Sheet, chart: Chart, words: Iterable[tuple[int, str]], most: int) -> int:
    """Return how many rows words about scans need below the axis, `most` at most."""
    return max((row + 1 for row, *_ in _strip(paper, chart, words, most)), default=0)


def draw_strip(paper: Sheet, chart: Chart, words: Iterable[tuple[int, str]], rows: int) -> None:
    """Write words about scans below the axis, each in the first row where it touches no other; else not at all."""
    for row, left, word in _strip(paper, chart, words, rows):
        paper.text((left, chart.plot.bottom + 0.4 + (row + 0.86) * WORDS_MM), word, WORD, chart.plot.width)


def _strip(paper: Sheet, chart: Chart, words: Iterable[tuple[int, str]], rows: int) -> Iterator[tuple[int, float, str]]:
    ends = [-math.inf] * rows
    for day, word in sorted(words):
        left, right = _box(paper, chart, day, (word, WORD))
        row = next((row for row, end in enumerate(ends) if end + GAP_MM <= left), None)
        if row is not None:
            ends[row] = right
            yield row, left, word


def draw_curve(paper: Sheet, chart: Chart, points: Sequence[tuple[int, float]], trace: LineStyle) -> None:
    """Join values by straight lines."""
    for one, other in pairwise(points):
        paper.line([chart.place(*one), chart.place(*other)], trace)


def draw_marker(paper: Sheet, at: Place, fill: str = WHITE) -> None:
    """Draw a small circle."""
    angles = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    paper.shape([(at[0] + MARKER_MM * math.cos(a), at[1] + MARKER_MM * math.sin(a)) for a in angles], fill)


def draw_cross(paper: Sheet, at: Place) -> None:
    """Draw a small cross."""
    x, y, arm = at[0], at[1], MARKER_MM
    for sign in (1, -1):
        paper.line([(x - arm, y - sign * arm), (x + arm, y + sign * arm)], LineStyle(colour=BLACK, width_pt=0.9))


def number_words(value: float, step: float) -> str:
    """Return a value of an axis with as many decimals as its step needs."""
    decimals = next((n for n in range(6) if abs(step * 10**n - round(step * 10**n)) < 1e-6 * step * 10**n), 6)
    return f"{value:.{decimals}f}"


def _box(paper: Sheet, chart: Chart, day: int, written: tuple[str, TextStyle]) -> tuple[float, float]:
    """Return where words about a scan begin and end: below it, within the chart."""
    width = min(paper.text_width_mm(*written), chart.plot.width)
    left = min(max(chart.x(day) - width / 2, chart.plot.left), chart.plot.right - width)
    return left, left + width
