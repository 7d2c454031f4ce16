"""Draws the spread box: burden, what each lobe holds, the follow-up in a line, the proposed T. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.findings import Findings
from worker.outputs.page.sections.response import follow_up
from worker.outputs.page.sheet import BLACK, GREY, MM_PER_PT, PALE, Rect, Sheet, TextStyle
from worker.outputs.page.text import REST, SIZES_PT, Paragraph, draw_words, line_mm, wrapped
from worker.outputs.page.wording import lobe_name, percent
from worker.staging.extent import Extent, LobeBurden
from worker.staging.t_descriptor import TProposal

FILL = "#e69f00"
TITLE_MM = 4.4
SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""What a full bar means."""
NOT_ASSESSED = "From the outlines alone; N and any other M are not assessed."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A line with a lobe's bar. full: the share that fills it."""

    burden: LobeBurden
    full: float


_Line = Paragraph | _Bar


def draw_extent(paper: Sheet, rect: Rect, findings: Findings) -> None:
    """Draw the box into a region of the sheet, as large as its text allows."""
    title, body = rect.split_below(TITLE_MM)
    paper.text((title.left, title.top + 2.6), "Spread", TextStyle(size_pt=7.5, bold=True), title.width)
    content = list(_content(findings))
    for size_pt in SIZES_PT:
        room = int(body.height / line_mm(size_pt))
        lines = list(_wrapped(paper, content, size_pt, body.width))
        if len(lines) <= room:
            break
    else:
        lines = [*lines[: max(room - 1, 0)], Paragraph(words=REST, colour=GREY)]
    for line in lines:
        row, body = body.split_below(line_mm(size_pt))
        _draw(paper, row, line, size_pt)


def _content(findings: Findings) -> Iterator[_Line]:
    spread = findings.spread
    if spread is None:
        yield Paragraph(words="not determined", colour=GREY)
    else:
        yield from _known(spread)
    if findings.comparison is not None:
        yield Paragraph(words="")
        yield from follow_up(findings.comparison)
    if spread is not None and spread.proposal is not None:
        yield from _staging(spread.proposal)


def _known(spread: Extent) -> Iterator[_Line]:
    yield Paragraph(words=_burden(spread), bold=True)
    if where := _where(spread):
        yield Paragraph(words=where)
    if spread.by_lobe:
        most = max(burden.involvement for burden in spread.by_lobe)
        full = next((scale for scale in SCALES if scale >= most), 1.0)
        yield Paragraph(words=f"Involvement of each lobe; a full bar is {percent(full)}:", colour=GREY)
        for burden in spread.by_lobe:
            yield _Bar(burden=burden, full=full)


def _burden(spread: Extent) -> str:
    share = "" if spread.burden_share is None else f", {percent(spread.burden_share)} of the lungs"
    lungs = "" if spread.lungs_ml is None else f" ({spread.lungs_ml:.0f} ml)"
    return f"Burden {spread.burden_ml:.2f} ml{share}{lungs}"


def _where(spread: Extent) -> str:
    facts = []
    if spread.lesions_right is not None and spread.lesions_left is not None:
        facts.append(f"{spread.lesions_right} right, {spread.lesions_left} left")
    if spread.satellites is not None and spread.lesions > 1:
        facts.append(f"{spread.satellites} more in the lobe of the largest")
    if spread.lesions > 1:
        facts.append(f"farthest apart {spread.largest_distance_mm:.0f} mm")
        facts.append(f"dispersion {spread.dispersion_mm:.0f} mm")
    return "; ".join(facts)


def _staging(proposal: TProposal) -> Iterator[Paragraph]:
    yield Paragraph(words="")
    m1a = ", M1a" if proposal.m1a else ""
    yield Paragraph(words=f"Proposal, TNM 9: {proposal.descriptor}{m1a}", bold=True)
    yield Paragraph(words=NOT_ASSESSED, colour=GREY)
    for clause in proposal.basis:
        yield Paragraph(words=f"· {clause}", indent=0.6)


def _wrapped(paper: Sheet, lines: list[_Line], size_pt: float, width_mm: float) -> Iterator[_Line]:
    for line in lines:
        if isinstance(line, _Bar):
            yield line
        else:
            yield from wrapped(paper, [line], size_pt, width_mm)


def _draw(paper: Sheet, rect: Rect, line: _Line, size_pt: float) -> None:
    if isinstance(line, Paragraph):
        draw_words(paper, rect, line, size_pt)
        return
    baseline = rect.top + rect.height / 2 + 0.36 * size_pt * MM_PER_PT
    name, rest = rect.split_beside(rect.width * 0.27, 1.0)
    track, value = rest.split_beside(rect.width * 0.3, 1.5)
    ink, burden = TextStyle(size_pt=size_pt), line.burden
    paper.text((name.left, baseline), lobe_name(burden.lobe), ink, name.width)
    track = Rect(left=track.left, top=track.top + 0.18 * track.height, width=track.width, height=0.64 * track.height)
    paper.box(track, PALE, GREY)
    if burden.involvement:
        share = min(burden.involvement / line.full, 1.0)
        paper.box(Rect(left=track.left, top=track.top, width=track.width * share, height=track.height), FILL, BLACK)
    paper.text((value.left, baseline), _held(burden), ink, value.width)


def _held(burden: LobeBurden) -> str:
    if not burden.lesions:
        return "none"
    lesions = "1 lesion" if burden.lesions == 1 else f"{burden.lesions} lesions"
    return f"{percent(burden.involvement)}, {burden.burden_ml:.2f} ml, {lesions}"
