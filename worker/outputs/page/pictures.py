"""Draws an overview and a picture of each lesion, larger than on the page, as PNG files.

The only patient data are the images. `page.py` draws the page of all findings from the same parts.
"""

from __future__ import annotations

from pathlib import Path

from worker.findings import Finding, Findings
from worker.outputs.page.lesion_view import LEGEND_MM, LesionView, draw_legend, draw_lesion
from worker.outputs.page.sections.overview import draw_overview
from worker.outputs.page.sheet import Rect, Sheet, TextStyle, plain_style
from worker.outputs.page.upright_volume import UprightVolume, upright_volume_of
from worker.product import PRODUCT, RESEARCH_SENTENCE

OVERVIEW_MM, LESION_MM = (180.0, 150.0), (300.0, 120.0)
MARGIN_MM, FOOT_MM = 5.0, 5.0


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Write overview.png and lesion-N.png into the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    upright_volume = upright_volume_of(findings)
    with plain_style():
        paths = [_overview(findings).save_png(folder / "overview.png")]
        for finding in findings.by_number:
            path = folder / f"{finding.lesion.tracking_id}.png"
            paths.append(_lesion(findings, finding, upright_volume).save_png(path))
    return paths


def _overview(findings: Findings) -> Sheet:
    sheet = Sheet(width_mm=OVERVIEW_MM[0], height_mm=OVERVIEW_MM[1])
    draw_overview(sheet, _with_notice(sheet), findings, len(findings.findings))
    return sheet


def _lesion(findings: Findings, finding: Finding, upright_volume: UprightVolume) -> Sheet:
    sheet = Sheet(width_mm=LESION_MM[0], height_mm=LESION_MM[1])
    legend, rest = _with_notice(sheet).split_below(LEGEND_MM)
    draw_legend(sheet, legend, PRODUCT)
    draw_lesion(sheet, rest, LesionView(finding=finding, findings=findings, upright_volume=upright_volume))
    return sheet


def _with_notice(sheet: Sheet) -> Rect:
    """Write the research notice at the foot of the sheet, and return the region above it."""
    whole = Rect(
        left=MARGIN_MM,
        top=MARGIN_MM,
        width=sheet.width_mm - 2 * MARGIN_MM,
        height=sheet.height_mm - 2 * MARGIN_MM,
    )
    room, foot = whole.split_below(whole.height - FOOT_MM)
    sheet.text((foot.left, foot.bottom), RESEARCH_SENTENCE, TextStyle(size_pt=7), foot.width)
    return room
