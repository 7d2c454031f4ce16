from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from numpy.typing import NDArray

from models.volume import Volume
from tests.fixtures.worker.density_phantoms import (
    CALCIUM,
    GAS,
    GROUND_GLASS,
    SHARP,
    SOFT,
    SOLID,
    Array,
    Chest,
    ball,
    lesion_of,
    shell,
)
from worker.lesions.density import Consistency, density_of


@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("diameter_mm", [6.0, 8.0, 10.0])
def test_a_small_solid_nodule_is_solid_despite_partial_volume_in_its_rim(
    diameter_mm: float, slice_mm: float, kernel: tuple[float, float]
) -> None:
    for seed in range(5):
        chest = Chest(slice_mm=slice_mm, kernel=kernel, seed=seed, reach_mm=diameter_mm / 2 + 4)

        density = chest.density(ball(diameter_mm), (ball(diameter_mm), SOLID))

        assert density.consistency is Consistency.SOLID
        assert density.solid_long_axis_mm == pytest.approx(diameter_mm, abs=1.2)


@pytest.mark.parametrize("slack_mm", [-1.0, 1.0, 3.0])
def test_a_solid_nodule_is_solid_with_a_tight_or_loose_outline(slack_mm: float) -> None:
    density = Chest(reach_mm=10).density(ball(10 + slack_mm), (ball(10), SOLID))

    assert density.consistency is Consistency.SOLID


@pytest.mark.parametrize("hu", [-700.0, -600.0, -500.0])
@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 20.0])
def test_ground_glass_is_ground_glass_despite_noise(
    diameter_mm: float, slice_mm: float, kernel: tuple[float, float], hu: float
) -> None:
    chest = Chest(slice_mm=slice_mm, kernel=kernel, reach_mm=diameter_mm / 2 + 4)

    density = chest.density(ball(diameter_mm), (ball(diameter_mm), hu))

    assert density.consistency is Consistency.GROUND_GLASS
    assert (density.solid_fraction, density.solid_long_axis_mm) == (0, 0)


@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("whole_mm", "core_mm", "aside_mm"), [(14, 8, 0), (20, 12, 0), (20, 10, 2), (24, 8, 3)])
def test_a_solid_core_of_known_size_in_ground_glass_is_measured(
    whole_mm: float, core_mm: float, aside_mm: float, slice_mm: float, kernel: tuple[float, float]
) -> None:
    chest = Chest(slice_mm=slice_mm, kernel=kernel, reach_mm=whole_mm / 2 + 3)
    core = ball(core_mm, aside_mm)

    density = chest.density(ball(whole_mm), (ball(whole_mm), GROUND_GLASS), (core, SOLID))

    assert density.consistency is Consistency.PART_SOLID
    assert density.solid_fraction == pytest.approx((core_mm / whole_mm) ** 3, rel=0.35)
    assert density.solid_long_axis_mm == pytest.approx(core_mm, abs=1.2)


def test_an_adjacent_chest_wall_does_not_make_ground_glass_solid() -> None:
    def wall(_z: Array, y: Array, _x: Array) -> NDArray[np.bool_]:
        return y > 6

    def free(z: Array, y: Array, x: Array) -> NDArray[np.bool_]:
        return ball(16)(z, y, x) & (y <= 6.3)

    density = Chest().density(free, (ball(16), GROUND_GLASS), (wall, SOLID))

    assert density.consistency is Consistency.GROUND_GLASS


def test_a_solid_part_below_six_per_cent_is_ignored() -> None:
    density = Chest().density(ball(16), (ball(16), GROUND_GLASS), (ball(4), SOLID))

    assert density.consistency is Consistency.GROUND_GLASS


def test_a_6_mm_core_counts_in_a_ground_glass_lesion_of_any_size() -> None:
    chest = Chest(reach_mm=18)

    density = chest.density(ball(32), (ball(32), GROUND_GLASS), (ball(6), SOLID))

    assert density.consistency is Consistency.PART_SOLID
    assert density.solid_long_axis_mm == pytest.approx(6, abs=1.2)


def test_mass_is_that_of_water_and_of_half_as_dense_ground_glass() -> None:
    voxels = np.ones((5, 10, 20), bool)  # 1 ml
    for hu, mass_g in ((0.0, 1.0), (-500.0, 0.5), (60.0, 1.06), (-1024.0, 0.0)):
        volume = Volume(hu=np.full(voxels.shape, hu, np.float32), affine=np.diag([1.0, 1, 1, 1]))

        assert density_of(lesion_of(voxels), volume).mass_g == pytest.approx(mass_g, abs=1e-4)


