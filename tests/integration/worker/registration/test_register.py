"""Registration of lungs with analytically known deformations."""

import numpy as np
import pytest

from models.volume import Mask
from tests.fixtures.worker.breathing_lungs import Breath, Grid, Points, pairs_within, scan
from worker.registration.register import Method, Registration, register

BREATHS = {
    "the patient is turned and shifted": Breath(turn_deg=(4, -3, 8), shift_mm=(45, -30, 220)),
    "the patient breathes in": Breath(sink_mm=30, dome_mm=12, wider=0.05, shift_mm=(10, 5, -20)),
    "the patient breathes out, turned": Breath(sink_mm=-30, dome_mm=-10, wider=-0.04, turn_deg=(3, 5, -6)),
}


def errors_mm(registration: Registration, breath: Breath) -> Points:
    prior, later = pairs_within(breath)
    errors: Points = np.linalg.norm(registration.to_later(prior) - later, axis=1)
    return errors


@pytest.mark.parametrize("breath", BREATHS.values(), ids=BREATHS)
def test_a_point_inside_the_lungs_is_mapped_to_its_true_position(breath: Breath) -> None:
    grid = Grid(spacing_mm=(3, 2, 2), signs=(-1, 1, 1), middle_mm=breath.shift_mm)
    registration = register(scan(), scan(grid, breath))
    assert registration.method is Method.DEFORMABLE
    assert registration.reason is None
    errors = errors_mm(registration, breath)
    assert errors.mean() < 3.5
    assert np.percentile(errors, 95) < 7.0


def test_a_scan_stored_feet_first_and_obliquely_is_registered() -> None:
    stored = Grid(spacing_mm=(5, 1.5, 1.5), signs=(-1, -1, 1), lean_deg=12)
    registration = register(scan(), scan(stored))
    assert errors_mm(registration, Breath()).max() < 2.5
    assert registration.quality is not None
    assert registration.quality.surface_mm < 1.5
    assert 0.7 < registration.quality.smallest_jacobian <= registration.quality.largest_jacobian < 1.4


def test_coarse_masks_of_a_pet_grid_are_sufficient() -> None:
    breath = BREATHS["the patient breathes in"]
    grid = Grid(spacing_mm=(4.25, 4, 4), middle_mm=breath.shift_mm)
    registration = register(scan(Grid(spacing_mm=(3.4, 5.3, 5.3))), scan(grid, breath))
    assert registration.method is Method.DEFORMABLE
    assert errors_mm(registration, breath).mean() < 4.0


def test_the_jacobian_contains_the_shrinkage_of_the_lungs() -> None:
    prior, later = scan(), scan(breath=Breath(sink_mm=-30))
    quality = register(prior, later).quality
    shrunk = np.count_nonzero(later.voxels) / np.count_nonzero(prior.voxels)
    assert quality is not None
    assert quality.smallest_jacobian < shrunk < quality.largest_jacobian
    assert shrunk < 0.95


def test_the_same_masks_give_the_same_mapping() -> None:
    breath = BREATHS["the patient breathes out, turned"]
    prior, later = scan(Grid(spacing_mm=(4, 4, 4))), scan(Grid(spacing_mm=(4, 4, 4)), breath)
    points, _ = pairs_within(breath)
    first, again = (register(prior, later).to_later(points) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", ["prior", "later"])
def test_without_lungs_the_mapping_is_the_identity_and_the_reason_names_the_scan(name: str) -> None:
    registration = register(*[None if missing == name else scan() for missing in ("prior", "later")])
    assert registration.method is Method.NONE
    assert registration.quality is None
    assert registration.reason == f"the lungs of the {name} scan are not known"
    point = np.array([[1.0, -2.0, 3.5]])
    assert np.array_equal(registration.to_later(point), point)


def test_an_empty_mask_does_not_count_as_lungs() -> None:
    empty = Mask(voxels=np.zeros((4, 5, 6), bool), affine=np.eye(4))
    assert register(empty, scan()).method is Method.NONE
    assert register(scan(), empty).reason == "the lungs of the later scan are not known"


@pytest.mark.parametrize("is_prior", [True, False], ids=["prior", "later"])
def test_a_slab_of_the_lungs_is_registered_rigidly_with_a_reason(*, is_prior: bool) -> None:
    breath = Breath(turn_deg=(2, -3, 5), shift_mm=(30, -20, 60))
    slab = Grid(half_mm=(165, 120, 55), middle_mm=(0, 0, 20) if is_prior else (30, -20, 80))
    whole = Grid(middle_mm=breath.shift_mm if is_prior else (0, 0, 0))
    registration = register(scan(slab if is_prior else whole), scan(whole if is_prior else slab, breath))
    assert registration.method is Method.RIGID
    assert registration.reason == f"the {'prior' if is_prior else 'later'} scan shows a part of the lungs"
    assert errors_mm(registration, breath).mean() < 6.0


def test_one_lung_is_registered_to_the_lung_of_its_side() -> None:
    breath = Breath(turn_deg=(2, -3, 4), shift_mm=(30, -20, 60))
    registration = register(scan(), scan(Grid(middle_mm=breath.shift_mm), breath, sides=(1,)))
    assert registration.method is Method.RIGID
    assert registration.reason == "the lungs of the two scans differ too much in their extent"
    assert errors_mm(registration, breath).mean() < 6.0


def test_a_mask_that_cannot_be_registered_falls_back_to_the_lung_box_with_a_reason() -> None:
    prior = scan()
    indices = np.argwhere(prior.voxels)
    fractions = (np.moveaxis(np.indices(prior.voxels.shape), 0, -1) - indices.min(0)) / np.ptp(indices, axis=0)
    is_bar = ((fractions >= 0) & (fractions <= 1)).all(-1) & (np.abs(fractions - fractions[..., :1]) < 0.1).all(
        -1
    )  # a diagonal of the box
    shifted = prior.affine.copy()
    shifted[:3, 3] += (40, -20, 90)
    registration = register(prior, Mask(voxels=is_bar, affine=shifted))
    assert registration.method is Method.LUNG_BOX
    assert registration.reason is not None
    assert registration.reason.startswith("deformable: ")
    assert "; rigid: surfaces" in registration.reason
    points, _ = pairs_within(Breath())
    assert np.abs(registration.to_later(points) - points - (40, -20, 90)).max() < 3.0  # a voxel
