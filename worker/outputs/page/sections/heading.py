"""The head of every sheet: product, research notice, series, model, and a summary on the right."""

from __future__ import annotations

from importlib.metadata import version

from worker.findings import Findings
from worker.outputs.page.sheet import GREY, LineStyle, Rect, Sheet, TextStyle
from worker.product import PRODUCT, RESEARCH_SENTENCE

WIDTH_MM, HEIGHT_MM, MARGIN_MM = 297.0, 210.0, 9.0
"""A4 landscape."""
HEAD_MM = 10.5


def new_sheet(findings: Findings, fact: str) -> tuple[Sheet, Rect]:
    """Return a sheet with its head, and the region below. fact: the summary at the upper right."""
    sheet = Sheet(width_mm=WIDTH_MM, height_mm=HEIGHT_MM)
    page = Rect(left=MARGIN_MM, top=MARGIN_MM, width=WIDTH_MM - 2 * MARGIN_MM, height=HEIGHT_MM - 2 * MARGIN_MM)
    head, below = page.split_below(HEAD_MM)
    _draw_head(sheet, head, findings, fact)
    return sheet, below


def _draw_head(sheet: Sheet, rect: Rect, findings: Findings, fact: str) -> None:
    card = findings.card
    first, second = rect.top + 3.4, rect.top + 7.6
    name = TextStyle(size_pt=12, bold=True)
    sheet.text((rect.left, first), PRODUCT, name)
    left = rect.left + sheet.text_width_mm(PRODUCT, name) + 4
    right = TextStyle(size_pt=12, bold=True, align="right")
    width = sheet.text_width_mm(fact, right)
    sheet.text((rect.right, first), fact, right)
    sheet.text((left, first), RESEARCH_SENTENCE, TextStyle(size_pt=9, bold=True), rect.right - width - 4 - left)
    facts = (
        f"Series {findings.series_uid}   model {card.name} {card.version}, weights {card.weights_sha256[:12]}"
        f"   {PRODUCT} {version('lungspread')}"
    )
    sheet.text((rect.left, second), facts, TextStyle(size_pt=7, colour=GREY), rect.width)
    sheet.line([(rect.left, rect.bottom - 1.6), (rect.right, rect.bottom - 1.6)], LineStyle(width_pt=0.8))
