"""Content of the page, read back from its artists."""

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
    findings,
    scan_with_lesions,
    strings_of,
    two_lesion_scan,
    with_lungs,
)
from tests.fixtures.worker.measured import report_of
from worker.findings import Findings
from worker.lesions.uncertainty import Interval, SizeIntervals, Uncertainty
from worker.outputs.page.page import draw_page, write_page
from worker.outputs.page.sheet import DPI, Rect, Sheet, TextStyle, plain_style
from worker.outputs.page.table import COLUMNS
from worker.outputs.page.wording import DASH
from worker.product import RESEARCH_SENTENCE
from worker.staging.t_descriptor import TProposal

FINE_DPI = 4 * DPI
"""Resolution at which letters are hardly rounded to pixels, as in the PDF."""


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with plain_style():
        yield


def with_long_texts(scan_findings: Findings) -> Findings:
    """The findings with very long texts."""
    long = TProposal(
        descriptor="T1mi(12)", basis=tuple(f"clause {n} that says " + "very much " * 9 for n in range(20)), m1a=True
    )
    spread = (
        None if scan_findings.extent is None else replace(scan_findings.extent, proposal=long, burden_ml=123456.789)
    )
    return replace(
        scan_findings,
        series_uid="2.25." + "9" * 59,
        card=replace(scan_findings.card, name="model_" * 40, version="1.2.3+" + "x" * 60),
        extent=spread,
    )


@pytest.mark.parametrize("kind", ["bare", "placed", "wordy"])
@pytest.mark.parametrize("lesions", [0, 1, 3, 6, 20, 40])
def test_no_text_overlaps_another_or_a_picture_or_leaves_the_page(lesions: int, kind: str) -> None:
    scan_findings = findings(*scan_with_lesions(lesions))
    assert len(scan_findings.findings) == lesions
    sheet = draw_page(
        report_of(
            scan_findings
            if kind == "bare"
            else with_lungs(scan_findings)
            if kind == "placed"
            else with_long_texts(with_lungs(scan_findings))
        )
    )

    for dpi in (DPI, FINE_DPI):
        sheet.figure.set_dpi(dpi)
        assert collisions(sheet, dpi) == []


def test_collisions_finds_each_kind() -> None:
    sheet = Sheet(width_mm=100, height_mm=50)
    sheet.picture(Rect(left=50, top=10, width=20, height=20), np.zeros((9, 9), np.uint8))
    for at, strings in (((10, 10), "one"), ((12, 10.5), "two"), ((48, 20), "over"), ((95, 40), "leaving")):
        sheet.text(at, strings, TextStyle())
    sheet.text((68, 15), "out", TextStyle(behind="black"))

    assert collisions(sheet, DPI) == [
        "two touches one",
        "over runs over a picture",
        "leaving leaves the page",
        "out runs out of its picture",
    ]


def test_every_lesion_has_a_row_in_the_table() -> None:
    strings = strings_of(draw_page(report_of(with_lungs(findings(*scan_with_lesions(20))))))

    assert "The 6 largest of 20 lesions" in strings
    for column in COLUMNS:
        assert column.title in strings
    for number in range(1, 21):
        assert strings.count(str(number)) >= 2  # in the overview and in the table


def test_a_long_table_is_cut_and_refers_to_findings_json() -> None:
    strings = strings_of(draw_page(report_of(with_lungs(findings(*scan_with_lesions(40))))))

    assert any(string.startswith("15 more lesions stand in findings.json.") for string in strings)
    assert "25" in strings
    assert "26" not in strings


def test_the_table_holds_sizes_with_their_intervals() -> None:
    scan_findings = findings(*two_lesion_scan())
    first = scan_findings.findings[0]
    uncertainty = Uncertainty(
        volume_ml=Interval(low=5.5, high=6.75),
        long_axis_mm=Interval(low=18, high=22.25),
        short_axis_mm=Interval(low=1, high=2),
        another_reader=SizeIntervals(
            volume_ml=Interval(low=3, high=12.345),
            long_axis_mm=Interval(low=15, high=30),
            short_axis_mm=Interval(low=1, high=3),
        ),
    )
    strings = strings_of(
        draw_page(
            report_of(
                replace(scan_findings, findings=(replace(first, uncertainty=uncertainty), *scan_findings.findings[1:]))
            )
        )
    )

    volume = 33 * 17 * 11 / 1000
    assert f"{volume:.2f} (5.50{DASH}6.75)" in strings
    assert f"{first.measurement.long_axis.length_mm:.1f} (18.0{DASH}22.2)" in strings
    assert f"{first.measurement.short_axis.length_mm:.1f} (1.0{DASH}2.0)" in strings
    assert f"3.00{DASH}12.35" in strings or f"3.00{DASH}12.34" in strings
    assert f"15.0{DASH}30.0" in strings