@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
def test_calcium_has_its_volume_and_soft_tissue_has_none(slice_mm: float, kernel: tuple[float, float]) -> None:
    chest = Chest(slice_mm=slice_mm, kernel=kernel)

    plain = chest.density(ball(18), (ball(18), 60.0))
    calcified = chest.density(ball(18), (ball(18), 60.0), (ball(8, 2), CALCIUM))

    assert (plain.is_calcified, plain.calcified_ml) == (False, 0)
    assert calcified.is_calcified
    assert calcified.calcified_ml == pytest.approx(math.pi / 6 * 0.8**3, rel=0.2)


def test_a_rib_that_the_outline_touches_is_not_calcium_of_the_lesion() -> None:
    def rib(_z: Array, y: Array, _x: Array) -> NDArray[np.bool_]:
        return (y > 8) & (y < 14)

    density = Chest().density(ball(18), (ball(18), SOLID), (rib, CALCIUM))

    assert not density.is_calcified


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
def test_a_cavity_has_its_volume_inside_or_outside_the_mask(slice_mm: float, is_marked: bool) -> None:
    chest = Chest(slice_mm=slice_mm)
    mask = ball(20) if is_marked else shell(20, 11)

    density = chest.density(mask, (ball(20), SOLID), (ball(11), GAS))

    assert density.is_cavitated
    assert density.cavity_ml == pytest.approx(math.pi / 6 * 1.1**3, rel=0.12)
    assert density.consistency is Consistency.SOLID


def test_a_thin_walled_cyst_is_a_cavity() -> None:
    density = Chest(reach_mm=16).density(ball(24), (ball(23), SOLID), (ball(20), GAS))

    assert density.cavity_ml == pytest.approx(math.pi / 6 * 2.0**3, rel=0.12)


def test_emphysema_beside_a_lesion_is_not_a_cavity_even_in_a_loose_outline() -> None:
    loose = ball(18)
    bulla = ball(9, 8)

    density = Chest().density(loose, (ball(14), SOLID), (bulla, GAS))

    assert not density.is_cavitated


def test_lung_surrounded_by_a_tumour_is_not_a_cavity() -> None:
    density = Chest().density(ball(22), (ball(22), SOLID), (ball(12), -870.0))

    assert not density.is_cavitated


def test_a_bronchus_of_4_mm_through_a_tumour_is_not_a_cavity() -> None:
    def bronchus(_z: Array, y: Array, x: Array) -> NDArray[np.bool_]:
        return y**2 + x**2 <= 2**2

    density = Chest().density(ball(20), (ball(20), SOLID), (bronchus, GAS))

    assert (density.is_cavitated, density.cavity_ml) == (False, 0)


@pytest.mark.parametrize(("hu", "consistency"), [(30, Consistency.SOLID), (-600, Consistency.GROUND_GLASS)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (2, 1, 1)])
def test_a_lesion_of_few_voxels_is_described(shape: tuple[int, int, int], hu: float, consistency: Consistency) -> None:
    volume = Volume(hu=np.full((4, 9, 9), hu, np.float32), affine=np.diag([2.0, 0.7, 0.7, 1]))
    mask = np.zeros((4, 9, 9), bool)
    mask[: shape[0], 3 : 3 + shape[1], 2 : 2 + shape[2]] = True

    density = density_of(lesion_of(mask), volume)

    assert density.consistency is consistency
    assert (density.calcified_ml, density.cavity_ml, density.spiculation) == (0, 0, 0)


def test_the_values_are_json_serialisable() -> None:
    density = Chest().density(ball(20), (ball(20), SOLID), (ball(11), GAS), (ball(6, 7.5), CALCIUM))

    assert json.loads(json.dumps(asdict(density))) == asdict(density)
    assert density.is_calcified
    assert density.is_cavitated


def test_a_lesion_of_clipped_air_raises_no_error() -> None:
    volume = Volume(hu=np.full((6, 9, 9), -1024, np.float32), affine=np.diag([2.0, 0.7, 0.7, 1]))

    density = density_of(lesion_of(np.ones((6, 9, 9), bool)), volume)

    assert (density.consistency, density.mass_g, density.cavity_ml) == (Consistency.GROUND_GLASS, 0, 0)


def test_voxels_of_the_box_outside_of_the_lesion_have_no_effect() -> None:
    chest = Chest(reach_mm=12)
    volume = chest.scan((ball(12), GROUND_GLASS))
    lesion = lesion_of(ball(12)(*chest.points([1, 1, 1])))
    box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
    brighter = volume.hu.copy()
    brighter[box][~lesion.voxels] = SOLID

    assert density_of(lesion, Volume(hu=brighter, affine=volume.affine)) == density_of(lesion, volume)
