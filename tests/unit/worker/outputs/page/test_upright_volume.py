from __future__ import annotations

import numpy as np
import pytest

from tests.fixtures.worker.drawn_scans import BOXES, TURNS, standing, stored_otherwise
from worker.outputs.page.upright_volume import AXIAL, CORONAL, SAGITTAL, body_of, outlines, upright_volume_of


@pytest.mark.parametrize(("order", "turned"), TURNS, ids=str)
def test_a_scene_runs_to_head_back_and_left_however_it_is_stored(
    order: tuple[int, int, int], turned: tuple[int, ...]
) -> None:
    hu = standing()[0]

    scene = upright_volume_of(stored_otherwise(standing(), order, turned))

    assert np.array_equal(scene.hu, hu[::-1])  # the scan begins at the head, the scene at the feet
    assert scene.affine[:3, :3] == pytest.approx(np.array([[0, 0, 1], [0, 1, 0], [3, 0, 0]]))
    assert scene.index_of((-25.0, -30.0, 45.0)) == pytest.approx([29, 0, 0])
    assert scene.spacing == (3, 1, 1)


@pytest.mark.parametrize(("order", "turned"), TURNS, ids=str)
def test_a_body_lies_where_its_lesion_is_in_the_scene(order: tuple[int, int, int], turned: tuple[int, ...]) -> None:
    found = stored_otherwise(standing(), order, turned)

    for finding, box in zip(found.findings, BOXES, strict=True):
        body = body_of(finding.lesion, found)
        first = tuple(side.stop - side.start for side in box)
        assert body.voxels.shape == first
        assert body.corner == (30 - box[0].stop, box[1].start, box[2].start)
        assert np.all(upright_volume_of(found).hu[tuple(map(slice, body.corner, np.add(body.corner, first)))] == 30)


def test_the_middle_of_a_ring_is_a_voxel_of_the_ring() -> None:
    hu, marked, affine = standing()
    marked[:] = False
    marked[10, 20:29, 20:29] = True
    marked[10, 22:27, 22:27] = False
    found = stored_otherwise((hu, marked, affine), (0, 1, 2), ())
    body = body_of(found.findings[0].lesion, found)

    _, row, column = body.middle((3, 1, 1))

    assert marked[10, row, column]
    assert body.cut(CORONAL, row)
    assert body.cut(SAGITTAL, column)
    assert not body.cut(AXIAL, 25)


def test_an_outline_runs_halfway_between_voxels_inside_and_outside_even_at_the_edge_of_a_scan() -> None:
    inside = np.zeros((6, 5), bool)
    inside[2:6, 1:3] = True

    (outline,) = outlines(inside)

    assert outline.min(axis=0) == pytest.approx([1.5, 0.5])
    assert outline.max(axis=0) == pytest.approx([5.5, 2.5])
