"""Draws the extent box: tumour burden, involvement of each lobe, follow-up summary, proposed T category."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.outputs.page.sections.response import follow_up_paragraphs
from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, PALE, Rect, Sheet, TextStyle
from worker.outputs.page.text import REST, SIZES_PT, Paragraph, draw_text_line, line_mm, wrapped
from worker.outputs.page.wording import lobe_name, percent
from worker.report import Report
from worker.staging.extent import Extent, LobeBurden
from worker.staging.t_descriptor import TProposal

FILL = "#e69f00"
TITLE_MM = 4.4
SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Shares of a lobe that a full bar may stand for."""
NOT_ASSESSED = "From the outlines alone; N and any other M are not assessed."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A line with the bar of a lobe. full: the share of the lobe that fills the bar."""

    burden: LobeBurden
    full: float


_Line = Paragraph | _Bar


def draw_extent(sheet: Sheet, rect: Rect, report: Report) -> None:
    """Draw the box into a region of the sheet, in the largest font size at which it fits."""
    title, body = rect.split_below(TITLE_MM)
    sheet.text((title.left, title.top + 2.6), "Spread", TextStyle(size_pt=7.5, bold=True), title.width)
    content = list(_content(report))
    for size_pt in SIZES_PT:
        max_lines = int(body.height / line_mm(size_pt))
        lines = list(_wrapped(sheet, content, size_pt, body.width))
        if len(lines) <= max_lines:
            break
    else:
        lines = [*lines[: max(max_lines - 1, 0)], Paragraph(text=REST, colour=GREY)]
    for line in lines:
        row, body = body.split_below(line_mm(size_pt))
        _draw(sheet, row, line, size_pt)


def _content(report: Report) -> Iterator[_Line]:
    extent = report.findings.extent
    yield from _extent_lines(extent)
    yield Paragraph(text="")
    yield from follow_up_paragraphs(report.comparison)
    if extent.proposal is not None:
        yield from _staging(extent.proposal)


def _extent_lines(extent: Extent) -> Iterator[_Line]:
    yield Paragraph(text=_burden_text(extent), bold=True)
    if distribution := _distribution_text(extent):
        yield Paragraph(text=distribution)
    if extent.by_lobe:
        largest = max(burden.involvement for burden in extent.by_lobe)
        full = next((scale for scale in SCALES if scale >= largest), 1.0)
        yield Paragraph(text=f"Involvement of each lobe; a full bar is {percent(full)}:", colour=GREY)
        for burden in extent.by_lobe:
            yield _Bar(burden=burden, full=full)


def _burden_text(extent: Extent) -> str:
    share = "" if extent.burden_share is None else f", {percent(extent.burden_share)} of the lungs"
    lungs = "" if extent.lungs_ml is None else f" ({extent.lungs_ml:.0f} ml)"
    return f"Burden {extent.burden_ml:.2f} ml{share}{lungs}"


def _distribution_text(extent: Extent) -> str:
    facts = []
    if extent.lesions_right is not None and extent.lesions_left is not None:
        facts.append(f"{extent.lesions_right} right, {extent.lesions_left} left")
    if extent.satellites is not None and extent.lesions > 1:
        facts.append(f"{extent.satellites} more in the lobe of the largest")
    if extent.lesions > 1:
        facts.append(f"farthest apart {extent.largest_distance_mm:.0f} mm")
        facts.append(f"dispersion {extent.dispersion_mm:.0f} mm")
    return "; ".join(facts)


def _staging(proposal: TProposal) -> Iterator[Paragraph]:
    yield Paragraph(text="")
    m1a = ", M1a" if proposal.m1a else ""
    yield Paragraph(text=f"Proposal, TNM 9: {proposal.descriptor}{m1a}", bold=True)
    yield Paragraph(text=NOT_ASSESSED, colour=GREY)
    for clause in proposal.basis:
        yield Paragraph(text=f"· {clause}", indent=0.6)


def _wrapped(sheet: Sheet, lines: list[_Line], size_pt: float, width_mm: float) -> Iterator[_Line]:
    for line in lines:
        if isinstance(line, _Bar):
            yield line
        else:
            yield from wrapped(sheet, [line], size_pt, width_mm)


def _draw(sheet: Sheet, rect: Rect, line: _Line, size_pt: float) -> None:
    if isinstance(line, Paragraph):
        draw_text_line(sheet, rect, line, size_pt)
        return
    baseline = rect.top + rect.height / 2 + 0.36 * size_pt * MM_PER_PT
    name, rest = rect.split_beside(rect.width * 0.27, 1.0)
    track, value = rest.split_beside(rect.width * 0.3, 1.5)
    style, burden = TextStyle(size_pt=size_pt), line.burden
    sheet.text((name.left, baseline), lobe_name(burden.lobe), style, name.width)
    track = Rect(left=track.left, top=track.top + 0.18 * track.height, width=track.width, height=0.64 * track.height)
    sheet.box(track, PALE, GREY)
    if burden.involvement:
        share = min(burden.involvement / line.full, 1.0)
        sheet.box(Rect(left=track.left, top=track.top, width=track.width * share, height=track.height), FILL, BLACK)
    sheet.text((value.left, baseline), _lobe_text(burden), style, value.width)


def _lobe_text(burden: LobeBurden) -> str:
    if not burden.lesions:
        return "none"
    lesions = "1 lesion" if burden.lesions == 1 else f"{burden.lesions} lesions"
    return f"{percent(burden.involvement)}, {burden.burden_ml:.2f} ml, {lesions}"
