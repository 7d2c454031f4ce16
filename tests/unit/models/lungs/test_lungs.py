"""Lungs of the generated chest against their analytic shape (tests/fixtures/models/lung_phantoms.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs
from models.lungs.outline import find_lung_air, outline_lungs
from models.volume import Volume
from tests.fixtures.models.lung_phantoms import HEART, analytic_lung, chest, ellipsoid, points, stored, tilted

ORDERS = {
    "feet first": ((0, 1, 2), (0, 2)),
    "prone": ((0, 1, 2), (1, 2)),
    "rows along x": ((0, 2, 1), (1,)),
}


@pytest.fixture(scope="module")
def volume() -> Volume:
    return chest()


@pytest.fixture(scope="module")
def lungs(volume: Volume) -> Lungs:
    return outlined(volume)


@pytest.fixture(scope="module")
def straight(volume: Volume) -> Lungs:
    """The lungs on voxels of the size of a tilted scan's."""
    return outlined(tilted(volume, 0.0, is_gantry=True))


def outlined(volume: Volume) -> Lungs:
    lungs = outline_lungs(find_lung_air(volume))
    assert lungs is not None
    return lungs


def at(lungs: Lungs, lps_mm: tuple[float, float, float]) -> tuple[int, ...]:
    """The voxel of the lungs' grid at this position."""
    index = np.linalg.inv(lungs.affine) @ [*lps_mm, 1]
    return tuple(round(float(one)) for one in index[:3])


def test_each_lung_has_its_analytic_shape_and_side(lungs: Lungs) -> None:
    where = points(lungs.lobes.shape, lungs.affine)
    for side, outline in ((-1, np.isin(lungs.lobes, (1, 2, 3))), (1, lungs.lobes >= 4)):
        truth = analytic_lung(where, side)

        assert 2 * (outline & truth).sum() / (outline.sum() + truth.sum()) > 0.97


def test_trachea_main_bronchi_and_heart_are_outside_the_lungs(lungs: Lungs) -> None:
    """The phantom's trachea runs along (0, 12, z) down to 22 mm, its bronchi from (3, 12, 24) by (4, 1, -3.2)."""
    path = [(0.0, 12.0, float(z)) for z in range(24, 110, 5)]
    path += [(side * (3 + 4.0 * step), 12.0 + step, 24 - 3.2 * step) for side in (-1, 1) for step in range(6)]
    heart = ellipsoid(points(lungs.lobes.shape, lungs.affine), *HEART)

    assert [place for place in path if lungs.lobes[at(lungs, place)]] == []
    assert lungs.lobes[heart].astype(bool).mean() < 0.02


def test_the_carina_is_where_the_bronchi_separate(lungs: Lungs) -> None:
    """Two tubes of radius 6.5 along (+-4, 1, -3.2) from (+-3, 12, 24): they separate at z = 18.1, y = 14."""
    assert lungs.carina_mm == pytest.approx((0.0, 14.0, 18.1), abs=3.0)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_storage_gives_the_same_lungs(volume: Volume, lungs: Lungs, order: str) -> None:
    axes, flipped = ORDERS[order]
    other = outlined(stored(volume, axes, flipped))

    assert other.carina_mm == lungs.carina_mm
    for name in ("lobes", "fissure_mm", "wall_mm", "mediastinum_mm"):
        back = np.flip(getattr(other, name).transpose(np.argsort(axes)), flipped)
        np.testing.assert_array_equal(back, getattr(lungs, name))
    place = (-80.0, 30.0, -40.0)
    assert other.lobes[at(other, place)] == lungs.lobes[at(lungs, place)] == Lobe.RIGHT_LOWER


def test_the_distance_to_wall_and_mediastinum_is_the_analytic_one(lungs: Lungs) -> None:
    """At the height of the lungs' centre the outer wall is at x = -136, the mediastinum's edge at x = -32."""
    assert lungs.wall_mm[at(lungs, (-116.0, -2.0, -12.0))] == pytest.approx(20.0, abs=2.5)
    assert lungs.mediastinum_mm[at(lungs, (-60.0, 4.0, -12.0))] == pytest.approx(28.0, abs=2.5)
    assert lungs.wall_mm[at(lungs, (-60.0, -20.0, -12.0))] > 40
    assert lungs.wall_mm[at(lungs, (-150.0, 0.0, 0.0))] == 0
    assert lungs.mediastinum_mm[at(lungs, (0.0, -20.0, 30.0))] == 0