def test_the_extent_box_has_burden_lobes_and_the_proposal_with_its_basis() -> None:
    scan_findings = with_lungs(findings(*two_lesion_scan()))
    strings = strings_of(draw_page(report_of(scan_findings)))
    assert scan_findings.extent.proposal is not None

    assert any(string.startswith("Burden 6.58 ml") for string in strings)  # 33 x 17 x 11 and 9 x 5 x 9 mm
    assert {"right upper", "right middle", "right lower", "left upper", "left lower"} <= set(strings)
    assert f"Proposal, TNM 9: {scan_findings.extent.proposal.descriptor}" in strings
    assert "From the outlines alone; N and any other M are not assessed." in strings
    joined = " ".join(strings)
    for clause in scan_findings.extent.proposal.basis:
        assert clause in joined


def test_a_value_that_was_not_determined_is_a_dash() -> None:
    strings = strings_of(draw_page(report_of(findings(*two_lesion_scan()))))

    assert strings.count(DASH) == 2 * 3  # lobe, wall and mediastinum of both lesions: no lungs


def test_a_scan_without_a_lesion_is_stated() -> None:
    hu, segmented, affine = two_lesion_scan()

    strings = strings_of(draw_page(report_of(findings(hu, segmented & False, affine))))

    assert "No lesion was found." in strings
    assert "no lesion" in strings


def test_the_page_names_product_series_and_model() -> None:
    strings = strings_of(draw_page(report_of(findings(*two_lesion_scan()))))

    assert {"LungSpread", RESEARCH_SENTENCE, "2 lesions"} <= set(strings)
    assert any(
        string.startswith("Series 1.2.2 ") and "lung_tumour 0.1.0, weights 0123456789ab" in string for string in strings
    )


def test_the_same_findings_write_the_same_bytes(tmp_path: Path) -> None:
    scan_findings = with_lungs(findings(*two_lesion_scan()))

    first, second = (
        write_page(report_of(scan_findings), tmp_path / "one"),
        write_page(report_of(scan_findings), tmp_path / "two"),
    )

    assert [path.name for path in first] == ["report.png", "report.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_the_pdf_is_one_a4_page_with_embedded_fonts_and_no_date(tmp_path: Path) -> None:
    pdf = write_page(report_of(findings(*two_lesion_scan())), tmp_path)[1].read_bytes()

    assert pdf.count(b"/Type /Page ") == 1
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf).groups())  # type: ignore[union-attr]
    assert (width / 72 * 25.4, height / 72 * 25.4) == pytest.approx((297, 210), abs=0.1)
    kinds = re.findall(rb"/Type /Font\b.*?/Subtype /(\w+)", pdf, re.DOTALL)
    assert kinds
    assert set(kinds) == {b"Type3"}  # glyphs are embedded
    assert pdf.count(b"/ToUnicode") == len(kinds)
    assert b"Date" not in pdf


def test_the_png_is_a4_at_a_sensible_size(tmp_path: Path) -> None:
    pixels = imread(write_page(report_of(findings(*two_lesion_scan())), tmp_path)[0])

    assert pixels.shape[:2] == (1405, 1987)
    assert pixels[:40].min() == 1  # a white margin


def test_matplotlib_settings_of_the_machine_change_nothing(tmp_path: Path) -> None:
    import matplotlib

    scan_findings = findings(*two_lesion_scan())
    expected = write_page(report_of(scan_findings), tmp_path / "plain")[0].read_bytes()
    with matplotlib.rc_context({"font.family": "serif", "lines.linewidth": 9, "savefig.facecolor": "red"}):
        assert write_page(report_of(scan_findings), tmp_path / "styled")[0].read_bytes() == expected
