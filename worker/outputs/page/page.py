"""The report of one scan on one page, as PNG and PDF: overview, extent, the largest lesions, a table of all lesions.

If the scan was compared with priors, the timeline pages follow (sections/timeline.py). A4 landscape, for screen and
print, also in black and white. The only patient data are the images; every number is also in findings.json. The same
job writes the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from worker.findings import Findings
from worker.outputs.page.lesion_view import draw_lesions
from worker.outputs.page.sections.extent import draw_extent
from worker.outputs.page.sections.heading import new_sheet
from worker.outputs.page.sections.overview import draw_overview
from worker.outputs.page.sections.timeline import draw_timeline
from worker.outputs.page.sheet import Rect, Sheet, TextStyle, plain_style, save_pdf
from worker.outputs.page.table import MAX_ROWS, draw_table, table_height_mm
from worker.product import PRODUCT, RESEARCH
from worker.report import Report

MAX_LESION_VIEWS = 6
GAP_MM = 3.5
SIDE_MM = 88.0
"""Width of the column with overview and extent; it is wider if there is no lesion."""
OVERVIEW, OVERVIEW_ALONE = 0.52, 0.7
"""The overview's share of the height of that column, with lesions and without."""


def write_page(report: Report, folder: Path) -> list[Path]:
    """Write report.png, report.pdf and, for timeline pages, report-2.png and so on; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with plain_style():
        first, *more = sheets = draw_pages(report)
        return [
            first.save_png(folder / "report.png"),
            save_pdf(sheets, folder / "report.pdf", f"{PRODUCT}: {RESEARCH}"),
            *(sheet.save_png(folder / f"report-{number}.png") for number, sheet in enumerate(more, start=2)),
        ]


def draw_pages(report: Report) -> list[Sheet]:
    """Return the page of the scan, followed by the timeline pages if the scan was compared with priors."""
    return [draw_page(report), *draw_timeline(report)]


def draw_page(report: Report) -> Sheet:
    """Return the page of one scan."""
    findings = report.findings
    count = len(findings.findings)
    sheet, below = new_sheet(findings, "no lesion" if not count else "1 lesion" if count == 1 else f"{count} lesions")
    upper, table = below.split_below(below.height - table_height_mm(count) - (GAP_MM if count else 0), GAP_MM)
    side, lesion_views = upper.split_beside(SIDE_MM if count else upper.width / 2, 5.0)
    overview, extent = side.split_below((OVERVIEW if count else OVERVIEW_ALONE) * side.height, 2.0)
    draw_overview(sheet, overview, findings, MAX_ROWS)
    draw_extent(sheet, extent, report)
    if count:
        draw_lesions(sheet, lesion_views, findings, MAX_LESION_VIEWS)
    else:
        _draw_no_lesion(sheet, lesion_views, findings)
    draw_table(sheet, table, findings)
    return sheet


def _draw_no_lesion(sheet: Sheet, rect: Rect, findings: Findings) -> None:
    middle = rect.top + rect.height / 2
    sheet.text((rect.left, middle - 4), "No lesion was found.", TextStyle(size_pt=16, bold=True), rect.width)
    smallest = f"The model reports lesions of {findings.card.smallest_lesion_ml:g} ml and more."
    sheet.text((rect.left, middle + 4), smallest, TextStyle(size_pt=8), rect.width)
    sheet.text((rect.left, middle + 9), "What it missed, it cannot know.", TextStyle(size_pt=8), rect.width)
