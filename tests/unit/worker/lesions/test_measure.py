from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from models.volume import Volume
from worker.lesions.lesion import Lesion
from worker.lesions.measure import Measurement, measure
from worker.lesions.recist_diameters import Axis

sitk: Any = SimpleITK  # untyped

Mm3 = tuple[float, float, float]


def affine_of(spacing_mm: Mm3, origin_mm: Mm3 = (-30.0, 12.0, -200.0)) -> NDArray[np.float64]:
    """An affine: rows run posterior, columns left, slices superior."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing_mm, 1
    affine[:3, 3] = origin_mm
    return affine


def measured(voxels: NDArray[np.bool_], spacing_mm: Mm3, hu: NDArray[np.float32] | None = None) -> Measurement:
    """Measure a lesion whose box is the whole volume."""
    volume = Volume(hu=np.zeros(voxels.shape, np.float32) if hu is None else hu, affine=affine_of(spacing_mm))
    lesion = Lesion(
        number=1, tracking_id="lesion-1", tracking_uid="2.25.1", voxels=voxels, corner=(0, 0, 0), centroid_mm=(0, 0, 0)
    )
    return measure(lesion, volume)


def ellipsoid(spacing_mm: Mm3, half_axes_mm: Mm3, rotation: NDArray[np.float64], centre_px: Mm3) -> NDArray[np.bool_]:
    """The voxels whose centres lie in an ellipsoid, (slice, row, column); its centre is off the grid by `centre_px`."""
    reach = [int(max(half_axes_mm) / size) + 3 for size in spacing_mm]
    grid = np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij")
    points = (np.stack(grid, axis=-1) - centre_px) * spacing_mm
    inside: NDArray[np.bool_] = ((points @ rotation / half_axes_mm) ** 2).sum(-1) <= 1
    return inside


def axial_axes_mm(half_axes_mm: Mm3, rotation: NDArray[np.float64]) -> tuple[float, float]:
    """Long and short axis of the axial section through the centre, by symmetry the largest."""
    quadric = rotation @ np.diag(1 / np.square(half_axes_mm)) @ rotation.T
    smaller, larger = np.linalg.eigvalsh(quadric[1:, 1:])
    return 2 / smaller**0.5, 2 / larger**0.5


def rotations(count: int) -> list[NDArray[np.float64]]:
    generator = np.random.default_rng(11)
    return [np.linalg.qr(generator.normal(size=(3, 3)))[0] for _ in range(count)]


def centre_offsets(count: int) -> list[Mm3]:
    return [tuple(row) for row in np.random.default_rng(7).uniform(-0.5, 0.5, (count, 3)).tolist()]


@pytest.mark.parametrize("slice_mm", [0.5, 1.0, 1.25, 2.5])
@pytest.mark.parametrize("diameter_mm", [8.0, 20.0, 40.0])
def test_both_axes_of_a_sphere_are_its_diameter_within_one_pixel(slice_mm: float, diameter_mm: float) -> None:
    spacing = (slice_mm, 0.7, 0.7)
    radii = (diameter_mm / 2,) * 3

    for centre in centre_offsets(6):
        result = measured(ellipsoid(spacing, radii, np.eye(3), centre), spacing)

        assert result.long_axis.length_mm == pytest.approx(diameter_mm, abs=0.7)
        assert result.short_axis.length_mm == pytest.approx(diameter_mm, abs=1.0)


@pytest.mark.parametrize("slice_mm", [5.0, 8.0])
def test_on_thick_slices_a_20_mm_sphere_is_at_most_a_voxel_short(slice_mm: float) -> None:
    spacing = (slice_mm, 0.7, 0.7)

    for centre in centre_offsets(6):
        result = measured(ellipsoid(spacing, (10, 10, 10), np.eye(3), centre), spacing)

        # The nearest slice is up to half a slice from the centre of the sphere.
        least = 2 * (100 - (slice_mm / 2) ** 2) ** 0.5
        assert least - 0.7 <= result.long_axis.length_mm <= 20.7


@pytest.mark.parametrize(("half_axes_mm", "bias_px"), [((10, 10, 10), 0.55), ((10, 8, 6), 0.3), ((12, 6, 5), 0.3)])
def test_the_bias_of_both_axes_over_all_directions_is_a_part_of_a_pixel(half_axes_mm: Mm3, bias_px: float) -> None:
    spacing = (1.0, 0.7, 0.7)
    errors = []
    for rotation, centre in zip(rotations(25), centre_offsets(25), strict=True):
        result = measured(ellipsoid(spacing, half_axes_mm, rotation, centre), spacing)
        true = axial_axes_mm(half_axes_mm, rotation)
        errors.append((result.long_axis.length_mm - true[0], result.short_axis.length_mm - true[1]))

    assert np.abs(np.mean(errors, axis=0) / 0.7).max() < bias_px
    assert np.abs(errors).max() < 1.6 * 0.7


def test_rows_and_columns_of_different_size_do_not_change_the_axes() -> None:
    spacing = (2.0, 0.5, 1.0)
    rotation = np.eye(3)
    rotation[1:, 1:] = [[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]

    result = measured(ellipsoid(spacing, (9, 15, 8), rotation, (0, 0, 0)), spacing)

    assert result.long_axis.length_mm == pytest.approx(30, abs=1.0)
    assert result.short_axis.length_mm == pytest.approx(16, abs=1.0)


def test_the_short_axis_is_perpendicular_and_on_the_slice_of_the_long_one() -> None:
    spacing = (1.5, 0.6, 0.9)
    for rotation, centre in zip(rotations(10), centre_offsets(10), strict=True):
        result = measured(ellipsoid(spacing, (12, 9, 6), rotation, centre), spacing)

        along = np.subtract(result.long_axis.end_mm, result.long_axis.start_mm)
        across = np.subtract(result.short_axis.end_mm, result.short_axis.start_mm)
        assert along @ across == pytest.approx(0, abs=1e-9)
        assert result.short_axis.slice_index == result.long_axis.slice_index
        assert result.short_axis.length_mm <= result.long_axis.length_mm


def test_the_distance_of_the_end_points_is_the_reported_length() -> None:
    spacing = (1.5, 0.6, 0.9)
    result = measured(ellipsoid(spacing, (12, 9, 6), rotations(1)[0], (0.2, 0.3, 0.1)), spacing)

    for axis in (result.long_axis, result.short_axis):
        columns, rows = np.subtract(axis.end_px, axis.start_px)
        assert np.hypot(columns * 0.9, rows * 0.6) == pytest.approx(axis.length_mm, abs=0.0005)
        assert np.linalg.norm(np.subtract(axis.end_mm, axis.start_mm)) == pytest.approx(axis.length_mm, abs=0.0005)
        for (column, row), mm in ((axis.start_px, axis.start_mm), (axis.end_px, axis.end_mm)):
            expected = affine_of(spacing) @ (axis.slice_index, row, column, 1)
            assert mm == pytest.approx(expected[:3])


def test_axes_of_a_lesion_inside_its_volume_are_at_its_position() -> None:
    hu = np.zeros((10, 20, 20), np.float32)
    volume = Volume(hu=hu, affine=affine_of((2.0, 1.0, 1.0)))
    lesion = Lesion(
        number=1, tracking_id="", tracking_uid="", voxels=np.ones((1, 1, 7), bool), corner=(4, 9, 3),
        centroid_mm=(0, 0, 0),
    )  # fmt: skip

    axis = measure(lesion, volume).long_axis

    assert axis.slice_index == 4
    assert sorted((axis.start_px, axis.end_px)) == [
        pytest.approx((3 - 1 / 3, 9)),
        pytest.approx((9 + 1 / 3, 9)),
    ]


def test_a_lesion_of_one_voxel_is_measured() -> None:
    result = measured(np.ones((1, 1, 1), bool), (2.0, 0.8, 0.8), np.full((1, 1, 1), 37, np.float32))

    assert result.volume_ml == pytest.approx(0.0013, abs=1e-4)
    assert 0 < result.short_axis.length_mm <= result.long_axis.length_mm <= 0.8
    assert (result.intensity.mean_hu, result.intensity.sd_hu) == (37, 0)


def test_unconnected_parts_on_a_slice_are_measured_separately() -> None:
    voxels = np.zeros((2, 5, 40), bool)
    voxels[0, :, :8] = voxels[0, :, 32:] = True  # two parts on the lower slice ...
    voxels[1, 2, 4:36] = True  # ... connected on the upper slice

    result = measured(voxels, (1.0, 1.0, 1.0))

    assert result.long_axis.slice_index == 1
    assert result.long_axis.length_mm == pytest.approx(31 + 2 / 3, abs=0.01)


def test_the_short_axis_of_a_crescent_does_not_cross_the_enclosed_lung() -> None:
    rows, columns = np.mgrid[-30:31, -30:31]
    distance = np.hypot(rows, columns)
    crescent = (distance <= 28) & (distance >= 20) & (rows >= 0)

    result = measured(crescent[None], (1.0, 1.0, 1.0))

    # Perpendicular to the line between its tips, the longest line is at the end of the inner circle.
    assert result.long_axis.length_mm == pytest.approx(56, abs=1)
    assert result.short_axis.length_mm == pytest.approx((28**2 - 20**2) ** 0.5, abs=1.5)


def test_of_equally_long_axes_the_one_on_the_middle_slice_is_chosen() -> None:
    result = measured(np.ones((7, 4, 9), bool), (1.0, 1.0, 1.0))

    assert result.long_axis.slice_index == 3


def test_mean_and_population_standard_deviation_are_those_of_the_masked_voxels() -> None:
    hu = np.array([[[10.0, 20.0, 60.0, 1000.0]]], np.float32)
    voxels = np.array([[[True, True, True, False]]])

    result = measured(voxels, (1.0, 1.0, 1.0), hu)

    assert result.intensity.mean_hu == 30
    assert result.intensity.sd_hu == pytest.approx(((20**2 + 10**2 + 30**2) / 3) ** 0.5, abs=0.005)


def test_volume_is_that_of_simpleitk() -> None:
    spacing = (1.5, 0.6, 0.9)
    voxels = ellipsoid(spacing, (12, 9, 6), rotations(1)[0], (0.2, 0.3, 0.1))
    image = sitk.GetImageFromArray(voxels.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(image)

    result = measured(voxels, spacing)

    assert result.volume_ml == pytest.approx(shape.GetPhysicalSize(1) / 1000, abs=1e-4)
    assert result.volume_ml == pytest.approx(4 / 3 * np.pi * 12 * 9 * 6 / 1000, rel=0.01)


def test_volume_of_a_sheared_stack_is_that_of_its_voxels() -> None:
    affine = affine_of((2.0, 1.0, 1.0))
    affine[1, 0] = 0.8  # each slice is shifted by 0.8 mm posterior
    lesion = Lesion(
        number=1, tracking_id="", tracking_uid="", voxels=np.ones((5, 10, 10), bool), corner=(0, 0, 0),
        centroid_mm=(0, 0, 0),
    )  # fmt: skip

    result = measure(lesion, Volume(hu=np.zeros((5, 10, 10), np.float32), affine=affine))

    assert result.volume_ml == pytest.approx(1.0)


def test_a_ragged_mask_has_a_long_axis_within_its_slice() -> None:
    noise = np.random.default_rng(3).random((8, 256, 256)) > 0.55

    axis: Axis = measured(noise, (1.0, 1.0, 1.0)).long_axis

    assert axis.length_mm < 256 * 2**0.5
