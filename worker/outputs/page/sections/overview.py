"""Draws the coronal overview: lobes as outlines, every lesion filled, with its number.

The picture is a mean projection through the whole body, pale and inverted for print: air is white, bone grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs
from worker.findings import Finding, Findings
from worker.outputs.page.sheet import BLACK, GREY, LineStyle, Rect, Sheet, TextStyle
from worker.outputs.page.upright_volume import (
    CORONAL,
    Points,
    UprightVolume,
    outlines,
    reoriented,
    upright_lesion_of,
    upright_volume_of,
)
from worker.outputs.page.viewport import GreyRange, Viewport, draw_picture, sample

# Okabe and Ito 2008. Colour and dashes distinguish upper, middle and lower lobe; right and left lie apart.
UPPER = LineStyle(colour="#0072b2", width_pt=0.9)
MIDDLE = LineStyle(colour="#d55e00", width_pt=0.9, dashes=(3.0, 1.5))
LOWER = LineStyle(colour=BLACK, width_pt=0.8, dashes=(4.0, 1.2, 1.0, 1.2))
LOBES = {
    Lobe.RIGHT_UPPER: UPPER,
    Lobe.RIGHT_MIDDLE: MIDDLE,
    Lobe.RIGHT_LOWER: LOWER,
    Lobe.LEFT_UPPER: UPPER,
    Lobe.LEFT_LOWER: LOWER,
}
FILL = "#e69f00"
LEADER = LineStyle(colour=BLACK, width_pt=0.35)
DARKEST = 0.42
"""Grey of the densest part, 0 white to 1 black."""
AROUND_MM = 20.0
"""Margin around lungs and lesions, in mm of the body."""
DEPTH_STEP = 4
"""Step along the projection axis: every fourth row is enough for a picture of this size."""
MARGIN_MM, TITLE_MM, LEGEND_MM, PITCH_MM = 5.0, 4.4, 3.6, 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _LesionProjection:
    """Coronal projection of one lesion. outlines and centre: (vertical, across) indices."""

    number: int
    outlines: list[Points]
    centre: tuple[float, float]


def draw_overview(sheet: Sheet, rect: Rect, findings: Findings, max_numbers: int) -> None:
    """Draw all lesions into a region of the sheet, and the numbers of the first `max_numbers` beside the picture."""
    title, rest = rect.split_below(TITLE_MM)
    sheet.text((title.left, title.top + 2.6), "Coronal overview", TextStyle(size_pt=7.5, bold=True), title.width)
    picture, legend = rest.split_below(rest.height - LEGEND_MM)
    upright_volume = upright_volume_of(findings)
    lobes = _lobe_outlines(findings.lungs, upright_volume) if findings.lungs else {}
    projections = [_lesion_projection(finding, findings) for finding in findings.findings]
    inner = Rect(
        left=picture.left + MARGIN_MM, top=picture.top, width=picture.width - 2 * MARGIN_MM, height=picture.height
    )
    of_lesions = [outline for projection in projections for outline in projection.outlines]
    viewport = _viewport(inner, upright_volume, list(chain.from_iterable(lobes.values())), of_lesions)
    _draw_projection(sheet, viewport, upright_volume)
    for lobe, lobe_outlines in lobes.items():
        for outline in lobe_outlines:
            sheet.line(viewport.points_of(outline), LOBES[lobe])
    for projection in reversed(projections):
        for outline in projection.outlines:
            sheet.shape(viewport.points_of(outline), FILL)
    _draw_numbers(sheet, viewport, projections[:max_numbers])
    _draw_legend(sheet, legend, has_lobes=bool(lobes))


def spaced_positions(wanted: Sequence[float], pitch: float, low: float, high: float) -> list[float]:
    """Return positions between low and high, in the order of the wanted ones and near them, at least a pitch apart.

    If they do not all fit, the pitch is reduced.
    """
    pitch = min(pitch, (high - low) / max(len(wanted) - 1, 1))
    positions: list[float] = []
    for position in wanted:
        positions.append(max(position, low, *(previous + pitch for previous in positions[-1:])))
    for index in reversed(range(len(positions))):
        limit = positions[index + 1] - pitch if index + 1 < len(positions) else high
        positions[index] = min(positions[index], limit)
    return positions


def _lesion_projection(finding: Finding, findings: Findings) -> _LesionProjection:
    upright_lesion = upright_lesion_of(finding.lesion, findings)
    height, _, side = np.argwhere(upright_lesion.voxels).mean(axis=0) + upright_lesion.corner
    return _LesionProjection(
        number=finding.lesion.number,
        outlines=upright_lesion.projected_outlines(CORONAL),
        centre=(float(height), float(side)),
    )


def _lobe_outlines(lungs: Lungs, upright_volume: UprightVolume) -> dict[Lobe, list[Points]]:
    """Return the projected outlines of each lobe, as (vertical, across) indices of the upright volume."""
    lobes, affine = reoriented(lungs.lobes, lungs.affine)
    to_upright = np.linalg.inv(upright_volume.affine) @ affine
    middle = (lobes.shape[1] - 1) / 2
    found = {}
    for lobe in Lobe:
        coarse = outlines((lobes == lobe).any(axis=1))
        points = [np.insert(outline, 1, middle, axis=1) for outline in coarse]
        found[lobe] = [(point @ to_upright[:3, :3].T + to_upright[:3, 3])[:, [0, 2]] for point in points]
    return found


def _viewport(rect: Rect, upright_volume: UprightVolume, lobes: list[Points], lesions: list[Points]) -> Viewport:
    """Return a viewport on lungs and lesions with a margin, or on the whole scan if the lungs were not found."""
    height_mm, _, width_mm = upright_volume.spacing
    corners = np.array([(-0.5, -0.5), (upright_volume.hu.shape[0] - 0.5, upright_volume.hu.shape[2] - 0.5)])
    points = np.concatenate([*lobes, *lesions]) if lobes else np.concatenate([corners, *lesions])
    around = np.array([AROUND_MM / height_mm, AROUND_MM / width_mm]) if lobes else np.zeros(2)
    low, high = points.min(axis=0) - around, points.max(axis=0) + around
    tall, wide = (high - low) * (height_mm, width_mm)
    return Viewport(
        rect=rect,
        plane=CORONAL,
        centre=(float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2),
        scale=max(tall / rect.height, wide / rect.width),
        spacing=upright_volume.spacing,
    )


def _draw_projection(sheet: Sheet, viewport: Viewport, upright_volume: UprightVolume) -> None:
    density: NDArray[np.float32] = np.maximum(upright_volume.hu[:, ::DEPTH_STEP], -1000).mean(axis=1) + np.float32(1000)
    densest = max(float(np.percentile(density[::2, ::2], 99.5)), 1.0)
    draw_picture(sheet, viewport, sample(viewport, density, outside=0.0), GreyRange(black=densest / DARKEST, white=0.0))


def _draw_numbers(sheet: Sheet, viewport: Viewport, projections: Sequence[_LesionProjection]) -> None:
    """Write each number beside the picture on the side of its lesion, with a leader line."""
    rect, middle = viewport.rect, viewport.rect.left + viewport.rect.width / 2
    places = {
        projected_outlines.number: viewport.point_of(*projected_outlines.centre) for projected_outlines in projections
    }
    for is_left in (True, False):
        numbers = sorted((n for n in places if (places[n][0] < middle) == is_left), key=lambda n: places[n][1])
        heights = spaced_positions([places[n][1] for n in numbers], PITCH_MM, rect.top + 1.5, rect.bottom - 1.5)
        style = TextStyle(size_pt=_number_pt(heights), bold=True, align="right" if is_left else "left")
        edge = rect.left if is_left else rect.right
        out = -0.8 if is_left else 0.8
        for number, height in zip(numbers, heights, strict=True):
            sheet.text((edge + out, height + style.size_pt * 0.13), str(number), style)
            sheet.line([(edge, height), places[number]], LEADER)


def _number_pt(heights: Sequence[float]) -> float:
    """Return a font size at which numbers at these heights do not touch."""
    pitch = min((b - a for a, b in pairwise(heights)), default=PITCH_MM)
    return min(7.0, 2.35 * pitch)


def _draw_legend(sheet: Sheet, rect: Rect, *, has_lobes: bool) -> None:
    """Draw the legend below the picture: the sides R and L, and the line styles of the lobes."""
    style, bold, baseline = TextStyle(size_pt=6, colour=GREY), TextStyle(size_pt=6.5, bold=True), rect.bottom - 0.6
    left, right = rect.left + MARGIN_MM, rect.right - MARGIN_MM - 3
    sheet.text((left, baseline), "R", bold)
    sheet.text((right + 3, baseline), "L", replace(bold, align="right"))
    left += 5
    if not has_lobes:
        sheet.text((left, baseline), "projection; lungs not found: no lobes drawn", style, right - left)
        return
    for text, line_style in (("upper", UPPER), ("middle", MIDDLE), ("lower lobe", LOWER)):
        sheet.line([(left, baseline - 0.8), (left + 7, baseline - 0.8)], line_style)
        sheet.text((left + 8, baseline), text, style)
        left += 8 + sheet.text_width_mm(text, style) + 3
    sheet.text((left, baseline), "projection", style, right - left)
