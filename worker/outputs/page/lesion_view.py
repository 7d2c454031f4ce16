"""Draws three orthogonal views of each lesion, with its outline and its RECIST axes.

The axial view shows the slice of the long axis; the other two go through the lesion voxel nearest to the centroid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.findings import Finding, Findings
from worker.lesions.recist_diameters import Axis
from worker.outputs.page.sheet import LineStyle, Point, Rect, Sheet, TextStyle
from worker.outputs.page.upright_volume import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Plane,
    UprightLesion,
    UprightVolume,
    upright_lesion_of,
    upright_volume_of,
)
from worker.outputs.page.viewport import LUNG_WINDOW_HU, Viewport, draw_scale_bar, draw_slice, label_edges
from worker.outputs.page.wording import TIMES, lobe_text

# Okabe and Ito 2008, with a darker green: distinct for every kind of colour vision. The axes also differ in dashes.
OUTLINE = LineStyle(colour="#e69f00", width_pt=1.1, casing=True)
LONG = LineStyle(colour="#56b4e9", width_pt=1.3, casing=True)
SHORT = LineStyle(colour="#007a59", width_pt=1.3, dashes=(2.2, 1.2), casing=True)
SMALLEST_VIEW_MM = 56.0
"""Smallest side of a view, in mm of the body."""
MARGIN = 1.7
"""Smallest ratio of the width of a view to the width of its lesion."""
HEADING_MM, LEGEND_MM, GAP_MM, CELL_GAP_MM = 4.2, 4.4, 0.7, 3.2

Views = tuple[Rect, Rect, Rect]
"""The regions of the axial, the coronal and the sagittal view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionView:
    """Input of the views of one lesion. findings: those of its scan, with their upright volume."""

    finding: Finding
    findings: Findings
    upright_volume: UprightVolume

    @property
    def upright_lesion(self) -> UprightLesion:
        """The lesion in the upright volume."""
        return upright_lesion_of(self.finding.lesion, self.findings)

    def slices(self) -> Iterator[tuple[Plane, int]]:
        """Yield each plane with the index of the slice that is shown."""
        _, row, column = self.upright_lesion.middle(self.upright_volume.spacing)
        yield AXIAL, round(float(self.upright_volume.index_of(self.finding.measurement.long_axis.start_mm)[0]))
        yield CORONAL, row
        yield SAGITTAL, column


def draw_lesions(sheet: Sheet, rect: Rect, findings: Findings, max_lesions: int) -> None:
    """Draw the largest lesions, at most `max_lesions`, into a region of the sheet, by number."""
    shown = sorted(findings.findings[:max_lesions], key=lambda finding: finding.lesion.number)
    legend, rest = rect.split_below(LEGEND_MM)
    draw_legend(sheet, legend, _title(len(shown), len(findings.findings)))
    upright_volume = upright_volume_of(findings)
    for finding, cell in zip(shown, cells(rest, len(shown)), strict=True):
        draw_lesion(sheet, cell, LesionView(finding=finding, findings=findings, upright_volume=upright_volume))


def draw_lesion(sheet: Sheet, rect: Rect, lesion_view: LesionView) -> None:
    """Draw one lesion: a heading and three views at the same scale."""
    heading, rest = rect.split_below(HEADING_MM)
    _draw_heading(sheet, heading, lesion_view)
    upright_lesion, spacing = lesion_view.upright_lesion, lesion_view.upright_volume.spacing
    side_mm = max(SMALLEST_VIEW_MM, MARGIN * max(np.multiply(upright_lesion.voxels.shape, spacing)))
    views = arrange(rest)
    scale = side_mm / _smallest_side(views)
    for view, (plane, index) in zip(views, lesion_view.slices(), strict=True):
        viewport = Viewport(rect=view, plane=plane, centre=upright_lesion.centre(plane), scale=scale, spacing=spacing)
        draw_slice(sheet, viewport, lesion_view.upright_volume, index)
        for outline in upright_lesion.outlines_on(plane, index):
            sheet.line(viewport.points_of(outline), OUTLINE)
        if plane is AXIAL:
            _draw_axes(sheet, viewport, lesion_view)
        label_edges(sheet, viewport)
        draw_scale_bar(sheet, viewport, side_mm / 4)


