"""Paragraphs of text in a region of a sheet, in the largest font size at which they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, Rect, Sheet, TextStyle

SIZES_PT = (7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
LINE = 1.36
REST = "… the rest stands in findings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """One paragraph, or an empty line. indent: indent of all lines but the first, in font sizes (em)."""

    text: str
    bold: bool = False
    colour: str = BLACK
    indent: float = 0.0


def draw_paragraphs(sheet: Sheet, rect: Rect, paragraphs: Sequence[Paragraph]) -> None:
    """Write the paragraphs; if the smallest size does not fit, cut them and name findings.json in the last line."""
    for size_pt in SIZES_PT:
        room = int(rect.height / line_mm(size_pt))
        lines = list(wrapped(sheet, paragraphs, size_pt, rect.width))
        if len(lines) <= room:
            break
    else:
        lines = [*lines[: max(room - 1, 0)], Paragraph(text=REST, colour=GREY)]
    for line in lines:
        row, rect = rect.split_below(line_mm(size_pt))
        draw_text_line(sheet, row, line, size_pt)


def wrapped(sheet: Sheet, paragraphs: Iterable[Paragraph], size_pt: float, width_mm: float) -> Iterator[Paragraph]:
    """Yield the paragraphs broken into lines of this width, one Paragraph for each line."""
    for paragraph in paragraphs:
        style, indent_mm = TextStyle(size_pt=size_pt, bold=paragraph.bold), paragraph.indent * size_pt * MM_PER_PT
        first, *more = sheet.wrapped(paragraph.text, style, width_mm - indent_mm)
        yield replace(paragraph, text=first, indent=0.0)
        yield from (replace(paragraph, text=text) for text in more)


def draw_text_line(sheet: Sheet, rect: Rect, line: Paragraph, size_pt: float) -> None:
    """Write one line into a row of the sheet."""
    baseline = rect.top + rect.height / 2 + 0.36 * size_pt * MM_PER_PT
    left = rect.left + line.indent * size_pt * MM_PER_PT
    style = TextStyle(size_pt=size_pt, bold=line.bold, colour=line.colour)
    sheet.text((left, baseline), line.text, style, rect.right - left)


def line_mm(size_pt: float) -> float:
    """Return the height of a line."""
    return LINE * size_pt * MM_PER_PT
