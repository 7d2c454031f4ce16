from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.volume import Volume
from worker.density import Consistency, Density, density_of
from worker.lesions import Lesion

Array = NDArray[np.float64]
Region = Callable[[Array, Array, Array], NDArray[np.bool_]]
"""Which points (z, y, x) in mm belong to it."""

LUNG, SOLID, GROUND_GLASS, GAS, CALCIUM = -850.0, 40.0, -600.0, -990.0, 400.0
SHARP, SOFT = (0.45, 90.0), (0.8, 25.0)
"""Blur of the scanner's kernel (standard deviation, mm), and noise in HU."""
FINE_MM = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """Lung with regions of other Hounsfield units painted one over the other, as a scanner shows it."""

    slice_mm: float = 1.0
    kernel: tuple[float, float] = SOFT
    seed: int = 1
    reach_mm: float = 14.0
    pixel_mm: float = 0.7

    def scan(self, *painted: tuple[Region, float]) -> Volume:
        """Average what is painted over each voxel, blurred within the slices and across them."""
        per_voxel = [max(1, round(size / FINE_MM)) for size in self._spacing]
        fine = np.full([n * k for n, k in zip(self._shape, per_voxel, strict=True)], LUNG, np.float32)
        for region, hu in painted:
            fine[np.broadcast_to(region(*self.points(per_voxel)), fine.shape)] = hu
        blur, noise = self.kernel
        fine = gaussian_filter(fine, [blur * k / size for k, size in zip(per_voxel, self._spacing, strict=True)])
        parts = [length for n, k in zip(self._shape, per_voxel, strict=True) for length in (n, k)]
        hu = fine.reshape(parts).mean((1, 3, 5)) + np.random.default_rng(self.seed).normal(0, noise, self._shape)
        return Volume(hu=hu.astype(np.float32), affine=self._affine)

    def density(self, lesion: Region, *painted: tuple[Region, float]) -> Density:
        """Describe the lesion whose mask has the voxels with their centres in a region."""
        return density_of(lesion_of(lesion(*self.points([1, 1, 1]))), self.scan(*painted))

    @property
    def _spacing(self) -> tuple[float, float, float]:
        return self.slice_mm, self.pixel_mm, self.pixel_mm

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(math.ceil(2 * self.reach_mm / size) for size in self._spacing)

    @property
    def _affine(self) -> Array:
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *self._spacing, 1
        return affine

    def points(self, per_voxel: list[int]) -> list[Array]:
        """Coordinates from a middle that lies off the grid by another part of a voxel for each seed."""
        off = np.random.default_rng(self.seed).uniform(-0.5, 0.5, 3)
        axes = [
            ((np.arange(n * k) + 0.5) / k - n / 2 + part) * size
            for n, k, size, part in zip(self._shape, per_voxel, self._spacing, off, strict=True)
        ]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ball(diameter_mm: float, y_mm: float = 0.0) -> Region:
    return lambda z, y, x: z**2 + (y - y_mm) ** 2 + x**2 <= (diameter_mm / 2) ** 2


def shell(outer_mm: float, inner_mm: float) -> Region:
    return lambda z, y, x: ball(outer_mm)(z, y, x) & ~ball(inner_mm)(z, y, x)


def lesion_of(mask: NDArray[np.bool_]) -> Lesion:
    low = np.argwhere(mask).min(axis=0)
    high = np.argwhere(mask).max(axis=0) + 1
    return Lesion(
        number=1, tracking_id="", tracking_uid="", centroid_mm=(0, 0, 0),
        voxels=mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))],
        corner=(int(low[0]), int(low[1]), int(low[2])),
    )  # fmt: skip


@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("diameter_mm", [6.0, 8.0, 10.0])
def test_a_small_solid_nodule_is_solid_in_spite_of_its_grey_rim(
    diameter_mm: float, slice_mm: float, kernel: tuple[float, float]
) -> None:
    for seed in range(5):
        chest = Chest(slice_mm=slice_mm, kernel=kernel, seed=seed, reach_mm=diameter_mm / 2 + 4)

        density = chest.density(ball(diameter_mm), (ball(diameter_mm), SOLID))

        assert density.consistency is Consistency.SOLID
        assert density.solid_long_axis_mm == pytest.approx(diameter_mm, abs=1.2)


@pytest.mark.parametrize("slack_mm", [-1.0, 1.0, 3.0])
def test_a_solid_nodule_stays_solid_when_its_outline_is_tight_or_loose(slack_mm: float) -> None:
    density = Chest(reach_mm=10).density(ball(10 + slack_mm), (ball(10), SOLID))

    assert density.consistency is Consistency.SOLID


