"""The pages of the course: totals and the proposed response, and a small chart of each lesion over time.

Shows days, no dates. Computes nothing: every number is in findings.json, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.findings import Findings
from worker.follow_up.comparison import LesionTimeline
from worker.outputs.page.chart import draw_marker
from worker.outputs.page.sections.heading import new_sheet
from worker.outputs.page.sections.lesion_timeline import (
    BEYOND,
    CHANCE,
    FIRST,
    INTERVAL,
    TimelineView,
    draw_lesion_timelines,
    view_of,
)
from worker.outputs.page.sections.response import response_words
from worker.outputs.page.sections.totals import draw_burden, draw_sum
from worker.outputs.page.sheet import GREY, WHITE, Rect, Sheet, TextStyle
from worker.outputs.page.text import draw_paragraphs
from worker.outputs.page.timeline_wording import scans_words

SIDE_MM, SIDE_GAP_MM = 88.0, 6.0
BURDEN_MM, SUM_MM, GAP_MM = 44.0, 54.0, 3.0
MOST_BESIDE, MOST_ON_A_SHEET, MOST_SHEETS = 12, 20, 5
MOST_COLUMNS_BESIDE, MOST_COLUMNS = 3, 5
LARGEST_MM = (112.0, 82.0)
SHAPE = 1.4
"""A chart is as much wider than high as it can be."""
CELL_GAP_MM, LEGEND_MM = 4.5, 5.0


def draw_timeline(findings: Findings) -> list[Sheet]:
    """Return the sheets of the course; none where there is no earlier scan."""
    comparison = findings.comparison
    if comparison is None or len(comparison.scans) < 2:
        return []
    view = view_of(comparison, findings)
    pages = _pages(comparison.lesions)
    sheets = [_first_sheet(findings, view, pages[0])]
    for lesions in pages[1:MOST_SHEETS]:
        paper, below = new_sheet(findings, scans_words(comparison))
        charts, legend = below.split_below(below.height - LEGEND_MM)
        _draw_lesions(paper, charts, lesions, view, MOST_COLUMNS)
        _draw_legend(paper, legend, sum(map(len, pages[MOST_SHEETS:])))
        sheets.append(paper)
    return sheets


def _pages(lesions: Sequence[LesionTimeline]) -> list[Sequence[LesionTimeline]]:
    """Divide the lesions over sheets: some beside the totals, the rest on sheets of their own."""
    rest = lesions[MOST_BESIDE:]
    starts = range(0, len(rest), MOST_ON_A_SHEET)
    return [lesions[:MOST_BESIDE], *(rest[start : start + MOST_ON_A_SHEET] for start in starts)]


def _first_sheet(findings: Findings, view: TimelineView, lesions: Sequence[LesionTimeline]) -> Sheet:
    comparison = view.comparison
    paper, below = new_sheet(findings, scans_words(comparison))
    body, legend = below.split_below(below.height - LEGEND_MM)
    side, charts = body.split_beside(SIDE_MM, SIDE_GAP_MM)
    burden, rest = side.split_below(BURDEN_MM, GAP_MM)
    draw_burden(paper, burden, view)
    if comparison.recist:
        total, rest = rest.split_below(SUM_MM if comparison.recist.baseline.targets else 10.0, GAP_MM)
        draw_sum(paper, total, comparison.recist, view)
    draw_paragraphs(paper, rest, list(response_words(comparison)))
    _draw_lesions(paper, charts, lesions, view, MOST_COLUMNS_BESIDE)
    _draw_legend(paper, legend, 0)
    return paper


def _draw_lesions(
    paper: Sheet, rect: Rect, lesions: Sequence[LesionTimeline], view: TimelineView, most_columns: int
) -> None:
    if not lesions:
        paper.text((rect.left, rect.top + 4), "No lesion was found, now or before.", TextStyle(size_pt=9, bold=True))
    draw_lesion_timelines(paper, cells(rect, len(lesions), most_columns), lesions, view)


def cells(rect: Rect, count: int, most_columns: int) -> list[Rect]:
    """Divide a region for this many charts so that they are large, but not larger than is useful."""
    if not count:
        return []
    grids = [rect.grid(-(-count // columns), columns, CELL_GAP_MM) for columns in range(1, most_columns + 1)]
    best = max(grids, key=lambda grid: min(grid[0].width / SHAPE, grid[0].height))
    columns = sum(cell.top == best[0].top for cell in best)
    width, height = min(best[0].width, LARGEST_MM[0]), min(best[0].height, LARGEST_MM[1])
    return [
        Rect(
            left=rect.left + (number % columns) * (width + CELL_GAP_MM),
            top=rect.top + (number // columns) * (height + CELL_GAP_MM),
            width=width,
            height=height,
        )
        for number in range(count)
    ]


def _draw_legend(paper: Sheet, rect: Rect, more: int) -> None:
    """Say what the marks in the charts are."""
    ink, baseline, left = TextStyle(size_pt=6, colour=GREY), rect.bottom - 0.8, rect.left
    for fill, words in (
        (FIRST, "first volume, also of what merged or split"),
        (WHITE, "change within chance"),
        (BEYOND, "beyond chance"),
    ):
        draw_marker(paper, (left + 1, baseline - 0.75), fill)
        left = _say(paper, (left + 2.8, baseline), words, ink)
    paper.box(Rect(left=left, top=baseline - 2.0, width=5, height=2.3), CHANCE)
    left = _say(paper, (left + 6, baseline), "limits of chance for an unchanged lesion, from scan to scan", ink)
    paper.line([(left + 1, baseline - 1.8), (left + 1, baseline + 0.2)], INTERVAL)
    left = _say(paper, (left + 2.6, baseline), "95 % interval by the scan alone", ink)
    rest = f"{more} more lesions stand in findings.json. " if more else ""
    scale = f"{rest}Each chart has its own scale; days count from the first scan."
    paper.text((left, baseline), scale, ink, rect.right - left)


def _say(paper: Sheet, at: tuple[float, float], words: str, ink: TextStyle) -> float:
    """Write words, and return where the next may begin."""
    paper.text(at, words, ink)
    return at[0] + paper.text_width_mm(words, ink) + 4
