"""A window on one plane of the scene: what it shows, and where on the sheet a voxel lies. Knows no lesion's numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from worker.outputs.page.sheet import BLACK, WHITE, LineStyle, Place, Rect, Sheet, TextStyle, pixels_in
from worker.outputs.page.upright_volume import Plane, Points, UprightVolume

LUNG_WINDOW_HU = (-1350, 150)
"""Centre -600, width 1500."""
Values = NDArray[np.float32]
SCALE_BARS_MM = (100, 50, 20, 10, 5, 2, 1)
MARK = TextStyle(size_pt=5.5, colour=WHITE, align="center", behind=BLACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyRange:
    """The values that are shown black and white."""

    black: float
    white: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A region of the sheet that shows a plane. centre: (vertical, across) index. scale: mm of the body per mm."""

    rect: Rect
    plane: Plane
    centre: tuple[float, float]
    scale: float
    spacing: tuple[float, float, float]

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """How tall and how wide a voxel is on the sheet."""
        vertical, across = self.plane.axes
        return self.spacing[vertical] / self.scale, self.spacing[across] / self.scale

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """The indices at the left, right, lower and upper edge."""
        tall, wide = self.rect.height / 2 / self.pixel_mm[0], self.rect.width / 2 / self.pixel_mm[1]
        up = tall if self.plane.is_upward else -tall
        return self.centre[1] - wide, self.centre[1] + wide, self.centre[0] - up, self.centre[0] + up

    def place_of(self, vertical: float, across: float) -> Place:
        """Return where on the sheet an index lies."""
        down = (self.centre[0] - vertical if self.plane.is_upward else vertical - self.centre[0]) * self.pixel_mm[0]
        x = self.rect.left + self.rect.width / 2 + (across - self.centre[1]) * self.pixel_mm[1]
        return x, self.rect.top + self.rect.height / 2 + down

    def places_of(self, outline: Points) -> list[Place]:
        """Return where on the sheet an outline lies."""
        return [self.place_of(float(vertical), float(across)) for vertical, across in outline]


def show_slice(paper: Sheet, window: Window, scene: UprightVolume, index: int) -> None:
    """Show one slice of the scene in the lung window."""
    low, high = LUNG_WINDOW_HU
    hu = window.plane.slice_of(scene.hu, index)
    show(paper, window, seen_in(window, hu, outside=low), GreyRange(black=low, white=high))


def show(paper: Sheet, window: Window, values: Values, tones: GreyRange) -> None:
    """Show values, one for each pixel of the window, in a frame."""
    grey = (values - tones.black) / (tones.white - tones.black)
    paper.picture(window.rect, np.rint(grey.clip(0, 1) * 255).astype(np.uint8))
    paper.box(window.rect, "none", BLACK)


def seen_in(window: Window, values: Values, outside: float) -> Values:
    """Return the values of a plane at the pixels of a window, interpolated linearly; beside the plane, `outside`."""
    left, right, low, high = window.limits
    rows, columns = pixels_in(window.rect)
    vertical = high + (np.arange(rows) + 0.5) / rows * (low - high)
    across = left + (np.arange(columns) + 0.5) / columns * (right - left)
    places = np.meshgrid(vertical, across, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="grid-constant", cval=outside), np.float32)


def mark_edges(paper: Sheet, window: Window) -> None:
    """Write at each edge which side of the patient lies there, and the plane's name in a corner."""
    rect, half = window.rect, MARK.size_pt * 0.13
    left, right, top, bottom = window.plane.marks
    middle_x, middle_y = rect.left + rect.width / 2, rect.top + rect.height / 2
    paper.text((rect.left + 1.6, middle_y + half), left, MARK)
    paper.text((rect.right - 1.6, middle_y + half), right, MARK)
    paper.text((middle_x, rect.top + 2.4), top, MARK)
    paper.text((middle_x, rect.bottom - 0.9), bottom, MARK)
    name = TextStyle(size_pt=MARK.size_pt, colour=WHITE, behind=BLACK)
    paper.text((rect.left + 0.8, rect.top + 2.4), window.plane.name, name)


def draw_scale_bar(paper: Sheet, window: Window, most_mm: float) -> None:
    """Draw a bar of the longest round length up to `most_mm`, and its length above."""
    length_mm = next((length for length in SCALE_BARS_MM if length <= most_mm), SCALE_BARS_MM[-1])
    left, bottom, length = window.rect.left + 1.6, window.rect.bottom - 1.4, length_mm / window.scale
    paper.line([(left, bottom), (left + length, bottom)], LineStyle(colour=WHITE, width_pt=1.4, casing=True))
    ink = TextStyle(size_pt=MARK.size_pt, colour=WHITE, behind=BLACK)
    paper.text((left, bottom - 1.1), f"{length_mm} mm", ink)