TO_WALL_MM = {
    (-116.0, -2.0, -12.0): 20.0,
    (-100.0, -2.0, 60.0): 24.2,
    (100.0, 40.0, -12.0): 26.3,
    (76.0, -2.0, 80.0): 34.9,
}
"""From places in the lungs to the nearest point of their ellipsoids, which is on the chest wall."""


@pytest.mark.parametrize(("tilt_deg", "is_gantry"), [(20.0, True), (-30.0, False)], ids=["gantry", "oblique"])
def test_a_tilted_scan_gives_the_same_lungs(volume: Volume, straight: Lungs, tilt_deg: float, is_gantry: bool) -> None:
    found = outlined(tilted(volume, tilt_deg, is_gantry=is_gantry))

    where = points(found.lobes.shape, found.affine)
    outline, truth = found.lobes > 0, analytic_lung(where, -1) | analytic_lung(where, 1)
    assert 2 * (outline & truth).sum() / (outline.sum() + truth.sum()) > 0.96
    for place, distance_mm in TO_WALL_MM.items():
        assert found.wall_mm[at(found, place)] == pytest.approx(distance_mm, abs=2.5)
    places = [(float(x), float(y), float(z)) for x, y, z in where[truth][::499]]
    assert np.mean([found.lobes[at(found, place)] == straight.lobes[at(straight, place)] for place in places]) > 0.95


def test_a_tilted_scan_that_ends_within_the_lungs_is_cut(volume: Volume) -> None:
    whole = tilted(volume, 20.0, is_gantry=True)
    upper = replace(whole, hu=whole.hu[60:], affine=moved(whole.affine, 60))

    assert not find_lung_air(whole).is_cut
    assert find_lung_air(upper).is_cut
    assert outline_lungs(find_lung_air(upper)) is None


def moved(affine: NDArray[np.float64], slices: int) -> NDArray[np.float64]:
    shifted = affine.copy()
    shifted[:3, 3] += affine[:3, 0] * slices
    return shifted


@pytest.mark.parametrize(
    ("centre", "diameter_mm"),
    [
        ((-118.0, 8.0, -30.0), 50.0),
        ((-50.0, -4.0, -30.0), 35.0),
        ((76.0, 70.0, 20.0), 40.0),
    ],
)
def test_a_tumour_on_wall_or_mediastinum_belongs_to_the_lung(
    volume: Volume, centre: tuple[float, float, float], diameter_mm: float
) -> None:
    tumour = ellipsoid(points(volume.hu.shape, volume.affine), centre, (diameter_mm / 2,) * 3)
    lungs = outlined(replace(volume, hu=np.where(tumour, np.float32(40), volume.hu)))
    where = points(lungs.lobes.shape, lungs.affine)
    inside = ellipsoid(where, centre, (diameter_mm / 2,) * 3) & analytic_lung(where, -1 if centre[0] < 0 else 1)
    names = lungs.lobes[inside]

    assert (names > 0).mean() > 0.85
    assert {Lobe(name).is_right for name in np.unique(names[names > 0])} == {centre[0] < 0}


def test_gas_in_stomach_and_bowel_is_not_lung(volume: Volume) -> None:
    where = points(volume.hu.shape, volume.affine)
    gas = ellipsoid(where, (76.0, -60.0, -118.0), (22.0, 14.0, 12.0))
    around = ellipsoid(where, (76.0, -60.0, -118.0), (40.0, 60.0, 24.0))
    hu = np.where(gas, -1000, np.where(around, 40, volume.hu)).astype(np.float32)
    lungs = outlined(replace(volume, hu=hu))

    assert not lungs.lobes[at(lungs, (76.0, -60.0, -118.0))]


def test_without_a_pair_of_lungs_the_result_is_none(volume: Volume) -> None:
    """Soft tissue only; the left lung full of fluid; ten slices from the middle."""
    fluid = volume.hu.copy()
    fluid[points(volume.hu.shape, volume.affine)[..., 0] > 30] = 20
    slab = replace(volume, hu=volume.hu[50:60])

    assert outline_lungs(find_lung_air(replace(volume, hu=np.full_like(volume.hu, 40)))) is None
    assert outline_lungs(find_lung_air(replace(volume, hu=fluid))) is None
    assert outline_lungs(find_lung_air(slab)) is None
