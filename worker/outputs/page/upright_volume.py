"""The volume in radiological display orientation: head and front up, the patient's right on the left.

Axes are permuted and flipped, whatever the orientation of the series; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

from models.orientation import orientation_of
from models.volume import spacing_of
from worker.findings import Findings
from worker.lesions.lesion import Lesion

Voxel = TypeVar("Voxel", bound=np.generic)
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One of the three planes. fixed: the axis of the upright volume along which the slice index runs.

    is_upward: whether the index along the vertical axis grows towards the top of the picture.
    marks: the sides of the patient at the left, right, upper and lower edge.
    """

    name: str
    fixed: int
    is_upward: bool
    marks: tuple[str, str, str, str]

    @property
    def axes(self) -> tuple[int, int]:
        """The vertical and the horizontal axis of the picture, as axes of the upright volume."""
        vertical, across = (axis for axis in range(3) if axis != self.fixed)
        return vertical, across

    def slice_of(self, upright: NDArray[Voxel], index: int) -> NDArray[Voxel]:
        """Return one slice of an upright array, axes (vertical, across)."""
        return upright[tuple(index if axis == self.fixed else slice(None) for axis in range(3))]


AXIAL = Plane(name="axial", fixed=0, is_upward=False, marks=("R", "L", "A", "P"))
CORONAL = Plane(name="coronal", fixed=1, is_upward=True, marks=("R", "L", "H", "F"))
SAGITTAL = Plane(name="sagittal", fixed=2, is_upward=True, marks=("A", "P", "H", "F"))


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightVolume:
    """The upright volume: axes point to the head, to the back and to the patient's left. affine: index to LPS mm."""

    hu: NDArray[np.float32]
    affine: Points

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel size in mm along the upright axes."""
        return spacing_of(self.affine)

    def index_of(self, point_mm: tuple[float, float, float] | Points) -> Points:
        """Return the fractional index of a point in LPS mm."""
        return np.asarray(np.linalg.solve(self.affine[:3, :3], np.subtract(point_mm, self.affine[:3, 3])), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightLesion:
    """A lesion in the upright volume. voxels: mask of its bounding box. corner: index of the box's first voxel."""

    voxels: NDArray[np.bool_]
    corner: tuple[int, int, int]

    def middle(self, spacing: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the index of the lesion voxel nearest to the centroid, which itself may lie outside the lesion."""
        indices = np.argwhere(self.voxels)
        distances = (((indices - indices.mean(axis=0)) * spacing) ** 2).sum(axis=1)
        first, row, column = (int(index) for index in indices[int(distances.argmin())] + self.corner)
        return first, row, column

    def centre(self, plane: Plane) -> tuple[float, float]:
        """Return the (vertical, across) index of the centre of the bounding box."""
        vertical, across = (self.corner[axis] + (self.voxels.shape[axis] - 1) / 2 for axis in plane.axes)
        return vertical, across

    def outlines_on(self, plane: Plane, index: int) -> list[Points]:
        """Return the outlines of the lesion on a slice, as (vertical, across) indices."""
        offset = index - self.corner[plane.fixed]
        if not 0 <= offset < self.voxels.shape[plane.fixed]:
            return []
        return self._outlines(plane, plane.slice_of(self.voxels, offset))

    def projected_outlines(self, plane: Plane) -> list[Points]:
        """Return the outlines of the projection of the lesion, as (vertical, across) indices."""
        return self._outlines(plane, np.asarray(self.voxels.any(axis=plane.fixed)))

    def _outlines(self, plane: Plane, inside: NDArray[np.bool_]) -> list[Points]:
        vertical, across = plane.axes
        corner = np.array([self.corner[vertical], self.corner[across]])
        return [outline + corner for outline in outlines(inside)]


def upright_volume_of(findings: Findings) -> UprightVolume:
    """Return the volume of the scan, in HU, as an upright view of the same memory; axes as in `UprightVolume`."""
    hu, affine = reoriented(findings.volume.hu, findings.volume.affine)
    return UprightVolume(hu=hu, affine=affine)


def reoriented(stored: NDArray[Voxel], affine: Points) -> tuple[NDArray[Voxel], Points]:
    """Return an upright view of an array, without a copy, and its affine."""
    orientation = orientation_of(affine)
    upright = np.flip(stored.transpose(orientation.order), orientation.flips)
    turned = affine.copy()
    turned[:, :3] = affine[:, list(orientation.order)]
    for axis in orientation.flips:
        turned[:3, 3] += turned[:3, axis] * (upright.shape[axis] - 1)
        turned[:3, axis] *= -1
    return upright, turned


def upright_lesion_of(lesion: Lesion, findings: Findings) -> UprightLesion:
    """Return a lesion in the upright volume of its findings."""
    orientation = orientation_of(findings.volume.affine)
    corner, sizes, shape = (
        [values[axis] for axis in orientation.order]
        for values in (lesion.corner, lesion.voxels.shape, findings.volume.hu.shape)
    )
    for axis in orientation.flips:
        corner[axis] = shape[axis] - corner[axis] - sizes[axis]
    return UprightLesion(voxels=orientation.upright(lesion.voxels), corner=(corner[0], corner[1], corner[2]))


def outlines(inside: NDArray[np.bool_]) -> list[Points]:
    """Return the outlines of a mask as (vertical, across) indices, halfway between inner and outer voxels."""
    padded = np.pad(inside, 1).astype(np.float64)
    # contourpy returns closed contours as (column, row).
    return [np.asarray(contour)[:, ::-1] - 1 for contour in contour_generator(z=padded).lines(0.5)]
