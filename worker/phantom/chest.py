"""A synthetic chest with known lesions, as an array; `dicom.py` writes it as a CT series.

Coordinates are LPS millimetres with the origin in the middle of the chest, axes of arrays (slice, row, column).
A voxel's value is a mean over the voxel (partial volume), so that a lesion's true volume is that of its ellipsoid.
A pose (patient_pose.py) scans the same chest again, on any grid: organs and vessels move by an analytic map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from worker.phantom.canvas import Array, Canvas, PhantomLesion, Point, soft
from worker.phantom.patient_pose import PatientPose
from worker.phantom.vessels import Ball, vessel_balls

__all__ = ["DEMO_LESIONS", "Phantom", "PhantomLesion", "PhantomSpec", "chest_phantom"]

AIR, FAT, MUSCLE, BONE, BLOOD, PARENCHYMA = -1000.0, -90.0, 45.0, 380.0, 50.0, -860.0
LUNG_CENTRE_MM, LUNG_HALF_AXES_MM = (76.0, -2.0, -12.0), (60.0, 88.0, 128.0)
"""Of the left lung; the right lung is its mirror image."""
SOLID_PARTS = (
    ((0.0, 4.0, 0.0), (32.0, 62.0, 1e4), 10.0),
    ((22.0, -28.0, -48.0), (58.0, 48.0, 58.0), BLOOD),  # heart
    ((20.0, 48.0, 0.0), (13.0, 13.0, 1e4), BLOOD),  # descending aorta
    ((4.0, -22.0, 62.0), (24.0, 26.0, 26.0), BLOOD),  # aortic arch
    ((0.0, 78.0, 0.0), (20.0, 22.0, 1e4), BONE),  # spine
    ((0.0, 101.0, 0.0), (6.0, 20.0, 1e4), BONE),
    ((0.0, -106.0, 10.0), (20.0, 6.0, 90.0), BONE),  # sternum
)
"""Centre, half axes and HU of the organs and bones between and around the lungs."""

DEMO_LESIONS = (
    PhantomLesion(centre_mm=(-78.0, -12.0, 34.0), half_axes_mm=(18.0, 15.0, 16.0), turn_rad=0.5),
    PhantomLesion(centre_mm=(94.0, 12.0, -84.0), half_axes_mm=(13.0, 13.0, 13.0)),
    PhantomLesion(centre_mm=(66.0, -22.0, 58.0), half_axes_mm=(10.5, 10.5, 10.5)),
)
"""They touch neither vessels nor the heart, where their true edge would be undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """Parameters of a phantom: the grid, the lesions, and the seed of everything random."""

    seed: int = 1
    spacing_mm: Point = (2.5, 0.9, 0.9)
    shape: tuple[int, int, int] = (104, 384, 384)
    lesions: tuple[PhantomLesion, ...] = DEMO_LESIONS
    noise_hu: float = 18.0
    vessels_per_lung: int = 26
    pose: PatientPose | None = None
    """None: the reference chest. With a pose, one seed gives the same chest on every grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """A generated chest. hu: float32 (slice, row, column). affine: voxel index to LPS mm."""

    spec: PhantomSpec
    hu: Array
    affine: NDArray[np.float64]


def chest_phantom(spec: PhantomSpec | None = None) -> Phantom:
    """Generate the chest of `spec`; the same spec gives the same voxels."""
    spec = spec or PhantomSpec()
    rng = np.random.default_rng(spec.seed if spec.pose is None else [spec.seed, spec.pose.noise_seed])
    canvas = Canvas(spec.shape, spec.spacing_mm, AIR, spec.pose)
    _paint_trunk(canvas)
    _paint_lungs(canvas, rng)
    _paint_mediastinum(canvas)
    for centre, radius in _vessels(spec, rng):
        canvas.stamp(centre, radius, BLOOD)
    for lesion in spec.lesions:
        canvas.paint_lesion(lesion)
    _add_noise(canvas, spec.noise_hu, rng)
    return Phantom(spec=spec, hu=np.clip(np.rint(canvas.hu), -1024, 3071), affine=_affine(spec))


def _affine(spec: PhantomSpec) -> NDArray[np.float64]:
    affine = np.zeros((4, 4))
    for axis, (n, step) in enumerate(zip(spec.shape, spec.spacing_mm, strict=True)):
        affine[2 - axis, axis] = step
        affine[2 - axis, 3] = -(n - 1) / 2 * step
    affine[3, 3] = 1
    return affine


def _paint_trunk(canvas: Canvas) -> None:
    canvas.paint(canvas.ellipsoid((0, 0, 0), (170, 122, 1e4)), FAT)
    canvas.paint(canvas.ellipsoid((0, 0, 0), (158, 112, 1e4)), MUSCLE)
    z, y, x = canvas.chest
    # Ribs: a tilted ring every 24 mm between lungs and skin.
    ring = np.sqrt((x / 145) ** 2 + (y / 102) ** 2)
    height = (z + 0.35 * y + 0.05 * np.abs(x)) % 24 - 12
    distance = np.sqrt(((ring - 1) * 120) ** 2 + height**2)
    canvas.paint(soft(distance.astype(np.float32) - 4.5, 1.0) * (y > -85), BONE)


def _paint_lungs(canvas: Canvas, rng: np.random.Generator) -> None:
    inside = np.zeros(canvas.shape, np.float32)
    lung_x, lung_y, lung_z = LUNG_CENTRE_MM
    for side in (-1, 1):
        inside = np.maximum(inside, canvas.ellipsoid((side * lung_x, lung_y, lung_z), LUNG_HALF_AXES_MM))
    texture = gaussian_filter(rng.normal(0, 1, canvas.shape).astype(np.float32), 2.0)
    texture *= 25 / max(float(texture.std()), 1e-6)
    gravity = canvas.chest[1] * 0.35  # the dependent lung is denser
    canvas.paint(inside, (PARENCHYMA + gravity + texture).astype(np.float32))


def _paint_mediastinum(canvas: Canvas) -> None:
    for centre, half_axes, hu in SOLID_PARTS:
        canvas.paint(canvas.ellipsoid(centre, half_axes), hu)
    canvas.paint(canvas.ellipsoid((0, 12, 100), (9, 9, 78)), AIR)  # trachea
    for side in (-1, 1):
        for step in range(12):  # main bronchi
            canvas.stamp((side * (3 + 4.0 * step), 12 + step, 24 - 3.2 * step), 6.5, AIR, is_hollow=True)


def _vessels(spec: PhantomSpec, rng: np.random.Generator) -> list[Ball]:
    """Return the seed's vessel tree; with a pose, the tree that the seed gives on the default grid."""
    if spec.pose is not None:
        spec = PhantomSpec(seed=spec.seed, vessels_per_lung=spec.vessels_per_lung)
        rng = np.random.default_rng(spec.seed)
        rng.normal(0, 1, spec.shape)  # skip the random numbers of the lung texture
    return list(vessel_balls(spec.vessels_per_lung, lambda point: _is_in_lung(spec, point), rng))


