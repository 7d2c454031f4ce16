"""Viewport: a region of a sheet that shows a slice, with the mapping from voxel indices to the sheet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.outputs.page.sheet import BLACK, WHITE, LineStyle, Point, Rect, Sheet, TextStyle, pixels_in
from worker.outputs.page.upright_volume import Plane, Points, UprightVolume

LUNG_WINDOW_HU = (-1350, 150)
"""Centre -600, width 1500."""
Values = NDArray[np.float32]
SCALE_BARS_MM = (100, 50, 20, 10, 5, 2, 1)
MARK = TextStyle(size_pt=5.5, colour=WHITE, align="center", behind=BLACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyRange:
    """The values that are drawn as black and as white."""

    black: float
    white: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewport:
    """A region of a sheet that shows a plane. centre: (vertical, across) index. scale: body mm per sheet mm."""

    rect: Rect
    plane: Plane
    centre: tuple[float, float]
    scale: float
    spacing: tuple[float, float, float]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a voxel on the sheet, in mm."""
        vertical, across = self.plane.axes
        return self.spacing[vertical] / self.scale, self.spacing[across] / self.scale

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """The indices at the left, right, lower and upper edge."""
        tall, wide = self.rect.height / 2 / self.pixel_mm[0], self.rect.width / 2 / self.pixel_mm[1]
        up = tall if self.plane.is_upward else -tall
        return self.centre[1] - wide, self.centre[1] + wide, self.centre[0] - up, self.centre[0] + up

    def point_of(self, vertical: float, across: float) -> Point:
        """Return the point of a (vertical, across) index on the sheet."""
        down = (self.centre[0] - vertical if self.plane.is_upward else vertical - self.centre[0]) * self.pixel_mm[0]
        x = self.rect.left + self.rect.width / 2 + (across - self.centre[1]) * self.pixel_mm[1]
        return x, self.rect.top + self.rect.height / 2 + down

    def points_of(self, outline: Points) -> list[Point]:
        """Return the points of an outline on the sheet."""
        return [self.point_of(float(vertical), float(across)) for vertical, across in outline]


def draw_slice(sheet: Sheet, viewport: Viewport, upright_volume: UprightVolume, index: int) -> None:
    """Draw one slice of the volume with the lung window."""
    low, high = LUNG_WINDOW_HU
    hu = viewport.plane.slice_of(upright_volume.hu, index)
    draw_picture(sheet, viewport, sample(viewport, hu, outside=low), GreyRange(black=low, white=high))


def draw_picture(sheet: Sheet, viewport: Viewport, values: Values, grey_range: GreyRange) -> None:
    """Draw values, one for each pixel of the viewport, in a frame."""
    grey = (values - grey_range.black) / (grey_range.white - grey_range.black)
    sheet.picture(viewport.rect, np.rint(grey.clip(0, 1) * 255).astype(np.uint8))
    sheet.box(viewport.rect, "none", BLACK)


def sample(viewport: Viewport, values: Values, outside: float) -> Values:
    """Return the values of a slice at the pixels of a viewport, interpolated linearly; `outside` beyond the slice."""
    left, right, low, high = viewport.limits
    rows, columns = pixels_in(viewport.rect)
    vertical = high + (np.arange(rows) + 0.5) / rows * (low - high)
    across = left + (np.arange(columns) + 0.5) / columns * (right - left)
    indices = np.meshgrid(vertical, across, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, indices, order=1, mode="grid-constant", cval=outside), np.float32)


def label_edges(sheet: Sheet, viewport: Viewport) -> None:
    """Write the side of the patient (R, L, A, P, H, F) at each edge, and the name of the plane in a corner."""
    rect, half = viewport.rect, MARK.size_pt * 0.13
    left, right, top, bottom = viewport.plane.marks
    middle_x, middle_y = rect.left + rect.width / 2, rect.top + rect.height / 2
    sheet.text((rect.left + 1.6, middle_y + half), left, MARK)
    sheet.text((rect.right - 1.6, middle_y + half), right, MARK)
    sheet.text((middle_x, rect.top + 2.4), top, MARK)
    sheet.text((middle_x, rect.bottom - 0.9), bottom, MARK)
    name = TextStyle(size_pt=MARK.size_pt, colour=WHITE, behind=BLACK)
    sheet.text((rect.left + 0.8, rect.top + 2.4), viewport.plane.name, name)


def draw_scale_bar(sheet: Sheet, viewport: Viewport, max_mm: float) -> None:
    """Draw a scale bar of the longest length in SCALE_BARS_MM up to `max_mm`, with its length above."""
    length_mm = next((length for length in SCALE_BARS_MM if length <= max_mm), SCALE_BARS_MM[-1])
    left, bottom, length = viewport.rect.left + 1.6, viewport.rect.bottom - 1.4, length_mm / viewport.scale
    sheet.line([(left, bottom), (left + length, bottom)], LineStyle(colour=WHITE, width_pt=1.4, casing=True))
    style = TextStyle(size_pt=MARK.size_pt, colour=WHITE, behind=BLACK)
    sheet.text((left, bottom - 1.1), f"{length_mm} mm", style)
