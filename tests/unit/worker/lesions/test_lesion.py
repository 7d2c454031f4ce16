from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from models.volume import Mask
from tests.fixtures.models.model_card import CARD
from worker.lesions.lesion import Lesion, find_lesions

sitk: Any = SimpleITK  # untyped

JOB_KEY = "c" * 64
AFFINE = np.array([[0, 0, 2.0, -50], [0, -2.0, 0, 70], [5.0, 0, 0, -300], [0, 0, 0, 1]])  # rows run anterior
VOXEL_ML = 0.02


def mask_of(*boxes: tuple[slice, slice, slice], shape: tuple[int, int, int] = (10, 20, 20)) -> Mask:
    voxels = np.zeros(shape, bool)
    for box in boxes:
        voxels[box] = True
    return Mask(voxels=voxels, affine=AFFINE)


def label_map(lesions: tuple[Lesion, ...], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The lesion number of each voxel."""
    numbers = np.zeros(shape, np.uint8)
    for lesion in lesions:
        box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
        numbers[box][lesion.voxels] = lesion.number
    return numbers


def test_an_empty_mask_has_no_lesion() -> None:
    assert find_lesions(mask_of(), CARD, JOB_KEY) == ()


def test_lesions_are_numbered_from_the_largest() -> None:
    mask = mask_of(np.s_[1:2, 1:3, 1:3], np.s_[5:8, 10:14, 10:14], np.s_[3:4, 15:18, 2:5])

    lesions = find_lesions(mask, CARD, JOB_KEY)

    assert [lesion.voxels.sum() for lesion in lesions] == [48, 9, 4]
    assert [lesion.number for lesion in lesions] == [1, 2, 3]
    assert [lesion.tracking_id for lesion in lesions] == ["lesion-1", "lesion-2", "lesion-3"]
    assert [lesion.corner for lesion in lesions] == [(5, 10, 10), (3, 15, 2), (1, 1, 1)]


def test_every_voxel_of_the_mask_belongs_to_one_lesion_even_where_boxes_overlap() -> None:
    ring, dot = np.s_[2:3, 2:15, 2:15], np.s_[2:3, 8:9, 8:9]
    mask = mask_of(ring)
    mask.voxels[2, 3:14, 3:14] = False
    mask.voxels[dot] = True

    lesions = find_lesions(mask, CARD, JOB_KEY)

    assert len(lesions) == 2
    assert (label_map(lesions, mask.voxels.shape) > 0).tolist() == mask.voxels.tolist()
    assert label_map(lesions, mask.voxels.shape)[dot] == 2


@pytest.mark.parametrize("neighbour", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, -1, 1), (0, 1, -1)])
def test_voxels_that_share_a_face_an_edge_or_a_corner_are_one_lesion(neighbour: tuple[int, int, int]) -> None:
    mask = mask_of()
    mask.voxels[5, 10, 10] = mask.voxels[tuple(np.add((5, 10, 10), neighbour))] = True

    assert len(find_lesions(mask, CARD, JOB_KEY)) == 1


def test_voxels_with_one_between_are_two_lesions() -> None:
    assert len(find_lesions(mask_of(np.s_[5:6, 10:11, 10:11], np.s_[5:6, 10:11, 12:13]), CARD, JOB_KEY)) == 2


def test_components_below_the_smallest_lesion_volume_are_dropped_and_equal_ones_kept() -> None:
    mask = mask_of(np.s_[1:2, 1:2, 1:4], np.s_[5:6, 5:6, 5:9])

    lesions = find_lesions(mask, replace(CARD, smallest_lesion_ml=4 * VOXEL_ML), JOB_KEY)

    assert [lesion.voxels.sum() for lesion in lesions] == [4]
    assert lesions[0].number == 1


def test_equal_lesions_are_numbered_by_position_from_the_first_slice() -> None:
    boxes = [np.s_[7:8, 1:3, 1:3], np.s_[2:3, 9:11, 9:11], np.s_[2:3, 4:6, 4:6]]

    lesions = find_lesions(mask_of(*boxes), CARD, JOB_KEY)

    assert [lesion.corner for lesion in lesions] == [(2, 4, 4), (2, 9, 9), (7, 1, 1)]


def test_the_centroid_is_in_lps_millimetres() -> None:
    (lesion,) = find_lesions(mask_of(np.s_[2:5, 4:6, 10:11]), CARD, JOB_KEY)

    assert lesion.centroid_mm == pytest.approx((-50 + 2 * 10, 70 - 2 * 4.5, -300 + 5 * 3))


def test_components_and_centroids_are_those_of_simpleitk() -> None:
    voxels = np.random.default_rng(2).random((12, 24, 24)) > 0.93
    image = sitk.GetImageFromArray(voxels.astype(np.uint8))
    image.SetSpacing((2.0, 2.0, 5.0))
    image.SetOrigin((-50.0, 70.0, -300.0))
    image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.ConnectedComponent(image, True))

    lesions = find_lesions(Mask(voxels=voxels, affine=AFFINE), CARD, JOB_KEY)

    theirs = [(-shape.GetNumberOfPixels(label), *np.round(shape.GetCentroid(label), 6)) for label in shape.GetLabels()]
    ours = [(-int(lesion.voxels.sum()), *np.round(lesion.centroid_mm, 6)) for lesion in lesions]
    assert len(ours) > 10
    assert np.array(sorted(ours)) == pytest.approx(np.array(sorted(theirs)))


def test_a_repeated_job_has_the_same_tracking_uids_and_another_job_has_others() -> None:
    mask = mask_of(np.s_[1:2, 1:3, 1:3], np.s_[5:8, 10:14, 10:14])

    first, again, other = (
        [lesion.tracking_uid for lesion in find_lesions(mask, CARD, key)] for key in (JOB_KEY, JOB_KEY, "d" * 64)
    )

    assert first == again
    assert len({*first, *other}) == 4
