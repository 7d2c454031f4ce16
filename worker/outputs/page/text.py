"""Lines of text that fill a region of a sheet in the largest size at which they fit. Knows no findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, Rect, Sheet, TextStyle

SIZES_PT = (7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
LINE = 1.36
REST = "… the rest stands in findings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A line of text, or an empty one. indent: how far its further lines are set in, in heights of its letters."""

    words: str
    bold: bool = False
    colour: str = BLACK
    indent: float = 0.0


def draw_paragraphs(paper: Sheet, rect: Rect, paragraphs: Sequence[Paragraph]) -> None:
    """Write the paragraphs; what does not fit even in the smallest size is cut, and the last line says so."""
    for size_pt in SIZES_PT:
        room = int(rect.height / line_mm(size_pt))
        lines = list(wrapped(paper, paragraphs, size_pt, rect.width))
        if len(lines) <= room:
            break
    else:
        lines = [*lines[: max(room - 1, 0)], Paragraph(words=REST, colour=GREY)]
    for line in lines:
        row, rect = rect.split_below(line_mm(size_pt))
        draw_words(paper, row, line, size_pt)


def wrapped(paper: Sheet, paragraphs: Iterable[Paragraph], size_pt: float, width_mm: float) -> Iterator[Paragraph]:
    """Yield the lines that paragraphs make in this width."""
    for paragraph in paragraphs:
        ink, indent_mm = TextStyle(size_pt=size_pt, bold=paragraph.bold), paragraph.indent * size_pt * MM_PER_PT
        first, *more = paper.wrapped(paragraph.words, ink, width_mm - indent_mm)
        yield replace(paragraph, words=first, indent=0.0)
        yield from (replace(paragraph, words=words) for words in more)


def draw_words(paper: Sheet, rect: Rect, line: Paragraph, size_pt: float) -> None:
    """Write one line into a row of the sheet."""
    baseline = rect.top + rect.height / 2 + 0.36 * size_pt * MM_PER_PT
    left = rect.left + line.indent * size_pt * MM_PER_PT
    ink = TextStyle(size_pt=size_pt, bold=line.bold, colour=line.colour)
    paper.text((left, baseline), line.words, ink, rect.right - left)


def line_mm(size_pt: float) -> float:
    """Return the height of a line."""
    return LINE * size_pt * MM_PER_PT
