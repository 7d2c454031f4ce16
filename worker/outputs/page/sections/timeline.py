"""The timeline pages: totals, the proposed response, and a small chart of each lesion over time.

Times are days since the first scan, not dates. Every number is also in findings.json.
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
    timeline_view_of,
)
from worker.outputs.page.sections.response import response_paragraphs
from worker.outputs.page.sections.totals import draw_burden, draw_sum
from worker.outputs.page.sheet import GREY, WHITE, Rect, Sheet, TextStyle
from worker.outputs.page.text import draw_paragraphs
from worker.outputs.page.timeline_wording import scans_text
from worker.report import Report

SIDE_MM, SIDE_GAP_MM = 88.0, 6.0
BURDEN_MM, SUM_MM, GAP_MM = 44.0, 54.0, 3.0
MAX_BESIDE_TOTALS, MAX_ON_SHEET, MAX_SHEETS = 12, 20, 5
MAX_COLUMNS_BESIDE_TOTALS, MAX_COLUMNS = 3, 5
MAX_CELL_MM = (112.0, 82.0)
ASPECT = 1.4
"""Preferred ratio of width to height of a chart."""
CELL_GAP_MM, LEGEND_MM = 4.5, 5.0


def draw_timeline(report: Report) -> list[Sheet]:
    """Return the timeline sheets; an empty list if there is no prior."""
    findings, comparison = report.findings, report.comparison
    if len(comparison.scans) < 2:
        return []
    view = timeline_view_of(comparison)
    pages = _pages(comparison.lesions)
    sheets = [_first_sheet(findings, view, pages[0])]
    for lesions in pages[1:MAX_SHEETS]:
        sheet, below = new_sheet(findings, scans_text(comparison))
        charts, legend = below.split_below(below.height - LEGEND_MM)
        _draw_lesions(sheet, charts, lesions, view, MAX_COLUMNS)
        _draw_legend(sheet, legend, sum(map(len, pages[MAX_SHEETS:])))
        sheets.append(sheet)
    return sheets


def _pages(lesions: Sequence[LesionTimeline]) -> list[Sequence[LesionTimeline]]:
    """Divide the lesions over sheets: the first sheet shares its space with the totals."""
    rest = lesions[MAX_BESIDE_TOTALS:]
    starts = range(0, len(rest), MAX_ON_SHEET)
    return [lesions[:MAX_BESIDE_TOTALS], *(rest[start : start + MAX_ON_SHEET] for start in starts)]


def _first_sheet(findings: Findings, view: TimelineView, lesions: Sequence[LesionTimeline]) -> Sheet:
    comparison = view.comparison
    sheet, below = new_sheet(findings, scans_text(comparison))
    body, legend = below.split_below(below.height - LEGEND_MM)
    side, charts = body.split_beside(SIDE_MM, SIDE_GAP_MM)
    burden, rest = side.split_below(BURDEN_MM, GAP_MM)
    draw_burden(sheet, burden, view)
    if comparison.recist:
        total, rest = rest.split_below(SUM_MM if comparison.recist.baseline.targets else 10.0, GAP_MM)
        draw_sum(sheet, total, comparison.recist, view)
    draw_paragraphs(sheet, rest, list(response_paragraphs(comparison)))
    _draw_lesions(sheet, charts, lesions, view, MAX_COLUMNS_BESIDE_TOTALS)
    _draw_legend(sheet, legend, 0)
    return sheet


def _draw_lesions(
    sheet: Sheet, rect: Rect, lesions: Sequence[LesionTimeline], view: TimelineView, max_columns: int
) -> None:
    if not lesions:
        sheet.text((rect.left, rect.top + 4), "No lesion was found, now or before.", TextStyle(size_pt=9, bold=True))
    draw_lesion_timelines(sheet, cells(rect, len(lesions), max_columns), lesions, view)


def cells(rect: Rect, count: int, max_columns: int) -> list[Rect]:
    """Return the cells of a region for this many charts, as large as possible up to MAX_CELL_MM."""
    if not count:
        return []
    grids = [rect.grid(-(-count // columns), columns, CELL_GAP_MM) for columns in range(1, max_columns + 1)]
    best = max(grids, key=lambda grid: min(grid[0].width / ASPECT, grid[0].height))
    columns = sum(cell.top == best[0].top for cell in best)
    width, height = min(best[0].width, MAX_CELL_MM[0]), min(best[0].height, MAX_CELL_MM[1])
    return [
        Rect(
            left=rect.left + (number % columns) * (width + CELL_GAP_MM),
            top=rect.top + (number // columns) * (height + CELL_GAP_MM),
            width=width,
            height=height,
        )
        for number in range(count)
    ]


def _draw_legend(sheet: Sheet, rect: Rect, omitted: int) -> None:
    """Draw the legend of the charts. omitted: number of lesions without a chart."""
    style, baseline, left = TextStyle(size_pt=6, colour=GREY), rect.bottom - 0.8, rect.left
    for fill, text in (
        (FIRST, "first volume, also of what merged or split"),
        (WHITE, "change within chance"),
        (BEYOND, "beyond chance"),
    ):
        draw_marker(sheet, (left + 1, baseline - 0.75), fill)
        left = _write_label(sheet, (left + 2.8, baseline), text, style)
    sheet.box(Rect(left=left, top=baseline - 2.0, width=5, height=2.3), CHANCE)
    left = _write_label(
        sheet, (left + 6, baseline), "limits of chance for an unchanged lesion, from scan to scan", style
    )
    sheet.line([(left + 1, baseline - 1.8), (left + 1, baseline + 0.2)], INTERVAL)
    left = _write_label(sheet, (left + 2.6, baseline), "95 % interval by the scan alone", style)
    rest = f"{omitted} more lesions stand in findings.json. " if omitted else ""
    scale = f"{rest}Each chart has its own scale; days count from the first scan."
    sheet.text((left, baseline), scale, style, rect.right - left)


def _write_label(sheet: Sheet, at: tuple[float, float], text: str, style: TextStyle) -> float:
    """Write a label, and return the left end of the next one."""
    sheet.text(at, text, style)
    return at[0] + sheet.text_width_mm(text, style) + 4
