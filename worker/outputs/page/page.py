"""The report of one scan on one page, as PNG and PDF: overview, spread, the largest lesions, a table of all.

Where earlier scans are known, the pages of the course follow (sections/timeline.py). A4 landscape, for screens and for
paper, also without colours. Shows no patient data but the images, and computes nothing: every number is in
findings.json, too. The same job writes the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from worker.findings import Findings
from worker.outputs.dicom.header import PRODUCT, RESEARCH
from worker.outputs.page.lesion_view import draw_lesions
from worker.outputs.page.sections.extent import draw_extent
from worker.outputs.page.sections.heading import new_sheet
from worker.outputs.page.sections.overview import draw_overview
from worker.outputs.page.sections.timeline import draw_timeline
from worker.outputs.page.sheet import Rect, Sheet, TextStyle, plain_style, save_pdf
from worker.outputs.page.table import MOST_ROWS, draw_table, table_height_mm

MOST_PICTURES = 6
GAP_MM = 3.5
SIDE_MM = 88.0
"""Width of the column that holds overview and spread; wider where there is no lesion to show."""
OVERVIEW, OVERVIEW_ALONE = 0.52, 0.7
"""Its share of that column's height, with lesions and without."""


def write_page(findings: Findings, folder: Path) -> list[Path]:
    """Write report.png, report.pdf and, of a course, report-2.png and so on into the folder; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with plain_style():
        first, *more = sheets = draw_pages(findings)
        return [
            first.save_png(folder / "report.png"),
            save_pdf(sheets, folder / "report.pdf", f"{PRODUCT}: {RESEARCH}"),
            *(sheet.save_png(folder / f"report-{number}.png") for number, sheet in enumerate(more, start=2)),
        ]


def draw_pages(findings: Findings) -> list[Sheet]:
    """Return the page of the scan, and those of the course where it was compared with earlier ones."""
    return [draw_page(findings), *draw_timeline(findings)]


def draw_page(findings: Findings) -> Sheet:
    """Return the page of these findings."""
    count = len(findings.findings)
    paper, below = new_sheet(findings, "no lesion" if not count else "1 lesion" if count == 1 else f"{count} lesions")
    pictures, table = below.split_below(below.height - table_height_mm(count) - (GAP_MM if count else 0), GAP_MM)
    side, views = pictures.split_beside(SIDE_MM if count else pictures.width / 2, 5.0)
    overview, spread = side.split_below((OVERVIEW if count else OVERVIEW_ALONE) * side.height, 2.0)
    draw_overview(paper, overview, findings, MOST_ROWS)
    draw_extent(paper, spread, findings)
    if count:
        draw_lesions(paper, views, findings, MOST_PICTURES)
    else:
        _say_none(paper, views, findings)
    draw_table(paper, table, findings)
    return paper


def _say_none(paper: Sheet, rect: Rect, findings: Findings) -> None:
    middle = rect.top + rect.height / 2
    paper.text((rect.left, middle - 4), "No lesion was found.", TextStyle(size_pt=16, bold=True), rect.width)
    smallest = f"The model reports lesions of {findings.card.smallest_lesion_ml:g} ml and more."
    paper.text((rect.left, middle + 4), smallest, TextStyle(size_pt=8), rect.width)
    paper.text((rect.left, middle + 9), "What it missed, it cannot know.", TextStyle(size_pt=8), rect.width)
