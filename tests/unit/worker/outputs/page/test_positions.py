"""Positions on the page, read back from its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from tests.fixtures.worker.drawn_scans import (
    BOXES,
    ORIENTATIONS,
    crop,
    drawn_extent,
    findings,
    overlaps,
    pictures_of,
    pixels_of,
    ruler,
    stored_as,
    strings_of,
    texts_of,
    two_lesion_scan,
    with_lungs,
)
from tests.fixtures.worker.measured import report_of
from worker.outputs.page.lesion_view import LONG, OUTLINE, SHORT, arrange, cells
from worker.outputs.page.page import draw_page
from worker.outputs.page.sections.overview import FILL, UPPER, spaced_positions
from worker.outputs.page.sheet import DPI, Rect, Sheet, plain_style


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with plain_style():
        yield


@pytest.mark.parametrize(("order", "flipped"), [((0, 1, 2), ()), *ORIENTATIONS], ids=str)
def test_outlines_and_axes_lie_on_the_lesion_however_it_is_stored(
    order: tuple[int, int, int], flipped: tuple[int, ...]
) -> None:
    hu, segmented, affine = two_lesion_scan()
    segmented[BOXES[1]] = False  # 33 x 17 x 11 mm (head to feet, front to back, right to left) are left
    scan_findings = stored_as((hu, segmented, affine), order, flipped)
    sheet = draw_page(report_of(scan_findings))
    pixels, (_, axial, coronal, sagittal) = pixels_of(sheet), pictures_of(sheet)
    scale = _pixels_per_mm(sheet)

    for picture, wide_mm, high_mm in ((axial, 11, 17), (coronal, 11, 33), (sagittal, 17, 33)):
        view = crop(pixels, picture)
        left, right, top, bottom = drawn_extent(view, OUTLINE.colour)
        # Half of the line of 1.1 pt lies outside the outline.
        assert (right - left - 2.6) / scale == pytest.approx(wide_mm, abs=0.4)
        assert (bottom - top - 2.6) / scale == pytest.approx(high_mm, abs=0.4)
        bright = view.min(axis=2) > 200
        inside = bright[round(top) + 5 : round(bottom) - 5, round(left) + 5 : round(right) - 5]
        beside = bright[round(top) + 5 : round(bottom) - 5, : round(left) - 5]
        assert inside.mean() > 0.8  # the rest is the axes
        assert beside.mean() < 0.05  # edge labels

    view = crop(pixels, axial)
    centre = np.array(drawn_extent(view, OUTLINE.colour)).reshape(2, 2).mean(axis=1)
    for line_style, axis in (
        (LONG, scan_findings.findings[0].measurement.long_axis),
        (SHORT, scan_findings.findings[0].measurement.short_axis),
    ):
        ends = np.array([axis.start_mm, axis.end_mm])[:, :2] - _middle_mm()
        expected = [*sorted(centre[0] + ends[:, 0] * scale), *sorted(centre[1] + ends[:, 1] * scale)]
        assert drawn_extent(view, line_style.colour, 12) == pytest.approx(expected, abs=4)


def _middle_mm() -> tuple[float, float]:
    """x and y of the centre of the first box, in mm."""
    return 11.0 - 25, 18.0 - 30


def _pixels_per_mm(sheet: Sheet) -> float:
    """From the scale bar of the first view: its length in pixels by its length in mm as written."""
    lines = [
        line for line in sheet.figure.findobj(Line2D) if isinstance(line, Line2D) and line.get_color() == "#ffffff"
    ]
    box = lines[0].get_window_extent(ruler(DPI))
    label = next(match for string in strings_of(sheet) if (match := re.fullmatch(r"(\d+) mm", string)))
    width = np.ptp(lines[0].get_transform().transform(lines[0].get_xydata())[:, 0])
    assert width <= box.width
    return float(width) / float(label[1])


@pytest.mark.parametrize(("order", "flipped"), [((0, 1, 2), ()), *ORIENTATIONS], ids=str)
def test_edge_labels_agree_with_the_anatomy(order: tuple[int, int, int], flipped: tuple[int, ...]) -> None:
    hu, segmented, affine = two_lesion_scan()
    segmented[BOXES[1]] = False
    hu[BOXES[1]] = -800
    # Bright spots beside the lesion at slice 8 to 19, row 10 to 27, column 6 to 17: left of, in front of and above it.
    for spot in (np.s_[8:19, 10:27, 24:27], np.s_[8:19, 3:6, 6:17], np.s_[5:7, 10:27, 6:17]):
        hu[spot] = 30
    sheet = draw_page(report_of(stored_as((hu, segmented, affine), order, flipped)))
    pixels, (_, *views) = pixels_of(sheet), pictures_of(sheet)

    brightest = [_brightest_sides(crop(pixels, view)) for view in views]

    assert brightest == [{"right", "top"}, {"right", "top"}, {"left", "top"}]
    marks = [string for string in strings_of(sheet) if string in "RLAPHF"]
    assert [marks[i : i + 4] for i in range(2, 14, 4)] == [list("RLAP"), list("RLHF"), list("APHF")]


def _brightest_sides(view: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> set[str]:
    """The sides of the outline with bright pixels, without the labels at the edges."""
    left, right, top, bottom = (round(edge) for edge in drawn_extent(view, OUTLINE.colour))
    bright, edge = view.min(axis=2) > 180, 30
    sides = {
        "left": bright[top:bottom, edge : left - 4],
        "right": bright[top:bottom, right + 4 : -edge],
        "top": bright[edge : top - 4, left:right],
        "bottom": bright[bottom + 4 : -edge, left:right],
    }
    return {name for name, part in sides.items() if part.mean() > 0.02}


def test_lobes_and_lesions_of_the_overview_are_at_their_anatomical_positions() -> None:
    scan_findings = with_lungs(findings(*two_lesion_scan()))
    sheet = draw_page(report_of(scan_findings))
    view = crop(pixels_of(sheet), pictures_of(sheet)[0])

    # Lesion 1 ends at column 16 and slice 18, the right upper lobe at columns 4 and 21; the second lesion's box is
    # columns 30 to 38, slices 22 to 24. Slices run downwards, 3 mm each; the lobes' grid is twice as coarse.
    left, right, top, bottom = drawn_extent(view, FILL, 12)
    scale = (right - left) / (38.5 - 5.5)
    assert (bottom - top) / scale == pytest.approx(3 * (24.5 - 7.5), abs=1.5)
    upper = drawn_extent(view, UPPER.colour, 60)
    assert (upper[0] - left) / scale == pytest.approx((3 - 5.5), abs=2.5)
    assert (upper[1] - left) / scale == pytest.approx((45 - 5.5), abs=2.5)
    assert (upper[3] - top) / scale == pytest.approx(3 * (29 - 7.5), abs=6)


def test_numbers_are_on_the_side_of_their_lesions() -> None:
    sheet = draw_page(report_of(findings(*two_lesion_scan())))
    overview, renderer = pictures_of(sheet)[0], ruler(DPI)
    one, two = (
        next(text.get_window_extent(renderer) for text in texts_of(sheet) if text.get_text() == number)
        for number in ("1", "2")
    )

    assert overview.x0 - 20 < one.x1 < overview.x0
    assert overview.x1 < two.x0 < overview.x1 + 20


def test_close_positions_are_spaced_in_their_order() -> None:
    assert spaced_positions([1, 5, 9], 2, 0, 10) == [1, 5, 9]
    assert spaced_positions([5, 5, 5], 2, 0, 10) == [5, 7, 9]
    assert spaced_positions([9, 9.5, 10], 2, 0, 10) == [6, 8, 10]
    assert spaced_positions([3] * 11, 2, 0, 10) == pytest.approx(list(range(11)))
    assert spaced_positions([], 2, 0, 10) == []


def test_views_fill_their_region_and_never_overlap() -> None:
    region = Rect(left=10, top=20, width=186, height=140)
    for count in range(1, 7):
        found = cells(region, count)
        views = [view for cell in found for view in arrange(cell)]
        boxes = [Bbox.from_bounds(view.left, view.top, view.width, view.height) for view in views]
        assert len(boxes) == 3 * count
        assert overlaps(boxes, 0) == []
        assert all(10 <= box.x0 < box.x1 <= 196.001 and 20 <= box.y0 < box.y1 <= 160.001 for box in boxes)
        assert min(min(view.width, view.height) for view in views) > 28
