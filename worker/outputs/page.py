"""The report of one scan on one page, as PNG and PDF: overview, spread, the largest lesions, a table of all.

A4 landscape, for screens and for paper, also without colours. Shows no patient data but the images, and computes
nothing: every number is in findings.json, too. The same job writes the same bytes.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from worker.findings import Findings
from worker.outputs.identity import PRODUCT, RESEARCH, RESEARCH_SENTENCE
from worker.outputs.page_lesions import draw_lesions
from worker.outputs.page_overview import draw_overview
from worker.outputs.page_spread import draw_spread
from worker.outputs.page_table import MOST_ROWS, draw_table, table_height_mm
from worker.outputs.paper import GREY, Ink, Paper, Rect, Trace, plain_style

WIDTH_MM, HEIGHT_MM, MARGIN_MM = 297.0, 210.0, 9.0
MOST_PICTURES = 6
HEAD_MM, GAP_MM = 10.5, 3.5
SIDE_MM = 88.0
"""Width of the column that holds overview and spread; wider where there is no lesion to show."""
OVERVIEW, OVERVIEW_ALONE = 0.52, 0.7
"""Its share of that column's height, with lesions and without."""


def write_page(findings: Findings, folder: Path) -> list[Path]:
    """Write report.png and report.pdf into the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with plain_style():
        paper = draw_page(findings)
        return [paper.save_png(folder / "report.png"), paper.save_pdf(folder / "report.pdf", f"{PRODUCT}: {RESEARCH}")]


def draw_page(findings: Findings) -> Paper:
    """Return the page of these findings."""
    paper = Paper(width_mm=WIDTH_MM, height_mm=HEIGHT_MM)
    whole = Rect(left=MARGIN_MM, top=MARGIN_MM, width=WIDTH_MM - 2 * MARGIN_MM, height=HEIGHT_MM - 2 * MARGIN_MM)
    count = len(findings.findings)
    head, below = whole.split_below(HEAD_MM)
    _draw_head(paper, head, findings)
    pictures, table = below.split_below(below.height - table_height_mm(count) - (GAP_MM if count else 0), GAP_MM)
    side, views = pictures.split_beside(SIDE_MM if count else pictures.width / 2, 5.0)
    overview, spread = side.split_below((OVERVIEW if count else OVERVIEW_ALONE) * side.height, 2.0)
    draw_overview(paper, overview, findings, MOST_ROWS)
    draw_spread(paper, spread, findings)
    if count:
        draw_lesions(paper, views, findings, MOST_PICTURES)
    else:
        _say_none(paper, views, findings)
    draw_table(paper, table, findings)
    return paper


def _draw_head(paper: Paper, rect: Rect, findings: Findings) -> None:
    count, card = len(findings.findings), findings.card
    first, second = rect.top + 3.4, rect.top + 7.6
    name = Ink(size_pt=12, bold=True)
    paper.text((rect.left, first), PRODUCT, name)
    left = rect.left + paper.text_width_mm(PRODUCT, name) + 4
    lesions = "no lesion" if not count else "1 lesion" if count == 1 else f"{count} lesions"
    right = Ink(size_pt=12, bold=True, align="right")
    width = paper.text_width_mm(lesions, right)
    paper.text((rect.right, first), lesions, right)
    paper.text((left, first), RESEARCH_SENTENCE, Ink(size_pt=9, bold=True), rect.right - width - 4 - left)
    facts = (
        f"Series {findings.series_uid}   model {card.name} {card.version}, weights {card.weights_sha256[:12]}"
        f"   {PRODUCT} {version('lungspread')}"
    )
    paper.text((rect.left, second), facts, Ink(size_pt=7, colour=GREY), rect.width)
    paper.line([(rect.left, rect.bottom - 1.6), (rect.right, rect.bottom - 1.6)], Trace(width_pt=0.8))


def _say_none(paper: Paper, rect: Rect, findings: Findings) -> None:
    middle = rect.top + rect.height / 2
    paper.text((rect.left, middle - 4), "No lesion was found.", Ink(size_pt=16, bold=True), rect.width)
    smallest = f"The model reports lesions of {findings.card.smallest_lesion_ml:g} ml and more."
    paper.text((rect.left, middle + 4), smallest, Ink(size_pt=8), rect.width)
    paper.text((rect.left, middle + 9), "What it missed, it cannot know.", Ink(size_pt=8), rect.width)
