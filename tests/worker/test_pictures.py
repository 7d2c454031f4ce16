from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from models.segmenter import ModelCard
from models.volume import Mask, Volume
from worker.findings import Finding, Findings
from worker.lesions import find_lesions
from worker.measurements import measure
from worker.outputs.pictures import draw, upright

CARD = ModelCard(
    name="lung_tumour", version="1", weights_file="", weights_sha256="", licence="", threshold=0.5,
    smallest_lesion_ml=0.0,
)  # fmt: skip
SHAPE = (30, 60, 50)
BOXES = [np.s_[8:19, 10:27, 6:17], np.s_[22:25, 40:45, 30:39]]  # of odd size: their middle is a voxel

Affine = NDArray[np.float64]


def standing() -> tuple[NDArray[np.float32], NDArray[np.bool_], Affine]:
    """A scan as it is looked at: from head to feet, front to back, right to left."""
    hu = np.random.default_rng(1).normal(-800, 40, SHAPE).astype(np.float32)
    marked = np.zeros(SHAPE, bool)
    for box in BOXES:
        marked[box] = True
    hu[marked] = 30
    affine = np.array([[0, 0, 1.0, -25], [0, 1.0, 0, -30], [-3.0, 0, 0, 45], [0, 0, 0, 1]])
    return hu, marked, affine


def findings(hu: NDArray[np.float32], marked: NDArray[np.bool_], affine: Affine) -> Findings:
    volume = Volume(hu=hu, affine=affine)
    lesions = find_lesions(Mask(voxels=marked, affine=affine), CARD, "k")
    return Findings(
        job_key="k",
        study_uid="1.2.1",
        series_uid="1.2.2",
        frame_of_reference_uid="1.2.3",
        sop_instance_uids=tuple(f"1.2.4.{n}" for n in range(len(hu))),
        volume=volume,
        card=CARD,
        findings=tuple(Finding(lesion=lesion, measurement=measure(lesion, volume)) for lesion in lesions),
    )


def stored_otherwise(order: tuple[int, int, int], turned: tuple[int, ...]) -> Findings:
    """The same scan with its axes turned and exchanged in storage, each voxel at the same place."""
    hu, marked, affine = standing()
    affine = affine.copy()
    for axis in turned:
        affine[:3, 3] += affine[:3, axis] * (SHAPE[axis] - 1)
        affine[:3, axis] *= -1
    affine[:, :3] = affine[:, list(order)]
    arrays: list[Any] = [np.ascontiguousarray(np.flip(a, turned).transpose(order)) for a in (hu, marked)]
    return findings(arrays[0], arrays[1], affine)


def test_one_picture_of_all_and_one_of_each_lesion_are_drawn(tmp_path: Path) -> None:
    paths = draw(findings(*standing()), tmp_path / "pictures")

    assert [path.name for path in paths] == ["overview.png", "lesion-1.png", "lesion-2.png"]
    for path in paths:
        pixels = imread(path)
        assert pixels.shape[2] in (3, 4)
        assert pixels.std() > 0.05


def test_a_scan_without_a_lesion_has_an_overview(tmp_path: Path) -> None:
    hu, marked, affine = standing()

    assert [path.name for path in draw(findings(hu, marked & False, affine), tmp_path)] == ["overview.png"]


@pytest.mark.parametrize(
    ("order", "turned"),
    [
        ((0, 1, 2), (0,)),
        ((0, 1, 2), (1,)),
        ((0, 1, 2), (2,)),
        ((0, 1, 2), (0, 1, 2)),
        ((0, 2, 1), ()),
        ((0, 2, 1), (0, 2)),
    ],
    ids=str,
)
def test_a_scan_looks_the_same_however_it_is_stored(
    order: tuple[int, int, int], turned: tuple[int, ...], tmp_path: Path
) -> None:
    expected = draw(findings(*standing()), tmp_path / "expected")

    found = draw(stored_otherwise(order, turned), tmp_path / "found")

    # The number of the slice in the title, and which of two equal diameters is drawn, may differ: the rest may not.
    assert np.array_equal(imread(found[0]), imread(expected[0]))
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert (imread(one) != imread(other)).any(axis=2).mean() < 0.01


def test_an_upright_volume_is_left_alone() -> None:
    assert upright(standing()[2]) == ((0, 1, 2), ())


def test_outline_and_axes_are_drawn_in_their_colours(tmp_path: Path) -> None:
    _, page, _ = draw(findings(*standing()), tmp_path)

    pixels = (imread(page)[..., :3] * 255).round().astype(int)
    for colour in ((0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), (0x00, 0x9E, 0x73)):
        assert (np.abs(pixels - colour).max(axis=2) < 12).sum() > 50


def test_pictures_hold_no_uid(tmp_path: Path) -> None:
    made = replace(findings(*standing()), study_uid="9.8.7.6.5", series_uid="9.8.7.6.4")

    for path in draw(made, tmp_path):
        assert b"9.8.7.6" not in path.read_bytes()