def _is_in_lung(spec: PhantomSpec, point: NDArray[np.float64]) -> bool:
    """Return whether the centre of the voxel that contains the point lies in a lung."""
    lung_x, lung_y, lung_z = LUNG_CENTRE_MM
    inside = 0.0
    for middle, step, n, centre, half_axis in zip(
        (abs(float(point[0])), *map(float, point[1:])), spec.spacing_mm[::-1], spec.shape[::-1],
        (lung_x, lung_y, lung_z), LUNG_HALF_AXES_MM, strict=True,
    ):  # fmt: skip
        index = round(middle / step + (n - 1) / 2)
        if not 0 <= index < n:
            return False
        inside += (((index - (n - 1) / 2) * step - centre) / half_axis) ** 2
    return inside < 1


def _add_noise(canvas: Canvas, noise_hu: float, rng: np.random.Generator) -> None:
    """Apply the point spread of a medium kernel, then add correlated noise."""
    in_plane = 0.6 / canvas.spacing_mm[1]
    canvas.hu = gaussian_filter(canvas.hu, (0, in_plane, in_plane))
    noise = gaussian_filter(rng.normal(0, 1, canvas.shape).astype(np.float32), (0, 0.7, 0.7))
    canvas.hu += noise * np.float32(noise_hu / float(noise.std()))
