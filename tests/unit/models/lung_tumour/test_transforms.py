import numpy as np
import pytest

from models.lung_tumour.transforms import normalise, planes, slice_positions, slice_step


def middles(index: int, slices: int, step: float, thickness: float = 1.0) -> list[float]:
    """Position of the middle of each plane, in slices."""
    drawn = planes(index, slices, step, thickness)
    numbers = np.arange(slices)[drawn.slices]
    assert drawn.shares.sum(1) == pytest.approx(1)
    return [float(middle) for middle in drawn.shares @ numbers]


def test_the_window_is_mapped_to_minus_one_to_one() -> None:
    hu = np.array([-2000, -1000, -300, 400, 3000], np.float32)

    assert normalise(hu) == pytest.approx([-1, -1, 0, 1, 1])


@pytest.mark.parametrize("spacing_mm", [0.5, 0.7, 1.25, 2.5, 3.0, 5.0, 8.0])
def test_neighbours_are_2_5_mm_apart_for_any_slice_spacing(spacing_mm: float) -> None:
    places_mm = spacing_mm * np.array(middles(50, 101, slice_step(spacing_mm)))

    assert places_mm == pytest.approx(50 * spacing_mm + np.array([-5, -2.5, 0, 2.5, 5]), abs=1e-4)


def test_the_middle_plane_is_the_slice_itself_and_a_neighbour_may_be_interpolated() -> None:
    drawn = planes(3, 8, 0.5)

    assert drawn.first == 2
    assert drawn.shares == pytest.approx(
        np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]], np.float32)
    )


def test_beyond_the_stack_its_last_slice_is_repeated() -> None:
    assert middles(0, 10, 2) == [0, 0, 0, 2, 4]
    assert middles(9, 10, -2) == [9, 9, 9, 7, 5]
    assert middles(0, 1, 2) == [0, 0, 0, 0, 0]


def test_a_thick_plane_is_the_mean_of_thin_slices() -> None:
    drawn = planes(4, 9, 0, 3.0)

    assert drawn.first == 3
    assert drawn.shares == pytest.approx(np.full((5, 3), 1 / 3))
    assert planes(4, 9, 0, 2.0).shares[0] == pytest.approx([0.25, 0.5, 0.25])
    assert planes(0, 9, 0, 3.0).shares[0] == pytest.approx([0.5, 0.5])  # two of the three slices exist


@pytest.mark.parametrize(
    ("spacing_mm", "places"), [(0.5, [0]), (3.0, [0]), (5.0, [-1 / 4, 1 / 4]), (8.0, [-1 / 3, 0, 1 / 3])]
)
def test_the_network_runs_at_the_middle_of_each_part_of_a_thick_slice(spacing_mm: float, places: list[float]) -> None:
    assert slice_positions(spacing_mm) == pytest.approx(places)
