"""Accessibility of the page: contrast, colour vision deficiency, black and white."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.fixtures.worker.drawn_scans import (
    findings,
    scan_with_lesions,
    texts_of,
    with_lungs,
)
from tests.fixtures.worker.make_comparisons import compared
from tests.fixtures.worker.measured import report_of
from worker.outputs.page.lesion_view import LONG, OUTLINE, SHORT
from worker.outputs.page.page import draw_page
from worker.outputs.page.sections.lesion_timeline import BEYOND, CHANCE, CURVE, FIRST
from worker.outputs.page.sections.overview import LOWER, MIDDLE, UPPER
from worker.outputs.page.sections.timeline import draw_timeline
from worker.outputs.page.sections.totals import NADIR, PARTIAL, PROGRESSION
from worker.outputs.page.sheet import BLACK, PALE, WHITE, LineStyle, Sheet, plain_style


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with plain_style():
        yield


@pytest.fixture(params=["scan", "course"])
def sheet(request: pytest.FixtureRequest) -> Sheet:
    scan_findings = with_lungs(findings(*scan_with_lesions(6)))
    return (
        draw_page(report_of(scan_findings))
        if request.param == "scan"
        else draw_timeline(report_of(scan_findings, compared()))[0]
    )


def test_text_has_enough_contrast(sheet: Sheet) -> None:
    for text in texts_of(sheet):
        patch = text.get_bbox_patch()
        behind = PALE if patch is None else patch.get_facecolor()
        assert _contrast(text.get_color(), behind) >= 4.5  # type: ignore[arg-type]  # WCAG 2.1, 1.4.3


def _contrast(one: str, other: str) -> float:
    """WCAG 2.1: contrast ratio of relative luminances."""
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    return float(_linear(colour) @ (0.2126, 0.7152, 0.0722))


def _linear(colour: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0: protanopia, deuteranopia, tritanopia.
BLINDNESS = {
    "none": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize(
    "line_styles",
    [(OUTLINE, LONG, SHORT), (UPPER, MIDDLE, LOWER), (CURVE, PARTIAL, NADIR, PROGRESSION)],
    ids=["views", "overview", "sum"],
)
def test_lines_of_one_picture_differ_for_every_kind_of_colour_vision(
    blindness: str, line_styles: tuple[LineStyle, ...]
) -> None:
    perceived = [
        np.clip(np.array(BLINDNESS[blindness]) @ _linear(line_style.colour), 0, 1) for line_style in line_styles
    ]

    lab = [_lab(colour) for colour in perceived]

    for i, one in enumerate(lab):
        for other in lab[:i]:
            assert np.linalg.norm(one - other) > 20  # CIE 1976; 2.3 is just noticeable


def _lab(
    linear: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """CIE L*a*b* under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = (to_xyz @ linear) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lines_differ_without_colours_too() -> None:
    assert LONG.dashes != SHORT.dashes
    assert len({UPPER.dashes, MIDDLE.dashes, LOWER.dashes}) == 3
    assert len({CURVE.dashes, PARTIAL.dashes, NADIR.dashes, PROGRESSION.dashes}) == 4


def test_marker_fills_differ_in_grey_and_from_the_shade_behind_them() -> None:
    for one, other in ((WHITE, BEYOND), (WHITE, FIRST), (BEYOND, FIRST)):
        assert _contrast(one, other) >= 1.4
    assert _contrast(CURVE.colour, CHANCE) >= 3  # WCAG 2.1, 1.4.11
    assert _contrast(BLACK, CHANCE) >= 3  # their edges
