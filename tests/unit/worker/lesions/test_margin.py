from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fixtures.worker.density_phantoms import Array, Chest, Region, ball
from worker.lesions.margin import roughness_of


def spiky(radius_mm: float, spikes: int, kind: str) -> Region:
    """A sphere with lobes or spicules in evenly distributed directions."""
    index = np.arange(spikes) + 0.5
    polar, around = np.arccos(1 - 2 * index / spikes), np.pi * (1 + 5**0.5) * index + 0.3
    directions = np.stack([np.cos(polar), np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)], axis=-1)

    def region(z: Array, y: Array, x: Array) -> NDArray[np.bool_]:
        core = 0.8 if kind == "lobes" else 0.75
        inside = z**2 + y**2 + x**2 <= (core * radius_mm) ** 2
        for dz, dy, dx in directions * radius_mm:
            if kind == "lobes":
                inside = inside | (
                    (z - 0.68 * dz) ** 2 + (y - 0.68 * dy) ** 2 + (x - 0.68 * dx) ** 2 <= (0.36 * radius_mm) ** 2
                )
            else:
                along = (z * dz + y * dy + x * dx) / radius_mm
                across = np.sqrt(np.maximum(z**2 + y**2 + x**2 - along**2, 0))
                width = 0.16 * radius_mm * (1.3 - along / (1.6 * radius_mm))
                inside = inside | ((along > 0) & (along < 1.6 * radius_mm) & (across < width))
        return inside

    return region


@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
@pytest.mark.parametrize("radius_mm", [8.0, 14.0])
def test_roughness_increases_from_smooth_to_lobulated_to_spiculated_outlines(radius_mm: float, slice_mm: float) -> None:
    chest = Chest(slice_mm=slice_mm, reach_mm=1.7 * radius_mm)
    shapes = (ball(2 * radius_mm), spiky(radius_mm, 14, "lobes"), spiky(radius_mm, 30, "spicules"))

    smooth, lobulated, spiculated = (chest.density(shape) for shape in shapes)

    assert smooth.spiculation < 0.015
    assert smooth.lobulation < 0.015
    assert 0.025 < lobulated.spiculation < 0.06 < spiculated.spiculation
    assert 0.045 < lobulated.lobulation < 0.10 < spiculated.lobulation


def test_roughness_does_not_depend_on_size_and_hardly_on_slice_thickness() -> None:
    shape = spiky(10, 30, "spicules")
    fine = Chest(reach_mm=17).density(shape)

    double = Chest(reach_mm=34, slice_mm=2, pixel_mm=1.4).density(lambda z, y, x: shape(z / 2, y / 2, x / 2))
    thick = Chest(reach_mm=17, slice_mm=3).density(shape)

    assert double.spiculation == pytest.approx(fine.spiculation, abs=0.002)
    assert thick.spiculation == pytest.approx(fine.spiculation, rel=0.25)
    assert thick.lobulation == pytest.approx(fine.lobulation, rel=0.25)


def test_the_indices_of_a_cross_are_the_analytic_values() -> None:
    arm, length = 10, 60  # mm; pixels are so small that rounded corners are negligible
    plane = np.zeros((140, 140), bool)
    plane[10:130, 60:80] = plane[60:80, 10:130] = True
    roughness = roughness_of(plane[None], (0.5, 0.5))

    area, hull_area = 2 * arm * length - arm**2, length**2 - (length - arm) ** 2 / 2
    perimeter, hull_perimeter = 4 * length, 4 * arm + 4 * (length - arm) / 2**0.5
    assert roughness.spiculation == pytest.approx(1 - hull_perimeter / perimeter, abs=0.01)
    assert roughness.lobulation == pytest.approx(1 - area / hull_area, abs=0.01)
