"""The scan as radiologists look at it: head and front up, the patient's right on the left. Draws nothing.

The volume is turned by right angles, however the series is stored; nothing is resampled.
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
    """One of the three planes. fixed: the axis of the upright volume that it cuts; the others run down and across.

    is_upward: whether the index along the vertical axis grows towards the top of the picture.
    marks: what lies at the left, right, upper and lower edge.
    """

    name: str
    fixed: int
    is_upward: bool
    marks: tuple[str, str, str, str]

    @property
    def axes(self) -> tuple[int, int]:
        """The axes of the upright volume that run vertically and horizontally."""
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
    """The upright volume: axes run to the head, to the back and to the patient's left. affine: of this grid."""

    hu: NDArray[np.float32]
    affine: Points

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel's size in mm along the upright axes."""
        return spacing_of(self.affine)

    def index_of(self, place_mm: tuple[float, float, float] | Points) -> Points:
        """Return the index, with its fraction, of a place in LPS mm."""
        return np.asarray(np.linalg.solve(self.affine[:3, :3], np.subtract(place_mm, self.affine[:3, 3])), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A lesion in the scene. voxels: bool, its bounding box upright. corner: index of the box's first voxel."""

    voxels: NDArray[np.bool_]
    corner: tuple[int, int, int]

    def middle(self, spacing: tuple[float, float, float]) -> tuple[int, int, int]:
        """Return the index of its voxel that is nearest to its centre, which may lie beside it."""
        places = np.argwhere(self.voxels)
        distances = (((places - places.mean(axis=0)) * spacing) ** 2).sum(axis=1)
        first, row, column = (int(index) for index in places[int(distances.argmin())] + self.corner)
        return first, row, column

    def centre(self, plane: Plane) -> tuple[float, float]:
        """Return the (vertical, across) index of the middle of its box."""
        vertical, across = (self.corner[axis] + (self.voxels.shape[axis] - 1) / 2 for axis in plane.axes)
        return vertical, across

    def cut(self, plane: Plane, index: int) -> list[Points]:
        """Return its outlines on a plane, as (vertical, across) indices."""
        offset = index - self.corner[plane.fixed]
        if not 0 <= offset < self.voxels.shape[plane.fixed]:
            return []
        return self._outlines(plane, plane.slice_of(self.voxels, offset))

    def shadow(self, plane: Plane) -> list[Points]:
        """Return the outlines of its projection, as (vertical, across) indices."""
        return self._outlines(plane, np.asarray(self.voxels.any(axis=plane.fixed)))

    def _outlines(self, plane: Plane, inside: NDArray[np.bool_]) -> list[Points]:
        vertical, across = plane.axes
        corner = np.array([self.corner[vertical], self.corner[across]])
        return [outline + corner for outline in outlines(inside)]


def upright_volume_of(findings: Findings) -> UprightVolume:
    """Return the volume of the findings upright."""
    hu, affine = turned_upright(findings.volume.hu, findings.volume.affine)
    return UprightVolume(hu=hu, affine=affine)


def turned_upright(stored: NDArray[Voxel], affine: Points) -> tuple[NDArray[Voxel], Points]:
    """Return a view of an array that is upright, and its affine."""
    orientation = orientation_of(affine)
    upright = np.flip(stored.transpose(orientation.order), orientation.flips)
    turned = affine.copy()
    turned[:, :3] = affine[:, list(orientation.order)]
    for axis in orientation.flips:
        turned[:3, 3] += turned[:3, axis] * (upright.shape[axis] - 1)
        turned[:3, axis] *= -1
    return upright, turned


def body_of(lesion: Lesion, findings: Findings) -> Body:
    """Return a lesion as it lies in the scene of its findings."""
    orientation = orientation_of(findings.volume.affine)
    corner, sizes, shape = (
        [values[axis] for axis in orientation.order]
        for values in (lesion.corner, lesion.voxels.shape, findings.volume.hu.shape)
    )
    for axis in orientation.flips:
        corner[axis] = shape[axis] - corner[axis] - sizes[axis]
    return Body(voxels=orientation.upright(lesion.voxels), corner=(corner[0], corner[1], corner[2]))


def outlines(inside: NDArray[np.bool_]) -> list[Points]:
    """Return the outlines of a mask, (vertical, across) in indices: halfway between the voxels inside and outside."""
    padded = np.pad(inside, 1).astype(np.float64)
    # contourpy gives closed contours, as (column, row).
    return [np.asarray(contour)[:, ::-1] - 1 for contour in contour_generator(z=padded).lines(0.5)]
