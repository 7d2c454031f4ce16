"""The steps of a registration, each from distance maps to a mapping: rigid, affine, deformable. Judges none of them.

Nothing is drawn by chance, all work is in a fixed order or voxel by voxel: the same masks give the same mapping, on any
number of cores (to the last digits of the linear algebra).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name that everyone gives it
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from worker.registration.distance_map import NEAR_MM, DistanceMap
from worker.registration.quality import Points

Matrix = NDArray[np.float64]
Parameters = NDArray[np.float64]

MOST_PLACES = 8_000
"""Of the map that rigid and affine look at; twelve numbers need no more."""
LEVER_MM = 100.0
"""A turn or stretch is counted by what it moves at this distance, so that all parameters are millimetres."""
OUTLIER_MM = 4.0
"""What differs by more counts less (soft L1): a tumour, an effusion, a part that is not shown."""
ALL_COUNTS_MM = 40.0
"""Turned and shifted alone, whole lungs fit nowhere well: all of them count, the diaphragm that has moved included."""
DIFFERENCE = np.array(1e-4)
"""By which the parameters are varied to see what they do, relative to their size."""
WIDTH, STEPS = 3.0, 40
"""Of the Gaussian that smooths the field of displacements, in voxels of 6 mm, and how often the field is mended.

On lungs of known deformation, a second round of half the width laid the surfaces no nearer than 0.05 mm, brought points
inside no nearer, and squeezed real lungs where a tumour has taken from one.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A mapping of points by one matrix.

    matrix: (4, 4), (x, y, z, 1) of the earlier scan to that of the later, LPS mm.
    """

    matrix: Matrix

    def __call__(self, points_mm: Points) -> Points:
        """Return where the points lie in the later scan."""
        moved: Points = points_mm @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return moved

    def back(self) -> Affine:
        """Return the mapping the other way round."""
        return Affine(matrix=np.asarray(np.linalg.inv(self.matrix), np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deformation:
    """A mapping by a smooth field of displacements, then a matrix.

    field_mm: (z, y, x, 3), displacements along x, y, z; its edge goes on beyond. first_mm: LPS, the centre of its first
    voxel. spacing_mm: along all axes.
    """

    field_mm: NDArray[np.float64]
    first_mm: Points
    spacing_mm: float
    then: Affine

    def __call__(self, points_mm: Points) -> Points:
        """Return where the points lie in the later scan."""
        index = ((points_mm - self.first_mm) / self.spacing_mm).T[::-1]
        along = [ndimage.map_coordinates(self.field_mm[..., axis], index, order=1, mode="nearest") for axis in range(3)]
        return self.then(points_mm + np.stack(along, axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """What rigid and affine bring together: the earlier distances at some places, and the later map."""

    places_mm: Points
    here_mm: NDArray[np.float32]
    later: DistanceMap
    outlier_mm: float


def rigid(earlier: DistanceMap, later: DistanceMap, starts_mm: Sequence[Points], *, is_partial: bool = False) -> Affine:
    """Return the best turn and shift of those found from several shifts to start with.

    is_partial: the earlier map is the part, and counts where its scan shows what it says.
    """
    middle = _middle(earlier)

    def mapping(parameters: Parameters) -> Affine:
        turn = Rotation.from_rotvec(parameters[:3] / LEVER_MM).as_matrix()
        return _around(middle, turn, parameters[3:])

    starts = [np.concatenate([np.zeros(3), start]) for start in starts_mm]
    fit = _part(earlier, later) if is_partial else _whole(earlier, later, ALL_COUNTS_MM)
    found = [_fitted(fit, mapping, start) for start in starts]
    return min(found, key=lambda one: one[1])[0]


def affine(earlier: DistanceMap, later: DistanceMap, start: Affine) -> Affine:
    """Return the best affine mapping near a start: breathing stretches the lungs, along the body above all."""
    middle = _middle(earlier)

    def mapping(parameters: Parameters) -> Affine:
        return _around(middle, parameters[:9].reshape(3, 3) / LEVER_MM, parameters[9:])

    first = np.concatenate([start.matrix[:3, :3].ravel() * LEVER_MM, start(middle[None])[0] - middle])
    return _fitted(_whole(earlier, later, OUTLIER_MM), mapping, first)[0]


def deformable(earlier: DistanceMap, later: DistanceMap, start: Affine) -> Deformation:
    """Return the start with a smooth field before it, by diffeomorphic demons (Vercauteren 2009)."""
    places = earlier.places_of(np.ones(earlier.mm.shape, bool))
    moved = _read(later.mm, later.index_of(start(places))).reshape(earlier.mm.shape)
    still, warped = _image(earlier.mm, earlier.spacing_mm), _image(moved, earlier.spacing_mm)
    return Deformation(
        field_mm=sitk.GetArrayFromImage(_demons().Execute(still, warped)).astype(np.float64),
        first_mm=earlier.first_mm,
        spacing_mm=earlier.spacing_mm,
        then=start,
    )


def _whole(earlier: DistanceMap, later: DistanceMap, outlier_mm: float) -> _Fit:
    return _fit(earlier, later, np.abs(earlier.mm) < NEAR_MM, outlier_mm)


def _part(earlier: DistanceMap, later: DistanceMap) -> _Fit:
    return _fit(earlier, later, earlier.known, OUTLIER_MM)


def _fit(earlier: DistanceMap, later: DistanceMap, chosen: NDArray[np.bool_], outlier_mm: float) -> _Fit:
    step = max(1, np.count_nonzero(chosen) // MOST_PLACES)
    places, here = earlier.places_of(chosen)[::step], earlier.near_mm[chosen][::step]
    return _Fit(places_mm=places, here_mm=here, later=later, outlier_mm=outlier_mm)


def _fitted(fit: _Fit, mapping: Callable[[Parameters], Affine], start: Parameters) -> tuple[Affine, float]:
    """Return the mapping that makes the two maps differ least, and by how much."""
    places, here, there = fit.places_mm, fit.here_mm, fit.later.near_mm

    def differences(parameters: Parameters) -> NDArray[np.float64]:
        return _read(there, fit.later.index_of(mapping(parameters)(places))) - here

    found = least_squares(differences, start, loss="soft_l1", f_scale=fit.outlier_mm, diff_step=DIFFERENCE)
    return mapping(found.x), float(found.cost) / len(places)


def _around(middle: Points, matrix: Matrix, shift_mm: Points) -> Affine:
    """Return the mapping by a matrix around a point, then a shift."""
    whole = np.eye(4)
    whole[:3, :3] = matrix
    whole[:3, 3] = middle + shift_mm - matrix @ middle
    return Affine(matrix=whole)


def _middle(earlier: DistanceMap) -> Points:
    return earlier.first_mm + earlier.spacing_mm * (np.array(earlier.mm.shape[::-1]) - 1) / 2


def _read(values: NDArray[np.float32], index: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values between the voxels; the map's edge goes on beyond."""
    return np.asarray(ndimage.map_coordinates(values, index, np.float64, order=1, mode="nearest"))


def _image(values: NDArray[np.floating], spacing_mm: float) -> sitk.Image:
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing([spacing_mm] * 3)
    return image


def _demons() -> sitk.DiffeomorphicDemonsRegistrationFilter:
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(STEPS)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(WIDTH)
    demons.SetSmoothUpdateField(False)
    demons.SetMaximumRMSError(0.0)  # always all steps
    return demons
