from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.fixtures.worker.drawn_scans import ORIENTATIONS, findings, stored_as, two_lesion_scan
from worker.outputs.page.pictures import draw


def test_an_overview_and_a_picture_of_each_lesion_are_drawn(tmp_path: Path) -> None:
    paths = draw(findings(*two_lesion_scan()), tmp_path / "pictures")

    assert [path.name for path in paths] == ["overview.png", "lesion-1.png", "lesion-2.png"]
    for path in paths:
        pixels = imread(path)
        assert pixels.shape[2] in (3, 4)
        assert pixels.std() > 0.05


def test_a_scan_without_a_lesion_has_an_overview(tmp_path: Path) -> None:
    hu, segmented, affine = two_lesion_scan()

    assert [path.name for path in draw(findings(hu, segmented & False, affine), tmp_path)] == ["overview.png"]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return draw(findings(*two_lesion_scan()), tmp_path_factory.mktemp("expected"))


@pytest.mark.parametrize(("order", "flipped"), ORIENTATIONS, ids=str)
def test_a_scan_looks_the_same_however_it_is_stored(
    order: tuple[int, int, int], flipped: tuple[int, ...], expected: list[Path], tmp_path: Path
) -> None:
    found = draw(stored_as(two_lesion_scan(), order, flipped), tmp_path / "found")

    # Only the slice number, and which of two equal diameters is drawn, may differ.
    assert np.array_equal(imread(found[0]), imread(expected[0]))
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert (imread(one) != imread(other)).any(axis=2).mean() < 0.01


def test_outline_and_axes_are_drawn_in_their_colours(expected: list[Path]) -> None:
    pixels = (imread(expected[1])[..., :3] * 255).round().astype(int)
    for colour in ((0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), (0x00, 0x7A, 0x59)):
        assert (np.abs(pixels - colour).max(axis=2) < 12).sum() > 50


def test_pictures_hold_no_uid(tmp_path: Path) -> None:
    scan_findings = replace(findings(*two_lesion_scan()), study_uid="9.8.7.6.5", series_uid="9.8.7.6.4")

    for path in draw(scan_findings, tmp_path):
        assert b"9.8.7.6" not in path.read_bytes()