@pytest.mark.parametrize("hu", [-700.0, -600.0, -500.0])
@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 20.0])
def test_ground_glass_is_ground_glass_in_spite_of_noise(
    diameter_mm: float, slice_mm: float, kernel: tuple[float, float], hu: float
) -> None:
    chest = Chest(slice_mm=slice_mm, kernel=kernel, reach_mm=diameter_mm / 2 + 4)

    density = chest.density(ball(diameter_mm), (ball(diameter_mm), hu))

    assert density.consistency is Consistency.GROUND_GLASS
    assert (density.solid_fraction, density.solid_long_axis_mm) == (0, 0)


@pytest.mark.parametrize("kernel", [SHARP, SOFT])
@pytest.mark.parametrize("slice_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("whole_mm", "core_mm", "aside_mm"), [(14, 8, 0), (20, 12, 0), (20, 10, 2), (24, 8, 3)])
def test_a_core_of_known_size_in_ground_glass_is_found_and_measured(
    whole_mm: float, core_mm: float, aside_mm: float, slice_mm: float, kernel: tuple[float, float]
) -> None:
    chest = Chest(slice_mm=slice_mm, kernel=kernel, reach_mm=whole_mm / 2 + 3)
    core = ball(core_mm, aside_mm)

    density = chest.density(ball(whole_mm), (ball(whole_mm), GROUND_GLASS), (core, SOLID))

    assert density.consistency is Consistency.PART_SOLID
    assert density.solid_fraction == pytest.approx((core_mm / whole_mm) ** 3, rel=0.35)
    assert density.solid_long_axis_mm == pytest.approx(core_mm, abs=1.2)


def test_the_chest_wall_beside_it_does_not_make_ground_glass_solid() -> None:
    def wall(_z: Array, y: Array, _x: Array) -> NDArray[np.bool_]:
        return y > 6

    def free(z: Array, y: Array, x: Array) -> NDArray[np.bool_]:
        return ball(16)(z, y, x) & (y <= 6.3)

    density = Chest().density(free, (ball(16), GROUND_GLASS), (wall, SOLID))

    assert density.consistency is Consistency.GROUND_GLASS


def test_a_speck_of_solid_below_six_per_cent_leaves_ground_glass_pure() -> None:
    density = Chest().density(ball(16), (ball(16), GROUND_GLASS), (ball(4), SOLID))

    assert density.consistency is Consistency.GROUND_GLASS


def test_a_6_mm_core_counts_in_however_large_a_ground_glass_lesion() -> None:
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


def test_a_rib_that_the_outline_touches_is_no_calcium_of_the_lesion() -> None:
    def rib(_z: Array, y: Array, _x: Array) -> NDArray[np.bool_]:
        return (y > 8) & (y < 14)

    density = Chest().density(ball(18), (ball(18), SOLID), (rib, CALCIUM))

    assert not density.is_calcified


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("slice_mm", [1.0, 3.0])
def test_a_cavity_has_its_volume_whether_the_mask_holds_it_or_not(slice_mm: float, is_marked: bool) -> None:
    chest = Chest(slice_mm=slice_mm)
    mask = ball(20) if is_marked else shell(20, 11)

    density = chest.density(mask, (ball(20), SOLID), (ball(11), GAS))

    assert density.is_cavitated
    assert density.cavity_ml == pytest.approx(math.pi / 6 * 1.1**3, rel=0.12)
    assert density.consistency is Consistency.SOLID


def test_a_thin_walled_cyst_is_a_cavity() -> None:
    density = Chest(reach_mm=16).density(ball(24), (ball(23), SOLID), (ball(20), GAS))

    assert density.cavity_ml == pytest.approx(math.pi / 6 * 2.0**3, rel=0.12)


def test_emphysema_beside_a_lesion_is_no_cavity_even_where_a_loose_outline_takes_it_in() -> None:
    loose = ball(18)
    bulla = ball(9, 8)

    density = Chest().density(loose, (ball(14), SOLID), (bulla, GAS))

    assert not density.is_cavitated


def test_a_bronchus_of_4_mm_through_a_tumour_is_no_cavity() -> None:
    def bronchus(_z: Array, y: Array, x: Array) -> NDArray[np.bool_]:
        return y**2 + x**2 <= 2**2

    density = Chest().density(ball(20), (ball(20), SOLID), (bronchus, GAS))

    assert (density.is_cavitated, density.cavity_ml) == (False, 0)


def spiky(radius_mm: float, spikes: int, kind: str) -> Region:
    """A ball with lobes or spicules in directions spread evenly over it."""
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
def test_smooth_then_lobulated_then_spiculated_outlines_are_rougher_and_rougher(
    radius_mm: float, slice_mm: float
) -> None:
    chest = Chest(slice_mm=slice_mm, reach_mm=1.7 * radius_mm)
    shapes = (ball(2 * radius_mm), spiky(radius_mm, 14, "lobes"), spiky(radius_mm, 30, "spicules"))

    smooth, lobulated, spiculated = (chest.density(shape) for shape in shapes)

    assert smooth.spiculation < 0.015
    assert smooth.lobulation < 0.015
    assert 0.025 < lobulated.spiculation < 0.06 < spiculated.spiculation
    assert 0.045 < lobulated.lobulation < 0.10 < spiculated.lobulation


def test_roughness_has_no_size_and_hardly_a_slice_thickness() -> None:
    shape = spiky(10, 30, "spicules")
    fine = Chest(reach_mm=17).density(shape)

    double = Chest(reach_mm=34, slice_mm=2, pixel_mm=1.4).density(lambda z, y, x: shape(z / 2, y / 2, x / 2))
    thick = Chest(reach_mm=17, slice_mm=3).density(shape)

    assert double.spiculation == pytest.approx(fine.spiculation, abs=0.002)
    assert thick.spiculation == pytest.approx(fine.spiculation, rel=0.25)
    assert thick.lobulation == pytest.approx(fine.lobulation, rel=0.25)


def test_the_indices_of_a_cross_are_those_of_paper() -> None:
    arm, length = 10, 60  # mm, on pixels so small that rounded corners do not count
    plane = np.zeros((140, 140), bool)
    plane[10:130, 60:80] = plane[60:80, 10:130] = True
    volume = Volume(hu=np.zeros((1, 140, 140), np.float32), affine=np.diag([1, 0.5, 0.5, 1.0]))

    density = density_of(lesion_of(plane[None]), volume)

    area, hull_area = 2 * arm * length - arm**2, length**2 - (length - arm) ** 2 / 2
    perimeter, hull_perimeter = 4 * length, 4 * arm + 4 * (length - arm) / 2**0.5
    assert density.spiculation == pytest.approx(1 - hull_perimeter / perimeter, abs=0.01)
    assert density.lobulation == pytest.approx(1 - area / hull_area, abs=0.01)


@pytest.mark.parametrize(("hu", "consistency"), [(30, Consistency.SOLID), (-600, Consistency.GROUND_GLASS)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 4), (2, 1, 1)])
def test_a_lesion_of_few_voxels_is_described(shape: tuple[int, int, int], hu: float, consistency: Consistency) -> None:
    volume = Volume(hu=np.full((4, 9, 9), hu, np.float32), affine=np.diag([2.0, 0.7, 0.7, 1]))
    mask = np.zeros((4, 9, 9), bool)
    mask[: shape[0], 3 : 3 + shape[1], 2 : 2 + shape[2]] = True

    density = density_of(lesion_of(mask), volume)

    assert density.consistency is consistency
    assert (density.calcified_ml, density.cavity_ml, density.spiculation) == (0, 0, 0)


