"""Values that are, or cannot be, the Hounsfield units of a chest; every kind is made from one chest of known values."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.ct.plausibility import implausible, slice_with_other_values

Hounsfield = NDArray[np.float32]


def chest() -> Hounsfield:
    """Twelve slices: air of -1000, a body of 40 with fat of -100, lungs of -850 and a spine of 400 HU, with noise."""
    row, column = np.indices((120, 160))
    plane = np.full(row.shape, -1000.0)
    plane[((row - 60) / 50) ** 2 + ((column - 80) / 70) ** 2 < 1] = -100
    plane[((row - 60) / 45) ** 2 + ((column - 80) / 64) ** 2 < 1] = 40
    for side in (48, 112):
        plane[((row - 60) / 34) ** 2 + ((column - side) / 24) ** 2 < 1] = -850
    plane[(np.abs(row - 92) < 7) & (np.abs(column - 80) < 7)] = 400
    noise = np.random.default_rng(1).normal(0, 15, (12, *plane.shape))
    return np.asarray(plane + noise, np.float32)


WRONG: dict[str, tuple[Callable[[Hounsfield], Hounsfield], str]] = {
    "rescaled twice": (lambda hu: hu - 1024, "from -1100 to -500"),
    "never rescaled": (lambda hu: hu + 1024, "0.0% of them from -1100 to -500"),
    "grey values": (lambda hu: np.clip((hu + 1000) / 8, 0, 255), "0.0% of them from -1100 to -500"),
    "inverted": (lambda hu: -hu, "of them"),
    "ten times": (lambda hu: hu * 10, "of them below -3100"),
    "a tenth": (lambda hu: hu * np.float32(0.1), "0.0% of them from -1100 to -500"),
    "one value": (np.zeros_like, "its values run from 0 to 0"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_values_of_another_scale_are_recognised(kind: str) -> None:
    change, expected = WRONG[kind]

    assert expected in str(implausible(change(chest())))


def test_a_chest_is_plausible() -> None:
    assert implausible(chest()) is None
    assert slice_with_other_values(chest()) is None


def test_padding_around_the_circle_of_reconstruction_is_plausible() -> None:
    hu = chest()
    row, column = np.indices(hu.shape[1:])
    hu[:, (row - 60) ** 2 + (column - 80) ** 2 > 78**2] = -3024

    assert implausible(hu) is None


def test_arms_and_contrast_are_plausible() -> None:
    hu = chest()
    hu[:, 40:70, 70:90] = 450  # heart and aorta, strongly enhanced
    hu[:, :, :8] = 1200  # an arm of bone beside the chest

    assert implausible(hu) is None


@pytest.mark.parametrize("shift", [-1024, 1024])
@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_slice_with_another_rescale_is_found(shift: int, place: int) -> None:
    hu = chest()
    hu[place] += shift

    assert slice_with_other_values(hu) == place % len(hu)


def test_slices_that_change_along_the_body_are_not_taken_for_it() -> None:
    """From lung to liver within one thick slice: the darkest quarter changes by 700 HU, the brightest hardly."""
    hu = chest()
    hu[6:][hu[6:] < -700] = 50

    assert slice_with_other_values(hu) is None
