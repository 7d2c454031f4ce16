"""Draws the findings one by one: an overview, and a picture of each lesion, larger than on the page. Knows no DICOM.

Shows no patient data but the images. The page of all of it is made by `page.py`, from the same parts.
"""

from __future__ import annotations

from pathlib import Path

from worker.findings import Findings
from worker.outputs.dicom.header import PRODUCT, RESEARCH_SENTENCE
from worker.outputs.page.lesion_view import LEGEND_MM, LesionView, draw_legend, draw_lesion
from worker.outputs.page.sections.overview import draw_overview
from worker.outputs.page.sheet import Rect, Sheet, TextStyle, plain_style
from worker.outputs.page.upright_volume import UprightVolume, upright_volume_of

OVERVIEW_MM, LESION_MM = (180.0, 150.0), (300.0, 120.0)
MARGIN_MM, FOOT_MM = 5.0, 5.0


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Write overview.png and lesion-N.png into the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = upright_volume_of(findings)
    with plain_style():
        paths = [_overview(findings).save_png(folder / "overview.png")]
        for number in range(1, len(findings.findings) + 1):
            paths.append(_lesion(findings, number, scene).save_png(folder / f"lesion-{number}.png"))
    return paths


def _overview(findings: Findings) -> Sheet:
    paper = Sheet(width_mm=OVERVIEW_MM[0], height_mm=OVERVIEW_MM[1])
    draw_overview(paper, _room(paper), findings, len(findings.findings))
    return paper


def _lesion(findings: Findings, number: int, scene: UprightVolume) -> Sheet:
    paper = Sheet(width_mm=LESION_MM[0], height_mm=LESION_MM[1])
    legend, rest = _room(paper).split_below(LEGEND_MM)
    draw_legend(paper, legend, PRODUCT)
    draw_lesion(paper, rest, LesionView(finding=findings.findings[number - 1], findings=findings, scene=scene))
    return paper


def _room(paper: Sheet) -> Rect:
    """Say at the foot what made the picture, and return what is left of the sheet."""
    whole = Rect(
        left=MARGIN_MM,
        top=MARGIN_MM,
        width=paper.width_mm - 2 * MARGIN_MM,
        height=paper.height_mm - 2 * MARGIN_MM,
    )
    room, foot = whole.split_below(whole.height - FOOT_MM)
    paper.text((foot.left, foot.bottom), RESEARCH_SENTENCE, TextStyle(size_pt=7), foot.width)
    return room