def cells(rect: Rect, count: int) -> list[Rect]:
    """Return the cells of a region for this many lesions; the grid maximises the smallest view."""
    if not count:
        return []
    grids = [rect.grid(-(-count // columns), columns, CELL_GAP_MM) for columns in range(1, count + 1)]
    return max(grids, key=lambda grid: _smallest_side(arrange(grid[0].split_below(HEADING_MM)[1])))[:count]


def arrange(rect: Rect) -> Views:
    """Place three views in a row, or the axial one above or left of the others; maximises the smallest view."""
    row = rect.grid(1, 3, GAP_MM)
    above, below = rect.grid(2, 1, GAP_MM)
    left, right = rect.grid(1, 2, GAP_MM)
    arrangements: list[Views] = [
        (row[0], row[1], row[2]),
        (above, *_two(below.grid(1, 2, GAP_MM))),
        (left, *_two(right.grid(2, 1, GAP_MM))),
    ]
    return max(arrangements, key=_smallest_side)


def _two(rects: Sequence[Rect]) -> tuple[Rect, Rect]:
    first, second = rects
    return first, second


def _smallest_side(views: Views) -> float:
    return round(min(min(view.width, view.height) for view in views), 3)


def _draw_axes(sheet: Sheet, viewport: Viewport, lesion_view: LesionView) -> None:
    measured = lesion_view.finding.measurement
    for axis, line_style in ((measured.long_axis, LONG), (measured.short_axis, SHORT)):
        sheet.line(list(_ends(axis, viewport, lesion_view.upright_volume)), line_style)


def _ends(axis: Axis, viewport: Viewport, upright_volume: UprightVolume) -> Iterator[Point]:
    for end_mm in (axis.start_mm, axis.end_mm):
        _, row, column = upright_volume.index_of(end_mm)
        yield viewport.point_of(float(row), float(column))


def _draw_heading(sheet: Sheet, rect: Rect, lesion_view: LesionView) -> None:
    measured, number = lesion_view.finding.measurement, str(lesion_view.finding.lesion.number)
    bold = TextStyle(size_pt=9, bold=True)
    baseline = rect.bottom - 1.1
    sheet.text((rect.left, baseline), number, bold)
    left = rect.left + sheet.text_width_mm(number, bold) + 1.5
    location, axis = lesion_view.finding.location, measured.long_axis
    image = lesion_view.findings.volume.image_at(axis.slice_index)
    facts = [
        *([lobe_text(location)] if location else []),
        f"{measured.volume_ml:.2f} ml",
        f"{axis.length_mm:.1f} {TIMES} {measured.short_axis.length_mm:.1f} mm",
        f"slice {image + 1} of {len(lesion_view.findings.frames)}, z {axis.start_mm[2]:.1f} mm",
    ]
    sheet.text((left, baseline), ",  ".join(facts), TextStyle(size_pt=7), rect.right - left)


def _title(shown: int, count: int) -> str:
    if shown < count:
        return f"The {shown} largest of {count} lesions"
    return "The lesion" if count == 1 else f"The {count} lesions"


def draw_legend(sheet: Sheet, rect: Rect, title: str) -> None:
    """Draw the title and the legend of the lines in the views."""
    baseline, style = rect.top + 2.6, TextStyle(size_pt=6)
    bold = TextStyle(size_pt=7.5, bold=True)
    sheet.text((rect.left, baseline), title, bold)
    left = rect.left + sheet.text_width_mm(title, bold) + 5
    for text, line_style in (("outline", OUTLINE), ("long axis", LONG), ("short axis", SHORT)):
        sheet.line([(left, baseline - 0.8), (left + 7, baseline - 0.8)], line_style)
        sheet.text((left + 8, baseline), text, style)
        left += 8 + sheet.text_width_mm(text, style) + 4
    low, high = LUNG_WINDOW_HU
    sheet.text((left, baseline), f"lung window {low} to {high} HU", style, rect.right - left)
