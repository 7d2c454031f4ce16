"""The head of every sheet: what made it, that it is research, of which series, and one fact on the right."""

from __future__ import annotations

from importlib.metadata import version

from worker.findings import Findings
from worker.outputs.dicom.header import PRODUCT, RESEARCH_SENTENCE
from worker.outputs.page.sheet import GREY, LineStyle, Rect, Sheet, TextStyle

WIDTH_MM, HEIGHT_MM, MARGIN_MM = 297.0, 210.0, 9.0
"""A4 landscape."""
HEAD_MM = 10.5


def new_sheet(findings: Findings, fact: str) -> tuple[Sheet, Rect]:
    """Return a sheet with its head, and the region below it."""
    paper = Sheet(width_mm=WIDTH_MM, height_mm=HEIGHT_MM)
    whole = Rect(left=MARGIN_MM, top=MARGIN_MM, width=WIDTH_MM - 2 * MARGIN_MM, height=HEIGHT_MM - 2 * MARGIN_MM)
    head, below = whole.split_below(HEAD_MM)
    _draw_head(paper, head, findings, fact)
    return paper, below


def _draw_head(paper: Sheet, rect: Rect, findings: Findings, fact: str) -> None:
    card = findings.card
    first, second = rect.top + 3.4, rect.top + 7.6
    name = TextStyle(size_pt=12, bold=True)
    paper.text((rect.left, first), PRODUCT, name)
    left = rect.left + paper.text_width_mm(PRODUCT, name) + 4
    right = TextStyle(size_pt=12, bold=True, align="right")
    width = paper.text_width_mm(fact, right)
    paper.text((rect.right, first), fact, right)
    paper.text((left, first), RESEARCH_SENTENCE, TextStyle(size_pt=9, bold=True), rect.right - width - 4 - left)
    facts = (
        f"Series {findings.series_uid}   model {card.name} {card.version}, weights {card.weights_sha256[:12]}"
        f"   {PRODUCT} {version('lungspread')}"
    )
    paper.text((rect.left, second), facts, TextStyle(size_pt=7, colour=GREY), rect.width)
    paper.line([(rect.left, rect.bottom - 1.6), (rect.right, rect.bottom - 1.6)], LineStyle(width_pt=0.8))