def test_the_values_are_plain_numbers_and_answers_that_json_can_write() -> None:
    density = Chest().density(ball(20), (ball(20), SOLID), (ball(11), GAS), (ball(6, 7.5), CALCIUM))

    assert json.loads(json.dumps(asdict(density))) == asdict(density)
    assert density.is_calcified
    assert density.is_cavitated


def test_a_lesion_of_clipped_air_is_no_error() -> None:
    volume = Volume(hu=np.full((6, 9, 9), -1024, np.float32), affine=np.diag([2.0, 0.7, 0.7, 1]))

    density = density_of(lesion_of(np.ones((6, 9, 9), bool)), volume)

    assert (density.consistency, density.mass_g, density.cavity_ml) == (Consistency.GROUND_GLASS, 0, 0)


def test_what_lies_in_the_lesions_box_but_not_in_the_lesion_changes_nothing() -> None:
    chest = Chest(reach_mm=12)
    volume = chest.scan((ball(12), GROUND_GLASS))
    lesion = lesion_of(ball(12)(*chest.points([1, 1, 1])))
    box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
    brighter = volume.hu.copy()
    brighter[box][~lesion.voxels] = SOLID

    assert density_of(lesion, Volume(hu=brighter, affine=volume.affine)) == density_of(lesion, volume)
