"""A stack of CT slices with its tumour mask: the result of every reader, and the input of training and evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.orientation import orientation_of
from models.volume import spacing_of
from training.data.array import Slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Consecutive slices of one patient, upright: slices to the head, rows to posterior, columns to the left.

    The arrays are in memory, or on disk: `np.asarray` reads a whole one, indexing reads slices.

    hu: int16 (slice, row, column). mask: bool, same shape. spacing_mm: along the same axes. whole: True for whole
    slices, in which everything outside the mask is known to be no tumour. first_slice: number of the first slice among
    all slices of the patient. readers: uint8, same shape, bit r set where reader r marked; None for a single reader or
    if unknown. estimated: True if Hounsfield units and slice spacing were estimated from 8-bit pictures.
    """

    source: str
    patient: str
    name: str
    hu: Slices
    mask: Slices
    spacing_mm: tuple[float, float, float]
    whole: bool
    first_slice: int = 0
    readers: Slices | None = None
    estimated: bool = False

    def marked_slices(self) -> NDArray[np.bool_]:
        """Return for each slice whether the mask marks a voxel of it."""
        return np.asarray(np.asarray(self.mask).any(axis=(1, 2)))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return math.prod(self.spacing_mm) / 1000


def upright_stack(
    hu: NDArray[np.int16], mask: NDArray[np.bool_], affine: NDArray[np.float64], *, source: str, patient: str, name: str
) -> Stack:
    """Return a whole scan as an upright stack; affine maps (slice, row, column, 1) to LPS mm."""
    orientation = orientation_of(affine)
    return Stack(
        source=source,
        patient=patient,
        name=name,
        hu=orientation.upright(hu),
        mask=orientation.upright(mask),
        spacing_mm=orientation.spacing(spacing_of(affine)),
        whole=True,
    )
