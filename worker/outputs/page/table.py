"""Draws the table of lesions, one row for each lesion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.findings import Finding, Findings
from worker.outputs.page.sheet import GREY, MM_PER_PT, PALE, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.wording import DASH, bracketed_interval, interval_text, lobe_text, percent

MAX_ROWS = 25
LINE = 1.32
"""Height of a line, in font sizes (em)."""
HEAD_LINES = 1.3
MIN_GAP_MM = 2.0
NOTES_PT = 5.5
NOTES = (
    "In brackets: 95 % interval by the scan alone, for this outline. "
    "Other reader: 95 % interval of what another reader would measure. 3D: largest diameter in space. "
    "Solid: share of the tissue. Wall: distance to chest wall or diaphragm. "
    f"?: a fissure is near, it may be the neighbouring lobe. {DASH}: not determined."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its title, and the function that returns the cell of a lesion."""

    title: str
    cell: Callable[[Finding], str]
    align: Literal["left", "right"] = "right"


def _number(finding: Finding) -> str:
    return str(finding.lesion.number)


def _lobe(finding: Finding) -> str:
    return lobe_text(finding.location) if finding.location else DASH


def _volume(finding: Finding) -> str:
    interval = bracketed_interval(finding.uncertainty.volume_ml, 2)
    return f"{finding.measurement.volume_ml:.2f}{interval}"


def _long_axis(finding: Finding) -> str:
    interval = bracketed_interval(finding.uncertainty.long_axis_mm, 1)
    return f"{finding.measurement.long_axis.length_mm:.1f}{interval}"


def _short_axis(finding: Finding) -> str:
    interval = bracketed_interval(finding.uncertainty.short_axis_mm, 1)
    return f"{finding.measurement.short_axis.length_mm:.1f}{interval}"


def _volume_other_reader(finding: Finding) -> str:
    return interval_text(finding.uncertainty.another_reader.volume_ml, 2)


def _long_axis_other_reader(finding: Finding) -> str:
    return interval_text(finding.uncertainty.another_reader.long_axis_mm, 1)


def _diameter(finding: Finding) -> str:
    return f"{finding.measurement.shape.largest_diameter_mm:.1f}"


def _mean_hu(finding: Finding) -> str:
    return f"{finding.measurement.intensity.mean_hu:.0f}"


def _consistency(finding: Finding) -> str:
    return str(finding.measurement.density.consistency)


def _solid(finding: Finding) -> str:
    return percent(finding.measurement.density.solid_fraction)


def _mass(finding: Finding) -> str:
    return f"{finding.measurement.density.mass_g:.2f}"


def _wall(finding: Finding) -> str:
    location = finding.location
    return DASH if location is None else "touches" if location.touches_wall else f"{location.wall_mm:.0f}"


def _mediastinum(finding: Finding) -> str:
    location = finding.location
    return DASH if location is None else "touches" if location.touches_mediastinum else f"{location.mediastinum_mm:.0f}"


def _flags(finding: Finding) -> str:
    density = finding.measurement.density
    return ", ".join(
        text for text, holds in (("calcified", density.is_calcified), ("cavity", density.is_cavitated)) if holds
    )


COLUMNS = (
    Column(title="no.", cell=_number),
    Column(title="lobe", cell=_lobe, align="left"),
    Column(title="volume ml", cell=_volume),
    Column(title="other reader", cell=_volume_other_reader),
    Column(title="long axis mm", cell=_long_axis),
    Column(title="other reader", cell=_long_axis_other_reader),
    Column(title="short axis mm", cell=_short_axis),
    Column(title="3D mm", cell=_diameter),
    Column(title="mean HU", cell=_mean_hu),
    Column(title="consistency", cell=_consistency, align="left"),
    Column(title="solid", cell=_solid),
    Column(title="mass g", cell=_mass),
    Column(title="wall mm", cell=_wall),
    Column(title="mediastinum mm", cell=_mediastinum),
    Column(title="flags", cell=_flags, align="left"),
)


def table_height_mm(lesions: int) -> float:
    """Return the height of the table of this many lesions, with its notes."""
    if not lesions:
        return 0.0
    lines = HEAD_LINES + min(lesions, MAX_ROWS)
    return lines * _line_mm(_size_pt(lesions)) + _line_mm(NOTES_PT) + 1.5


def draw_table(sheet: Sheet, rect: Rect, findings: Findings) -> None:
    """Draw the table into a region of the height that `table_height_mm` returns."""
    count = len(findings.findings)
    if not count:
        return
    shown = sorted(findings.findings[:MAX_ROWS], key=lambda finding: finding.lesion.number)
    cells = [[column.cell(finding) for column in COLUMNS] for finding in shown]
    size_pt, widths = _fitted(sheet, cells, rect.width, _size_pt(count))
    line_mm = _line_mm(_size_pt(count))
    head, body = rect.split_below(HEAD_LINES * line_mm)
    _draw_line(sheet, head, [column.title for column in COLUMNS], widths, TextStyle(size_pt=size_pt, bold=True))
    sheet.line([(head.left, head.bottom), (head.right, head.bottom)], LineStyle(width_pt=0.8))
    for position, row in enumerate(cells):
        line, body = body.split_below(line_mm)
        if position % 2:
            sheet.box(line, PALE)
        _draw_line(sheet, line, row, widths, TextStyle(size_pt=size_pt))
    sheet.line([(body.left, body.top), (body.right, body.top)], LineStyle(width_pt=0.4))
    more = f"{count - MAX_ROWS} more lesions stand in findings.json. " if count > MAX_ROWS else ""
    baseline = body.top + 1.0 + 0.9 * NOTES_PT * MM_PER_PT
    sheet.text((rect.left, baseline), more + NOTES, TextStyle(size_pt=NOTES_PT, colour=GREY), rect.width)


def _size_pt(lesions: int) -> float:
    return 8.0 if lesions <= 6 else 7.0 if lesions <= 12 else 6.3


def _line_mm(size_pt: float) -> float:
    return LINE * size_pt * MM_PER_PT


def _fitted(
    sheet: Sheet, cells: Sequence[Sequence[str]], width_mm: float, wanted_pt: float
) -> tuple[float, list[float]]:
    """Return the largest font size up to `wanted_pt` at which the columns keep their gaps, and the column widths."""
    plain, bold = TextStyle(size_pt=wanted_pt), TextStyle(size_pt=wanted_pt, bold=True)
    longest = [
        max(sheet.text_width_mm(COLUMNS[i].title, bold), *(sheet.text_width_mm(row[i], plain) for row in cells))
        for i in range(len(COLUMNS))
    ]
    smaller = min(1.0, (width_mm - MIN_GAP_MM * len(COLUMNS)) / sum(longest))
    gap_mm = (width_mm - sum(longest) * smaller) / len(COLUMNS)
    return wanted_pt * smaller, [width * smaller + gap_mm for width in longest]


def _draw_line(sheet: Sheet, rect: Rect, texts: Sequence[str], widths: Sequence[float], style: TextStyle) -> None:
    left, baseline = rect.left, rect.top + rect.height / 2 + 0.36 * style.size_pt * MM_PER_PT
    for column, text, width in zip(COLUMNS, texts, widths, strict=True):
        cell_style = TextStyle(size_pt=style.size_pt, bold=style.bold, align=column.align)
        at = left + MIN_GAP_MM / 2 if column.align == "left" else left + width - MIN_GAP_MM / 2
        sheet.text((at, baseline), text, cell_style)
        left += width
