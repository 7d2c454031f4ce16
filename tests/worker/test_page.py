"""What stands on the page and where: read back from its artists and from its pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from tests.worker.drawn_scans import (
    BOXES,
    TURNS,
    crowded,
    cut,
    extent_of,
    findings,
    overlaps,
    pictures_of,
    pixels_of,
    placed,
    ruler,
    standing,
    stored_otherwise,
    texts_of,
    words_of,
)
from worker.findings import Findings
from worker.outputs.identity import RESEARCH_SENTENCE
from worker.outputs.page import draw_page, write_page
from worker.outputs.page_lesions import LONG, OUTLINE, SHORT, arrange, cells
from worker.outputs.page_overview import FILL, LOWER, MIDDLE, UPPER, spread_out
from worker.outputs.page_table import COLUMNS
from worker.outputs.paper import DPI, PALE, Ink, Paper, Rect, plain_style
from worker.outputs.wording import DASH
from worker.staging import TProposal
from worker.uncertainty import Interval, SizeIntervals, Uncertainty

RIM_PX = 1.0
FINE_DPI = 4 * DPI
"""Where letters are hardly rounded to pixels, as in the PDF."""


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with plain_style():
        yield


def wordy(made: Findings) -> Findings:
    """Every text as long as it can be."""
    long = TProposal(
        descriptor="T1mi(12)", basis=tuple(f"clause {n} that says " + "very much " * 9 for n in range(20)), m1a=True
    )
    spread = None if made.spread is None else replace(made.spread, proposal=long, burden_ml=123456.789)
    return replace(
        made,
        series_uid="2.25." + "9" * 59,
        card=replace(made.card, name="model_" * 40, version="1.2.3+" + "x" * 60),
        spread=spread,
    )


@pytest.mark.parametrize("kind", ["bare", "placed", "wordy"])
@pytest.mark.parametrize("lesions", [0, 1, 3, 6, 20, 40])
def test_no_text_touches_another_or_a_picture_and_none_leaves_the_page(lesions: int, kind: str) -> None:
    made = findings(*crowded(lesions))
    assert len(made.findings) == lesions
    paper = draw_page(made if kind == "bare" else placed(made) if kind == "placed" else wordy(placed(made)))

    for dpi in (DPI, FINE_DPI):
        paper.figure.set_dpi(dpi)
        assert _collisions(paper, dpi) == []


def _collisions(paper: Paper, dpi: int) -> list[str]:
    """What overlaps, runs over a picture, out of its picture or out of the sheet."""
    texts, pictures, sheet = texts_of(paper), pictures_of(paper), Bbox.from_extents(*paper.figure.bbox.extents)
    boxes = [text.get_window_extent(ruler(dpi)) for text in texts]
    rim = RIM_PX * dpi / DPI
    found = [f"{texts[i].get_text()} touches {texts[j].get_text()}" for i, j in overlaps(boxes, rim)]
    found += [f"picture {i} touches picture {j}" for i, j in overlaps(pictures, rim)]
    for text, box in zip(texts, boxes, strict=True):
        if box.x0 < 0 or box.y0 < 0 or box.x1 > sheet.x1 or box.y1 > sheet.y1:
            found.append(f"{text.get_text()} leaves the page")
        touched = [picture for picture in pictures if overlaps([box, picture], rim)]
        if text.get_bbox_patch() is None and touched:
            found.append(f"{text.get_text()} runs over a picture")
        if text.get_bbox_patch() is not None and overlaps([box, *_beside(touched[0], sheet)], rim):
            found.append(f"{text.get_text()} runs out of its picture")
    return found


def _beside(box: Bbox, sheet: Bbox) -> list[Bbox]:
    """The parts of the sheet left, right, below and above a box; they share no area with each other."""
    return [
        Bbox.from_extents(0, 0, box.x0, sheet.y1),
        Bbox.from_extents(box.x1, 0, sheet.x1, sheet.y1),
        Bbox.from_extents(box.x0, 0, box.x1, box.y0),
        Bbox.from_extents(box.x0, box.y1, box.x1, sheet.y1),
    ]


def test_the_search_for_collisions_finds_each_kind() -> None:
    paper = Paper(width_mm=100, height_mm=50)
    paper.picture(Rect(left=50, top=10, width=20, height=20), np.zeros((9, 9), np.uint8))
    for at, words in (((10, 10), "one"), ((12, 10.5), "two"), ((48, 20), "over"), ((95, 40), "leaving")):
        paper.text(at, words, Ink())
    paper.text((68, 15), "out", Ink(behind="black"))

    assert _collisions(paper, DPI) == [
        "two touches one",
        "over runs over a picture",
        "leaving leaves the page",
        "out runs out of its picture",
    ]


@pytest.mark.parametrize(("order", "turned"), [((0, 1, 2), ()), *TURNS], ids=str)
def test_outlines_and_axes_lie_on_the_lesion_however_it_is_stored(
    order: tuple[int, int, int], turned: tuple[int, ...]
) -> None:
    hu, marked, affine = standing()
    marked[BOXES[1]] = False  # 33 x 17 x 11 mm (head to feet, front to back, right to left) are left
    made = stored_otherwise((hu, marked, affine), order, turned)
    paper = draw_page(made)
    pixels, (_, axial, coronal, sagittal) = pixels_of(paper), pictures_of(paper)
    scale = _pixels_per_mm(paper)

    for picture, wide_mm, high_mm in ((axial, 11, 17), (coronal, 11, 33), (sagittal, 17, 33)):
        view = cut(pixels, picture)
        left, right, top, bottom = extent_of(view, OUTLINE.colour)
        # Half of a line of 1.1 pt lies outside of the outline.
        assert (right - left - 2.6) / scale == pytest.approx(wide_mm, abs=0.4)
        assert (bottom - top - 2.6) / scale == pytest.approx(high_mm, abs=0.4)
        bright = view.min(axis=2) > 200
        inside = bright[round(top) + 5 : round(bottom) - 5, round(left) + 5 : round(right) - 5]
        beside = bright[round(top) + 5 : round(bottom) - 5, : round(left) - 5]
        assert inside.mean() > 0.8  # the rest is the axes
        assert beside.mean() < 0.05  # marks of the sides

    view = cut(pixels, axial)
    centre = np.array(extent_of(view, OUTLINE.colour)).reshape(2, 2).mean(axis=1)
    for trace, axis in (
        (LONG, made.findings[0].measurement.long_axis),
        (SHORT, made.findings[0].measurement.short_axis),
    ):
        ends = np.array([axis.start_mm, axis.end_mm])[:, :2] - _middle_mm()
        expected = [*sorted(centre[0] + ends[:, 0] * scale), *sorted(centre[1] + ends[:, 1] * scale)]
        assert extent_of(view, trace.colour, 12) == pytest.approx(expected, abs=4)


def _middle_mm() -> tuple[float, float]:
    """x and y of the middle of the first box."""
    return 11.0 - 25, 18.0 - 30


def _pixels_per_mm(paper: Paper) -> float:
    """Read from the scale bar of the first view: its length in pixels, and in mm as written."""
    lines = [
        line for line in paper.figure.findobj(Line2D) if isinstance(line, Line2D) and line.get_color() == "#ffffff"
    ]
    box = lines[0].get_window_extent(ruler(DPI))
    said = next(match for word in words_of(paper) if (match := re.fullmatch(r"(\d+) mm", word)))
    width = np.ptp(lines[0].get_transform().transform(lines[0].get_xydata())[:, 0])
    assert width <= box.width
    return float(width) / float(said[1])


@pytest.mark.parametrize(("order", "turned"), [((0, 1, 2), ()), *TURNS], ids=str)
def test_front_head_and_right_lie_where_the_letters_say(order: tuple[int, int, int], turned: tuple[int, ...]) -> None:
    hu, marked, affine = standing()
    marked[BOXES[1]] = False
    hu[BOXES[1]] = -800
    # Bright spots beside the lesion at slice 8 to 19, row 10 to 27, column 6 to 17: left of, in front of and above it.
    for spot in (np.s_[8:19, 10:27, 24:27], np.s_[8:19, 3:6, 6:17], np.s_[5:7, 10:27, 6:17]):
        hu[spot] = 30
    paper = draw_page(stored_otherwise((hu, marked, affine), order, turned))
    pixels, (_, *views) = pixels_of(paper), pictures_of(paper)

    brightest = [_brightest_sides(cut(pixels, view)) for view in views]

    assert brightest == [{"right", "top"}, {"right", "top"}, {"left", "top"}]
    marks = [word for word in words_of(paper) if word in "RLAPHF"]
    assert [marks[i : i + 4] for i in range(2, 14, 4)] == [list("RLAP"), list("RLHF"), list("APHF")]


def _brightest_sides(view: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> set[str]:
    """Where, beside its outline, something bright is seen; the marks at the edges are left out."""
    left, right, top, bottom = (round(edge) for edge in extent_of(view, OUTLINE.colour))
    bright, edge = view.min(axis=2) > 180, 30
    sides = {
        "left": bright[top:bottom, edge : left - 4],
        "right": bright[top:bottom, right + 4 : -edge],
        "top": bright[edge : top - 4, left:right],
        "bottom": bright[bottom + 4 : -edge, left:right],
    }
    return {name for name, part in sides.items() if part.mean() > 0.02}


def test_lobes_and_lesions_lie_in_the_overview_as_in_the_body() -> None:
    made = placed(findings(*standing()))
    paper = draw_page(made)
    view = cut(pixels_of(paper), pictures_of(paper)[0])

    # Lesion 1 ends at column 16 and slice 18, the right upper lobe at columns 4 and 21; the second lesion's box is
    # columns 30 to 38, slices 22 to 24. Slices run downwards, 3 mm each; the lobes' grid is twice as coarse.
    left, right, top, bottom = extent_of(view, FILL, 12)
    scale = (right - left) / (38.5 - 5.5)
    assert (bottom - top) / scale == pytest.approx(3 * (24.5 - 7.5), abs=1.5)
    upper = extent_of(view, UPPER.colour, 60)
    assert (upper[0] - left) / scale == pytest.approx((3 - 5.5), abs=2.5)
    assert (upper[1] - left) / scale == pytest.approx((45 - 5.5), abs=2.5)
    assert (upper[3] - top) / scale == pytest.approx(3 * (29 - 7.5), abs=6)


def test_numbers_stand_on_the_side_of_their_lesions() -> None:
    paper = draw_page(findings(*standing()))
    overview, renderer = pictures_of(paper)[0], ruler(DPI)
    one, two = (
        next(text.get_window_extent(renderer) for text in texts_of(paper) if text.get_text() == number)
        for number in ("1", "2")
    )

    assert overview.x0 - 20 < one.x1 < overview.x0
    assert overview.x1 < two.x0 < overview.x1 + 20


def test_numbers_that_lie_close_are_spread_out_in_their_order() -> None:
    assert spread_out([1, 5, 9], 2, 0, 10) == [1, 5, 9]
    assert spread_out([5, 5, 5], 2, 0, 10) == [5, 7, 9]
    assert spread_out([9, 9.5, 10], 2, 0, 10) == [6, 8, 10]
    assert spread_out([3] * 11, 2, 0, 10) == pytest.approx(list(range(11)))
    assert spread_out([], 2, 0, 10) == []


def test_every_lesion_has_its_line_in_the_table() -> None:
    words = words_of(draw_page(placed(findings(*crowded(20)))))

    assert "The 6 largest of 20 lesions" in words
    for column in COLUMNS:
        assert column.title in words
    for number in range(1, 21):
        assert words.count(str(number)) >= 2  # in the overview and in the table


def test_a_long_table_ends_and_says_where_the_rest_stands() -> None:
    words = words_of(draw_page(placed(findings(*crowded(40)))))

    assert any(word.startswith("15 more lesions stand in findings.json.") for word in words)
    assert "25" in words
    assert "26" not in words


def test_the_table_holds_sizes_with_their_intervals() -> None:
    made = findings(*standing())
    first = made.findings[0]
    sure = Uncertainty(
        volume_ml=Interval(low=5.5, high=6.75),
        long_axis_mm=Interval(low=18, high=22.25),
        short_axis_mm=Interval(low=1, high=2),
        another_reader=SizeIntervals(
            volume_ml=Interval(low=3, high=12.345),
            long_axis_mm=Interval(low=15, high=30),
            short_axis_mm=Interval(low=1, high=3),
        ),
    )
    words = words_of(draw_page(replace(made, findings=(replace(first, uncertainty=sure), *made.findings[1:]))))

    volume = 33 * 17 * 11 / 1000
    assert f"{volume:.2f} (5.50{DASH}6.75)" in words
    assert f"{first.measurement.long_axis.length_mm:.1f} (18.0{DASH}22.2)" in words
    assert f"{first.measurement.short_axis.length_mm:.1f} (1.0{DASH}2.0)" in words
    assert f"3.00{DASH}12.35" in words or f"3.00{DASH}12.34" in words
    assert f"15.0{DASH}30.0" in words


def test_the_spread_names_burden_lobes_and_the_proposal_with_its_basis() -> None:
    made = placed(findings(*standing()))
    words = words_of(draw_page(made))
    assert made.spread is not None
    assert made.spread.proposal is not None

    assert any(word.startswith("Burden 6.58 ml") for word in words)  # 33 x 17 x 11 and 9 x 5 x 9 mm
    assert {"right upper", "right middle", "right lower", "left upper", "left lower"} <= set(words)
    assert f"Proposal, TNM 9: {made.spread.proposal.descriptor}" in words
    assert "From the outlines alone; N and any other M are not assessed." in words
    joined = " ".join(words)
    for clause in made.spread.proposal.basis:
        assert clause in joined


def test_what_was_not_determined_is_a_dash() -> None:
    made = findings(*standing())
    bare = tuple(
        replace(f, measurement=replace(f.measurement, shape=None, intensity=None, density=None)) for f in made.findings
    )
    words = words_of(draw_page(replace(made, findings=bare)))

    assert (
        words.count(DASH) == 2 * 10
    )  # lobe, twice another reader, 3D, consistency, solid, mass, wall, mediastinum, flags
    assert "not determined" in words


def test_a_scan_without_a_lesion_says_so() -> None:
    hu, marked, affine = standing()

    words = words_of(draw_page(findings(hu, marked & False, affine)))

    assert "No lesion was found." in words
    assert "no lesion" in words


def test_the_page_says_what_made_it_and_of_which_series() -> None:
    words = words_of(draw_page(findings(*standing())))

    assert {"LungSpread", RESEARCH_SENTENCE, "2 lesions"} <= set(words)
    assert any(word.startswith("Series 1.2.2 ") and "lung_tumour 1, weights 0123456789ab" in word for word in words)


def test_text_is_dark_enough_to_be_read() -> None:
    for text in texts_of(draw_page(placed(findings(*crowded(6))))):
        patch = text.get_bbox_patch()
        behind = PALE if patch is None else patch.get_facecolor()
        assert _contrast(text.get_color(), behind) >= 4.5  # type: ignore[arg-type]  # WCAG 2.1, 1.4.3


def _contrast(one: str, other: str) -> float:
    """WCAG 2.1: the ratio of relative luminances."""
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
@pytest.mark.parametrize("together", [(OUTLINE, LONG, SHORT), (UPPER, MIDDLE, LOWER)], ids=["views", "overview"])
def test_lines_of_one_picture_differ_for_every_kind_of_colour_vision(
    blindness: str, together: tuple[object, ...]
) -> None:
    seen = [np.clip(np.array(BLINDNESS[blindness]) @ _linear(trace.colour), 0, 1) for trace in together]  # type: ignore[attr-defined]

    lab = [_lab(colour) for colour in seen]

    for i, one in enumerate(lab):
        for other in lab[:i]:
            assert np.linalg.norm(one - other) > 20  # CIE 1976; 2.3 is just seen


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


def test_the_same_findings_write_the_same_bytes(tmp_path: Path) -> None:
    made = placed(findings(*standing()))

    first, second = write_page(made, tmp_path / "one"), write_page(made, tmp_path / "two")

    assert [path.name for path in first] == ["report.png", "report.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_pdf_is_one_a4_page_with_its_fonts_in_it_and_no_date(tmp_path: Path) -> None:
    pdf = write_page(findings(*standing()), tmp_path)[1].read_bytes()

    assert pdf.count(b"/Type /Page ") == 1
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf).groups())  # type: ignore[union-attr]
    assert (width / 72 * 25.4, height / 72 * 25.4) == pytest.approx((297, 210), abs=0.1)
    kinds = re.findall(rb"/Type /Font\b.*?/Subtype /(\w+)", pdf, re.DOTALL)
    assert kinds
    assert set(kinds) == {b"Type3"}  # their glyphs are drawn in the file itself
    assert pdf.count(b"/ToUnicode") == len(kinds)
    assert b"Date" not in pdf


def test_the_png_is_a4_at_a_sensible_size(tmp_path: Path) -> None:
    pixels = imread(write_page(findings(*standing()), tmp_path)[0])

    assert pixels.shape[:2] == (1405, 1987)
    assert pixels[:40].min() == 1  # a white margin


def test_the_machine_s_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    made = findings(*standing())
    expected = write_page(made, tmp_path / "plain")[0].read_bytes()
    with matplotlib.rc_context({"font.family": "serif", "lines.linewidth": 9, "savefig.facecolor": "red"}):
        assert write_page(made, tmp_path / "styled")[0].read_bytes() == expected
