from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.worker.drawn_scans import BOXES, ORIENTATIONS, stored_as, two_lesion_scan
from worker.outputs.page.upright_volume import AXIAL, CORONAL, SAGITTAL, outlines, upright_lesion_of, upright_volume_of


@pytest.mark.parametrize(("order", "flipped"), ORIENTATIONS, ids=str)
def test_an_upright_volume_points_to_head_back_and_left_however_it_is_stored(
    order: tuple[int, int, int], flipped: tuple[int, ...]
) -> None:
    hu = two_lesion_scan()[0]

    upright_volume = upright_volume_of(stored_as(two_lesion_scan(), order, flipped))

    assert np.array_equal(upright_volume.hu, hu[::-1])  # the scan begins at the head, the upright volume at the feet
    assert upright_volume.affine[:3, :3] == pytest.approx(np.array([[0, 0, 1], [0, 1, 0], [3, 0, 0]]))
    assert upright_volume.index_of((-25.0, -30.0, 45.0)) == pytest.approx([29, 0, 0])
    assert upright_volume.spacing == (3, 1, 1)


@pytest.mark.parametrize(("order", "flipped"), ORIENTATIONS, ids=str)
def test_an_upright_lesion_is_at_its_position_in_the_upright_volume(
    order: tuple[int, int, int], flipped: tuple[int, ...]
) -> None:
    found = stored_as(two_lesion_scan(), order, flipped)

    for finding, box in zip(found.findings, BOXES, strict=True):
        upright_lesion = upright_lesion_of(finding.lesion, found)
        first = tuple(side.stop - side.start for side in box)
        assert upright_lesion.voxels.shape == first
        assert upright_lesion.corner == (30 - box[0].stop, box[1].start, box[2].start)
        assert np.all(
            upright_volume_of(found).hu[tuple(map(slice, upright_lesion.corner, np.add(upright_lesion.corner, first)))]
            == 30
        )


def test_the_middle_of_a_ring_is_a_voxel_of_the_ring() -> None:
    hu, segmented, affine = two_lesion_scan()
    segmented[:] = False
    segmented[10, 20:29, 20:29] = True
    segmented[10, 22:27, 22:27] = False
    found = stored_as((hu, segmented, affine), (0, 1, 2), ())
    upright_lesion = upright_lesion_of(found.findings[0].lesion, found)

    _, row, column = upright_lesion.middle((3, 1, 1))

    assert segmented[10, row, column]
    assert upright_lesion.outlines_on(CORONAL, row)
    assert upright_lesion.outlines_on(SAGITTAL, column)
    assert not upright_lesion.outlines_on(AXIAL, 25)


def test_an_outline_is_halfway_between_inner_and_outer_voxels_also_at_the_edge_of_a_scan() -> None:
    inside = np.zeros((6, 5), bool)
    inside[2:6, 1:3] = True

    (outline,) = outlines(inside)

    assert outline.min(axis=0) == pytest.approx([1.5, 0.5])
    assert outline.max(axis=0) == pytest.approx([5.5, 2.5])
