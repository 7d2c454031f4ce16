"""What stands on the page: read back from its artists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.fixtures.worker.drawn_scans import (
    collisions,
    crowded,
    findings,
    placed,
    standing,
    words_of,
)
from worker.findings import Findings
from worker.lesions.uncertainty import Interval, SizeIntervals, Uncertainty
from worker.outputs.dicom.header import RESEARCH_SENTENCE
from worker.outputs.page.page import draw_page, write_page
from worker.outputs.page.sheet import DPI, Rect, Sheet, TextStyle, plain_style
from worker.outputs.page.table import COLUMNS
from worker.outputs.page.wording import DASH
from worker.staging.t_descriptor import TProposal

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
        assert collisions(paper, dpi) == []


def test_the_search_for_collisions_finds_each_kind() -> None:
    paper = Sheet(width_mm=100, height_mm=50)
    paper.picture(Rect(left=50, top=10, width=20, height=20), np.zeros((9, 9), np.uint8))
    for at, words in (((10, 10), "one"), ((12, 10.5), "two"), ((48, 20), "over"), ((95, 40), "leaving")):
        paper.text(at, words, TextStyle())
    paper.text((68, 15), "out", TextStyle(behind="black"))

    assert collisions(paper, DPI) == [
        "two touches one",
        "over runs over a picture",
        "leaving leaves the page",
        "out runs out of its picture",
    ]


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
