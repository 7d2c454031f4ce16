"""Draws lesions: three orthogonal views of each, with its outline and its RECIST axes. Writes no table.

The axial view is that of the long axis; the other two go through the lesion's voxel that is nearest to its centre.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.findings import Finding, Findings
from worker.lesions.recist_diameters import Axis
from worker.outputs.page.sheet import LineStyle, Place, Rect, Sheet, TextStyle
from worker.outputs.page.upright_volume import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Body,
    Plane,
    UprightVolume,
    body_of,
    upright_volume_of,
)
from worker.outputs.page.viewport import LUNG_WINDOW_HU, Window, draw_scale_bar, mark_edges, show_slice
from worker.outputs.page.wording import TIMES, lobe_words

# Okabe and Ito 2008, the green darker: told apart with every kind of colour vision. The axes differ in dashes besides.
OUTLINE = LineStyle(colour="#e69f00", width_pt=1.1, casing=True)
LONG = LineStyle(colour="#56b4e9", width_pt=1.3, casing=True)
SHORT = LineStyle(colour="#007a59", width_pt=1.3, dashes=(2.2, 1.2), casing=True)
SMALLEST_VIEW_MM = 56.0
"""So much of the body at least is shown around a lesion."""
MARGIN = 1.7
"""A view is so many times as wide as its lesion, or more."""
HEADING_MM, LEGEND_MM, GAP_MM, CELL_GAP_MM = 4.2, 4.4, 0.7, 3.2

Views = tuple[Rect, Rect, Rect]
"""Where the axial, the coronal and the sagittal view go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionView:
    """What the views of one lesion are drawn from. findings: those that it belongs to; scene: theirs."""

    finding: Finding
    findings: Findings
    scene: UprightVolume

    @property
    def body(self) -> Body:
        """The lesion in the scene."""
        return body_of(self.finding.lesion, self.findings)

    def slices(self) -> Iterator[tuple[Plane, int]]:
        """Yield each plane with the index of the slice that is shown."""
        _, row, column = self.body.middle(self.scene.spacing)
        yield AXIAL, round(float(self.scene.index_of(self.finding.measurement.long_axis.start_mm)[0]))
        yield CORONAL, row
        yield SAGITTAL, column


def draw_lesions(paper: Sheet, rect: Rect, findings: Findings, most: int) -> None:
    """Draw the largest lesions, `most` at most, into a region of the sheet; the findings begin with the largest."""
    shown = findings.findings[:most]
    legend, rest = rect.split_below(LEGEND_MM)
    draw_legend(paper, legend, _title(len(shown), len(findings.findings)))
    scene = upright_volume_of(findings)
    for finding, cell in zip(shown, cells(rest, len(shown)), strict=True):
        draw_lesion(paper, cell, LesionView(finding=finding, findings=findings, scene=scene))


def draw_lesion(paper: Sheet, rect: Rect, portrait: LesionView) -> None:
    """Draw one lesion: its heading and three views at one scale."""
    heading, rest = rect.split_below(HEADING_MM)
    _draw_heading(paper, heading, portrait)
    body, spacing = portrait.body, portrait.scene.spacing
    side_mm = max(SMALLEST_VIEW_MM, MARGIN * max(np.multiply(body.voxels.shape, spacing)))
    views = arrange(rest)
    scale = side_mm / _smallest_side(views)
    for view, (plane, index) in zip(views, portrait.slices(), strict=True):
        window = Window(rect=view, plane=plane, centre=body.centre(plane), scale=scale, spacing=spacing)
        show_slice(paper, window, portrait.scene, index)
        for outline in body.cut(plane, index):
            paper.line(window.places_of(outline), OUTLINE)
        if plane is AXIAL:
            _draw_axes(paper, window, portrait)
        mark_edges(paper, window)
        draw_scale_bar(paper, window, side_mm / 4)


def cells(rect: Rect, count: int) -> list[Rect]:
    """Divide a region for this many lesions so that the smallest of their views is as large as it can be."""
    if not count:
        return []
    grids = [rect.grid(-(-count // columns), columns, CELL_GAP_MM) for columns in range(1, count + 1)]
    return max(grids, key=lambda grid: _smallest_side(arrange(grid[0].split_below(HEADING_MM)[1])))[:count]


def arrange(rect: Rect) -> Views:
    """Place three views: in a row, the axial above the others, or left of them; so that the smallest is large."""
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


def _draw_axes(paper: Sheet, window: Window, portrait: LesionView) -> None:
    measured = portrait.finding.measurement
    for axis, trace in ((measured.long_axis, LONG), (measured.short_axis, SHORT)):
        paper.line(list(_ends(axis, window, portrait.scene)), trace)


def _ends(axis: Axis, window: Window, scene: UprightVolume) -> Iterator[Place]:
    for end_mm in (axis.start_mm, axis.end_mm):
        _, row, column = scene.index_of(end_mm)
        yield window.place_of(float(row), float(column))


def _draw_heading(paper: Sheet, rect: Rect, portrait: LesionView) -> None:
    measured, number = portrait.finding.measurement, str(portrait.finding.lesion.number)
    bold = TextStyle(size_pt=9, bold=True)
    baseline = rect.bottom - 1.1
    paper.text((rect.left, baseline), number, bold)
    left = rect.left + paper.text_width_mm(number, bold) + 1.5
    place, axis = portrait.finding.place, measured.long_axis
    words = [
        *([lobe_words(place)] if place else []),
        f"{measured.volume_ml:.2f} ml",
        f"{axis.length_mm:.1f} {TIMES} {measured.short_axis.length_mm:.1f} mm",
        f"slice {axis.slice_index + 1} of {len(portrait.findings.sop_instance_uids)}, z {axis.start_mm[2]:.1f} mm",
    ]
    paper.text((left, baseline), ",  ".join(words), TextStyle(size_pt=7), rect.right - left)


def _title(shown: int, count: int) -> str:
    if shown < count:
        return f"The {shown} largest of {count} lesions"
    return "The lesion" if count == 1 else f"The {count} lesions"


def draw_legend(paper: Sheet, rect: Rect, title: str) -> None:
    """Say what the lines in the views are."""
    baseline, ink = rect.top + 2.6, TextStyle(size_pt=6)
    bold = TextStyle(size_pt=7.5, bold=True)
    paper.text((rect.left, baseline), title, bold)
    left = rect.left + paper.text_width_mm(title, bold) + 5
    for words, trace in (("outline", OUTLINE), ("long axis", LONG), ("short axis", SHORT)):
        paper.line([(left, baseline - 0.8), (left + 7, baseline - 0.8)], trace)
        paper.text((left + 8, baseline), words, ink)
        left += 8 + paper.text_width_mm(words, ink) + 4
    low, high = LUNG_WINDOW_HU
    paper.text((left, baseline), f"lung window {low} to {high} HU", ink, rect.right - left)
