"""Content of the timeline pages, read back from their artists."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.transforms import Bbox

from tests.fixtures.worker.drawn_scans import (
    collisions,
    findings,
    ruler,
    scan_with_lesions,
    strings_of,
    struck_texts,
    texts_of,
    two_lesion_scan,
    with_lungs,
)
from tests.fixtures.worker.make_comparisons import STORY, LesionSpec, Seen, alone, ball, compared
from tests.fixtures.worker.measured import report_of
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.outputs.page.chart import tick_labels, ticks_of
from worker.outputs.page.page import draw_page, draw_pages, write_page
from worker.outputs.page.sections.lesion_timeline import CHANCE, MISSING
from worker.outputs.page.sections.timeline import cells, draw_timeline
from worker.outputs.page.sections.totals import NADIR, PARTIAL, PROGRESSION
from worker.outputs.page.sheet import DPI, LineStyle, Rect, Sheet, TextStyle, plain_style
from worker.outputs.page.timeline_wording import doubling_text, signed
from worker.recist.timepoints import State
from worker.report import Report

FINE_DPI = 4 * DPI


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with plain_style():
        yield


def with_comparison(comparison: Comparison, lesions: int = 3) -> Report:
    return report_of(with_lungs(findings(*scan_with_lesions(lesions))), comparison)


def uneven_days(scans: int) -> tuple[int, ...]:
    """Days of scans at uneven intervals, some of them short."""
    return tuple(np.cumsum([0, *([14, 100, 61, 7, 190] * 2)])[:scans].tolist())


def many_lesions(lesions: int, scans: int) -> Comparison:
    """Lesions that grow, shrink, vanish, return, appear, hide, merge and split."""
    days = uneven_days(scans)
    specs = [_spec(number, days) for number in range(1, lesions + 1)]
    return compared(specs, days)


def _spec(number: int, days: Sequence[int]) -> LesionSpec:
    diameters = [round(8 + 3.1 * (number % 9) + (number % 5 - 2) * 0.004 * each * (number % 3), 1) for each in days]
    seen: dict[int, Seen] = dict(zip(days, [max(4.0, each) for each in diameters], strict=True))
    last, later = days[-1], days[len(days) // 2 :]
    special_cases = {
        3: LesionSpec(number=number, seen={**seen, last: State.VANISHED}, event=Event.VANISHED),
        4: LesionSpec(number=number, seen={each: seen[each] for each in later}, event=Event.NEW),
        5: LesionSpec(
            number=number, seen={**seen, **dict.fromkeys(days[1:-1:2], State.NOT_EVALUABLE)}, event=Event.RETURNED
        ),
        6: LesionSpec(
            number=number,
            seen={**seen, **dict.fromkeys(later, State.MERGED)},
            event=Event.MERGED,
            merged_into=number - 1,
        ),
        7: LesionSpec(number=number, seen={last: 9.0}, event=Event.SPLIT, split_from=1),
        8: LesionSpec(number=number, seen={last: (State.DOUBTFUL, 9.0)}, event=Event.NEW, possible_match=2),
    }
    return special_cases.get(number % 9, LesionSpec(number=number, seen=seen))


def with_long_texts(comparison: Comparison) -> Comparison:
    """The comparison with the longest lesion names, and very long reasons."""
    registration = (
        replace(comparison.registration, reason="the lungs of one scan " * 9) if comparison.registration else None
    )
    return replace(
        comparison,
        reason="2 scans " * 40,
        registration=registration,
        lesions=tuple(replace(lesion, number=lesion.number + 900_000) for lesion in comparison.lesions),
    )


@pytest.mark.parametrize("kind", ["plain", "wordy"])
@pytest.mark.parametrize(("lesions", "scans"), [(0, 2), (1, 2), (1, 10), (5, 5), (13, 10), (40, 10)])
def test_no_text_overlaps_another_or_a_line_or_leaves_the_sheet(lesions: int, scans: int, kind: str) -> None:
    comparison = many_lesions(lesions, scans)

    for sheet in draw_timeline(with_comparison(comparison if kind == "plain" else with_long_texts(comparison))):
        for dpi in (DPI, FINE_DPI):
            sheet.figure.set_dpi(dpi)
            assert collisions(sheet, dpi) == []
        assert struck_texts(sheet, FINE_DPI) == []


def test_no_text_of_the_story_of_five_scans_overlaps_anything() -> None:
    (sheet,) = draw_timeline(with_comparison(compared()))

    assert collisions(sheet, DPI) == []
    assert struck_texts(sheet, DPI) == []


@pytest.mark.parametrize("statement", ComparisonStatus)
def test_the_first_page_has_room_for_the_statement(statement: ComparisonStatus) -> None:
    for lesions in (0, 3, 20):
        sheet = draw_page(with_comparison(alone(statement, "2 of 3 peers did not answer within 30 s " * 3), lesions))
        assert collisions(sheet, DPI) == []


def test_struck_finds_texts_under_lines_and_shapes() -> None:
    sheet = Sheet(width_mm=100, height_mm=50)
    for top, strings in ((10, "line"), (20, "box"), (30, "free")):
        sheet.text((10, top), strings, TextStyle())
    sheet.line([(5, 9), (40, 9)], LineStyle())
    sheet.box(Rect(left=5, top=15, width=40, height=10), "#eeeeee")

    assert struck_texts(sheet, DPI) == ["line is struck through", "box is struck through"]


def test_events_and_changes_of_the_story_are_written() -> None:
    strings = strings_of(draw_timeline(with_comparison(compared()))[0])

    assert {f"lesion-{number}" for number in range(1, 8)} <= set(strings)
    assert {
        "larger",
        "split",
        "split from lesion-2",
        "new, may be lesion-4",
        "vanished",
        "merged into lesion-1",
    } <= set(strings)
    assert {"with lesion-5", "without lesion-6", "split off", "new", "in doubt", "in lesion-1"} <= set(
        strings
    )  # by day
    assert strings.count("target") == 2  # the findings of the scan have other UIDs here, so the lesions have no number
    assert "10.31 \N{RIGHTWARDS ARROW} 14.14 ml, 30.0 \N{MULTIPLICATION SIGN} 30.0 mm" in strings
    assert "+37 % in 88 days (chance \N{MINUS SIGN}21 to +27 %)" in strings
    assert "doubles in 193 days (95 %: 110 to 792)" in strings
    assert "grown by Lung-RADS, Fleischner, BTS, NELSON" in strings
    assert "last measured on day 276: 0.11 ml, 6.0 \N{MULTIPLICATION SIGN} 6.0 mm" in strings


def test_the_response_is_proposed_with_its_arithmetic() -> None:
    strings = strings_of(draw_timeline(with_comparison(compared()))[0])
    joined = " ".join(strings)

    assert "Proposed response, RECIST 1.1: PD" in strings
    assert "Proposed by research software; a radiologist decides." in strings
    # 14 + 30 + 9 = 53 mm; 53 / 50 = 1.06; the nadir is 16 + 27 = 43 mm; 53 / 43 = 1.2325.
    assert "targets: lesion-2 14.0 + lesion-1 30.0 + lesion-6 9.0" in joined
    assert "sum 53.0 mm, baseline 50.0 mm: +6.0 %, nadir 43.0 mm: +23.2 % and +10.0 mm: PD" in joined
    assert [string for string in strings if string in {"SD", "PR", "PD", "baseline"}] == [
        "baseline",
        "SD",
        "SD",
        "PD",
        "PD",
    ]
    assert "progression was proposed on day 276" in joined
    assert "registration with the scan before: deformable, lungs 1.2 mm apart (95 %: 3.5 mm)" in joined


@pytest.mark.parametrize("statement", ComparisonStatus)
def test_each_statement_is_on_the_first_page(statement: ComparisonStatus) -> None:
    strings = strings_of(draw_page(with_comparison(alone(statement, "the peer was away since 2024-01-01"))))

    if statement is not ComparisonStatus.COMPARED:
        assert f"Follow-up: {statement}" in strings
    assert "the peer was away since a day" in strings
    assert draw_timeline(with_comparison(alone(statement))) == []


def test_the_first_page_refers_to_the_timeline() -> None:
    strings = strings_of(draw_pages(with_comparison(compared()))[0])

    assert "Follow-up: compared with 4 earlier scans, see the next page" in strings
    assert "RECIST 1.1, proposed: PD. Proposed by research software; a radiologist decides." in " ".join(strings)


def test_without_priors_there_is_one_page() -> None:
    assert len(draw_pages(with_comparison(alone(ComparisonStatus.NOT_QUERIED)))) == 1


def test_no_sheet_has_a_date() -> None:
    joined = " ".join(string for sheet in draw_pages(with_comparison(compared())) for string in strings_of(sheet))

    assert "5 scans, day 0\N{EN DASH}364" in joined
    assert not re.search(r"20\d\d-\d\d", joined)


def markers(sheet: Sheet, within: Bbox) -> list[tuple[float, float]]:
    """Centres of the circles in a part of the sheet, from left to right."""
    boxes = [shape.get_window_extent() for shape in sheet.figure.findobj(Polygon) if isinstance(shape, Polygon)]
    centres = [((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for box in boxes]
    return sorted(centre for centre in centres if within.contains(*centre))


def region_box(sheet: Sheet, rect: Rect) -> Bbox:
    height = sheet.figure.bbox.height
    scale = DPI / 25.4
    return Bbox.from_extents(
        rect.left * scale, height - rect.bottom * scale, rect.right * scale, height - rect.top * scale
    )


def vertical_scale(sheet: Sheet, within: Bbox) -> tuple[float, float]:
    """Position of 0 and pixels per unit, read from the numbers beside the axis."""
    places = {}
    for text in texts_of(sheet):
        box = text.get_window_extent(ruler(DPI))
        number = re.fullmatch(r"([\d.]+)( ml| mm)?", text.get_text())
        if number and text.get_horizontalalignment() == "right" and within.contains(box.x0, (box.y0 + box.y1) / 2):
            places[float(number[1])] = (box.y0 + box.y1) / 2
    top = max(places)
    return places[0.0], (places[top] - places[0.0]) / top


SIDE = Rect(left=9, top=19.5, width=88, height=44)
SUM = Rect(left=9, top=66.5, width=88, height=54)
ALONE = Rect(left=103, top=19.5, width=112, height=82)


def test_volumes_are_drawn_at_the_values_of_the_axis() -> None:
    diameters = {0: 20.0, 92: 22.0, 184: 24.0, 276: 27.0, 364: 30.0}
    (sheet,) = draw_timeline(with_comparison(compared([LesionSpec(number=1, seen=diameters)])))
    for rect in (ALONE, SIDE):  # the burden of one lesion is its volume
        chart = region_box(sheet, rect)
        zero, per_ml = vertical_scale(sheet, chart)

        points = markers(sheet, chart)

        assert [(y - zero) / per_ml for _, y in points] == pytest.approx(
            [math.pi / 6 * diameter**3 / 1000 for diameter in diameters.values()], abs=0.15
        )
        first, last = points[0][0], points[-1][0]
        assert [364 * (x - first) / (last - first) for x, _ in points] == pytest.approx(list(diameters), abs=0.5)


def test_repeatability_limits_are_shaded_from_the_previous_scan() -> None:
    (sheet,) = draw_timeline(with_comparison(compared([LesionSpec(number=1, seen={0: 20.0, 90: 20.5})], (0, 90))))
    chart = region_box(sheet, ALONE)
    zero, per_ml = vertical_scale(sheet, chart)
    (shade,) = (
        shape.get_window_extent()
        for shape in sheet.figure.findobj(Rectangle)
        if isinstance(shape, Rectangle)
        and to_hex(shape.get_facecolor()) == CHANCE
        and chart.contains(*shape.get_window_extent().get_points()[0])
    )

    # Gietema 2007 and BTS: an unchanged lesion repeats within about -21 and +27 %.
    volume = ball(20.0).volume_ml
    assert (shade.y1 - zero) / per_ml == pytest.approx(1.27 * volume, abs=0.05)
    assert (shade.y0 - zero) / per_ml == pytest.approx(volume / 1.27, abs=0.05)
    assert [shade.x0, shade.x1] == pytest.approx([x for x, _ in markers(sheet, chart)], abs=1)


def test_a_volume_after_a_merge_is_not_compared_with_the_one_before() -> None:
    merged = [
        LesionSpec(number=1, seen={0: 20.0, 90: 26.0, 180: 26.0}),
        LesionSpec(number=2, seen={0: 19.0, 90: State.MERGED, 180: State.MERGED}, merged_into=1, event=None),
    ]
    (sheet,) = draw_timeline(with_comparison(compared(merged, (0, 90, 180))))

    shades = [
        shape
        for shape in sheet.figure.findobj(Rectangle)
        if isinstance(shape, Rectangle) and to_hex(shape.get_facecolor()) == CHANCE
    ]
    assert len(shades) == 2  # from day 90 to 180, and the legend's
    assert "with lesion-2" in strings_of(sheet)


def test_a_lesion_is_named_by_its_number_and_a_target_is_called_so() -> None:
    strings = strings_of(draw_timeline(with_comparison(compared(STORY[:1]), lesions=2))[0])

    assert "lesion-1" in strings
    assert "target" in strings


def level_heights(sheet: Sheet, line_style: LineStyle, within: Bbox) -> list[float]:
    """Heights of the horizontal lines of this style."""
    lines = [
        line.get_transform().transform(line.get_xydata())
        for line in sheet.figure.findobj(Line2D)
        if isinstance(line, Line2D)
        and line.get_color() == line_style.colour
        and line.get_linewidth() == line_style.width_pt
    ]
    return [ends[0][1] for ends in lines if ends[0][1] == ends[1][1] and within.contains(*ends[0])]


def test_the_sum_is_drawn_against_nadir_response_and_progression() -> None:
    lesions = [
        LesionSpec(number=1, seen={0: 30.0, 90: 20.0, 180: 25.0}),
        LesionSpec(number=2, seen={0: 20.0, 90: 12.0, 180: 12.0}),
    ]
    (sheet,) = draw_timeline(with_comparison(compared(lesions, (0, 90, 180))))
    chart = region_box(sheet, SUM)
    zero, per_mm = vertical_scale(sheet, chart)

    assert [(y - zero) / per_mm for _, y in markers(sheet, chart)] == pytest.approx([50, 32, 37], abs=0.3)
    for line_style, expected_mm in ((PARTIAL, 35.0), (NADIR, 32.0), (PROGRESSION, 38.4)):
        assert [(y - zero) / per_mm for y in level_heights(sheet, line_style, chart)] == pytest.approx(
            [expected_mm], abs=0.3
        )
    strings = strings_of(sheet)
    assert {"37.0 mm now", "nadir: 32.0", "PR, \N{MINUS SIGN}30 %: 35.0", "PD, +20 %: 38.4"} <= set(strings)


def test_from_a_small_nadir_progression_takes_5_mm() -> None:
    lesions = [LesionSpec(number=1, seen={0: 14.0, 90: 12.0, 180: 13.0})]
    strings = strings_of(draw_timeline(with_comparison(compared(lesions, (0, 90, 180))))[0])

    assert "PD, +5 mm: 17.0" in strings


def test_a_vanished_lesion_has_a_cross_and_a_returned_one_a_label() -> None:
    seen: dict[int, Seen] = {0: 12.0, 90: State.VANISHED, 180: 9.0}
    (sheet,) = draw_timeline(
        with_comparison(compared([LesionSpec(number=1, seen=seen, event=Event.RETURNED)], (0, 90, 180)))
    )
    strings = strings_of(sheet)

    assert "vanished" in strings
    assert strings.count("returned") == 2
    assert len(markers(sheet, region_box(sheet, ALONE))) == 2


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.TOO_SMALL, "too small"), (State.NOT_EVALUABLE, "not evaluable"), (State.DOUBTFUL, "in doubt")],
)
def test_a_lesion_without_sizes_has_its_state_as_label(state: State, expected: str) -> None:
    comparison = compared([LesionSpec(number=1, seen={0: 12.0, 90: 12.0, 180: state})], (0, 90, 180))

    assert expected in strings_of(draw_timeline(with_comparison(comparison))[0])


def test_an_incomplete_burden_is_marked_as_at_least() -> None:
    hidden = LesionSpec(number=9, seen={0: 20.0, 364: State.NOT_EVALUABLE})

    assert "Burden, all lesions (white: at least)" in strings_of(
        draw_timeline(with_comparison(compared([*STORY, hidden])))[0]
    )
    assert "Burden, all lesions" in strings_of(draw_timeline(with_comparison(compared()))[0])


def test_many_lesions_continue_on_further_sheets_and_the_rest_is_counted() -> None:
    assert len(draw_timeline(with_comparison(many_lesions(12, 3)))) == 1
    assert len(draw_timeline(with_comparison(many_lesions(32, 3)))) == 2
    sheets = draw_timeline(with_comparison(many_lesions(100, 3)))
    assert len(sheets) == 5
    assert any(
        "8 more lesions stand in findings.json." in string for string in strings_of(sheets[-1])
    )  # 12 + 4 * 20 = 92
    named = [string for sheet in sheets for string in strings_of(sheet) if re.fullmatch(r"lesion-\d+", string)]
    assert named == [f"lesion-{number}" for number in range(1, 93)]


def test_charts_fill_their_region_and_never_overlap() -> None:
    region = Rect(left=10, top=20, width=186, height=170)
    for count in range(1, 21):
        boxes = [Bbox.from_bounds(each.left, each.top, each.width, each.height) for each in cells(region, count, 5)]
        assert len(boxes) == count
        assert all(box.x0 >= 10 and box.x1 <= 196.001 and box.y0 >= 20 and box.y1 <= 190.001 for box in boxes)
        assert all(
            one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
            for number, one in enumerate(boxes)
            for other in boxes[:number]
        )


@pytest.mark.parametrize(
    ("top", "min_steps", "ticks"),
    [
        (16.0, 2, [0, 5, 10, 15]),
        (16.0, 3, [0, 5, 10, 15]),
        (0.43, 2, [0, 0.2, 0.4]),
        (107.0, 2, [0, 50, 100]),
        (2.0, 2, [0, 1, 2]),
    ],
)
def test_ticks_are_round(top: float, min_steps: int, ticks: list[float]) -> None:
    assert ticks_of(top, min_steps) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0, 5, 10, 15], ["0", "5", "10", "15"]),
        ([0, 0.25, 0.5], ["0.00", "0.25", "0.50"]),
        ([0, 0.1, 0.2], ["0.0", "0.1", "0.2"]),
        ([0, 0.00005, 0.0001], ["0.00000", "0.00005", "0.00010"]),
        ([0, 100_000, 200_000], ["0", "100000", "200000"]),
    ],
)
def test_numbers_have_the_decimals_of_their_step(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


def test_changes_are_whole_percent_with_their_sign() -> None:
    assert [signed(value) for value in (37.2, -12.6, 0.2, -0.2)] == ["+37", "\N{MINUS SIGN}13", "0", "0"]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((100.0, 80.0, 130.0), "doubles in 100 days (95 %: 80 to 130)"),
        ((100.0, 60.0, -300.0), "doubles in 100 days (95 %: 60 to never)"),
        ((-50.0, -80.0, -40.0), "halves in 50 days (95 %: 40 to 80)"),
        ((-50.0, 300.0, -40.0), "halves in 50 days (95 %: 40 to never)"),
        ((None, 132.0, -140.0), "unchanged (at the fastest doubles in 132, halves in 140 days)"),
    ],
)
def test_the_text_of_a_doubling_time(ends: tuple[float | None, float, float], expected: str) -> None:
    days, fastest, slowest = ends

    assert doubling_text(DoublingTime(days=days, fastest_days=fastest, slowest_days=slowest)) == expected


def test_the_timeline_is_in_the_pdf_and_in_a_separate_png(tmp_path: Path) -> None:
    scan_findings = report_of(findings(*two_lesion_scan()), compared())

    first, second = write_page(scan_findings, tmp_path / "one"), write_page(scan_findings, tmp_path / "two")

    assert [path.name for path in first] == ["report.png", "report.pdf", "report-2.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    pdf = first[1].read_bytes()
    assert pdf.count(b"/Type /Page ") == 2
    assert b"Date" not in pdf


def test_no_text_is_too_small_to_be_read() -> None:
    for sheet in draw_timeline(with_comparison(many_lesions(40, 10))):
        assert min(float(text.get_fontsize()) for text in texts_of(sheet)) >= 4.5


def test_an_incomplete_sum_is_not_joined_by_a_line() -> None:
    hidden: dict[int, Seen] = {0: 20.0, 90: State.NOT_EVALUABLE, 180: 20.0}
    lesions = [LesionSpec(number=1, seen=hidden), LesionSpec(number=2, seen={0: 30.0, 90: 30.0, 180: 30.0})]
    (sheet,) = draw_timeline(with_comparison(compared(lesions, (0, 90, 180))))
    chart = region_box(sheet, SUM)
    zero, per_mm = vertical_scale(sheet, chart)

    # 50, at least 30, and 50 mm: a line joins only the first and the last.
    assert [(y - zero) / per_mm for _, y in markers(sheet, chart)] == pytest.approx([50, 30, 50], abs=0.3)
    assert [(y - zero) / per_mm for y in level_heights(sheet, MISSING, chart)] == pytest.approx([50], abs=0.3)
