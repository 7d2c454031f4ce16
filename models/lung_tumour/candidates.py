"""Candidates for tumours: where the cascade runs the whole ensemble. One network finds them on whole slices."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from models.engines.engine import Engine
from models.lung_tumour.kinds import MULTIPLE
from models.lung_tumour.slice_stack import Area, SliceStack
from models.lung_tumour.transforms import PIXEL_MM
from models.segmenter import Progress

SEED_LOGIT, PEAK_LOGIT = -2.0, -1.2
"""A candidate is a component above the first logit with a voxel above the second: a probability of 0.12 and 0.23.

With a peak of 0, nodules of 0.24 ml are lost that the ensemble is sure of.
"""
STEP_MM = 2.0
"""Slices that are closer together than this are skipped."""
MIN_SEED_ML = 0.03
"""A third of the smallest lesion that is reported: smaller components are no candidates."""
AROUND_MM, AROUND_SLICES_MM = 5.0, 4.0
"""Margin of a candidate around its component, in the slice and across slices."""
NEAR_MM = 9.0
"""A candidate farther than this from the lungs is none: `segmenter.TOUCH_MM`, and twice the grid's 2 mm."""
OUTSIDE_LOGIT = -20.0

Bools = NDArray[np.bool_]
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateNetwork:
    """engine: of the network. pixels: side of one of its pixels, in pixels of PIXEL_MM.

    least_side: smaller images are padded to this many of its pixels, the side of the crops that it is trained on: a
    network in coarse pixels misses nodules in images of a quarter of that.
    """

    engine: Engine
    pixels: int = 1
    least_side: int = 0

    def logits(self, images: torch.Tensor) -> Array:
        """Return the largest logits (row, column) over images (n, plane, row, column), in the network's pixels."""
        rows, columns = images.shape[2:]
        down, across = (max(self.least_side - side, -side % MULTIPLE) for side in (rows, columns))
        top, left = down // 2, across // 2
        padded = functional.pad(images, (left, across - left, top, down - top), mode="replicate")
        logits = self.engine.logits(padded.to(self.engine.device))[:, 0, top : top + rows, left : left + columns]
        return np.asarray(logits.amax(0).cpu())


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Connected regions in which the ensemble runs.

    labels: (slice, row, column), 0 outside, else the number of the candidate, from 1; in pixels whose side is `pixels`
    pixels of PIXEL_MM. peak_slices: bool, where one is above PEAK_LOGIT. boxes: around each, in order, in pixels of
    PIXEL_MM. voxel_ml: volume of a voxel of PIXEL_MM.
    """

    labels: NDArray[np.integer]
    peak_slices: Bools
    pixels: int
    boxes: list[tuple[slice, slice, slice]]
    voxel_ml: float

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.boxes)

    def areas(self, slice_number: int, is_kept: Bools) -> list[Area]:
        """Return the rows and columns of the candidates in a slice, in pixels of PIXEL_MM. is_kept: by label."""
        labels = self.labels[slice_number]
        boxes = ndimage.find_objects(np.where(is_kept[labels], labels, 0))
        return [_fine_area(rows, columns, self.pixels) for rows, columns in filter(None, boxes)]

    def labels_in(self, box: tuple[slice, slice, slice]) -> NDArray[np.integer]:
        """Return the labels of a box of `boxes`, in pixels of PIXEL_MM."""
        slices, *sides = box
        rows, columns = (slice(side.start // self.pixels, side.stop // self.pixels) for side in sides)
        return self._fine(self.labels[slices, rows, columns])

    def labels_of(self, slice_number: int) -> NDArray[np.integer]:
        """Return the labels (row, column) of a slice, in pixels of PIXEL_MM."""
        return self._fine(self.labels[slice_number])

    def _fine(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        return labels.repeat(self.pixels, -1).repeat(self.pixels, -2)


def find_candidates(
    network: CandidateNetwork, stack: SliceStack, field: Bools | None, progress: Progress
) -> Candidates:
    """Return the candidates of a stack near the lung field (slice, row, column) of the scan; all if there is none."""
    coarse = None if field is None else stack.on_the_networks_grid(field, network.pixels)
    return candidates_of(_logits(network, stack, progress), stack.spacing[0], network.pixels, coarse)


def candidates_of(logits: Array, slice_mm: float, pixels: int, field: Bools | None = None) -> Candidates:
    """Return the components of the network's logits, with their margins; margins that touch are one candidate.

    logits: (slice, row, column), in pixels whose side is `pixels` pixels of PIXEL_MM. slice_mm: distance of slices.
    field: the lungs on the same grid; candidates farther away than NEAR_MM are left out.
    """
    voxel_ml, pixel_mm = slice_mm * PIXEL_MM**2 / 1000, pixels * PIXEL_MM
    labels, count = ndimage.label(logits > SEED_LOGIT, np.ones((3, 3, 3)))
    volumes_ml = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml * pixels**2
    peaks = np.full(count + 1, -np.inf)
    np.maximum.at(peaks, labels[labels > 0], logits[labels > 0])
    is_kept = (volumes_ml >= MIN_SEED_ML) & (peaks > PEAK_LOGIT)
    around = _dilated(is_kept[labels], (AROUND_SLICES_MM / slice_mm, AROUND_MM / pixel_mm, AROUND_MM / pixel_mm))
    numbered, count = ndimage.label(around, np.ones((3, 3, 3)))
    if field is not None:
        near = _dilated(field, (NEAR_MM / slice_mm, NEAR_MM / pixel_mm, NEAR_MM / pixel_mm))
        is_near = np.zeros(count + 1, bool)
        is_near[np.unique(numbered[near])] = True
        numbered, _ = ndimage.label(is_near[numbered] & (numbered > 0), np.ones((3, 3, 3)))
    boxes = [(slices, *_fine_area(rows, columns, pixels)) for slices, rows, columns in ndimage.find_objects(numbered)]
    peak_slices = np.asarray(((logits > PEAK_LOGIT) & (numbered > 0)).any((1, 2)))
    return Candidates(labels=numbered, peak_slices=peak_slices, pixels=pixels, boxes=boxes, voxel_ml=voxel_ml)


def _dilated(inside: Bools, reach: tuple[float, float, float]) -> Bools:
    """Return the voxels within `reach` voxels of the given ones, along each axis."""
    around = inside.astype(np.uint8)
    for axis, voxels in enumerate(reach):
        around = ndimage.maximum_filter1d(around, 2 * round(voxels) + 1, axis, mode="constant")
    return around > 0


def _logits(network: CandidateNetwork, stack: SliceStack, progress: Progress) -> Array:
    """Return the network's logits (slice, row, column), the largest over positions in a slice.

    A slice that is skipped gets the larger logits of the two nearest ones.
    """
    slices, *sides = stack.shape
    logits = np.empty((slices, *(side // network.pixels for side in sides)), np.float32)
    step = max(1, int(STEP_MM / stack.spacing[0]))
    numbers = sorted({*range(0, slices, step), slices - 1})
    for number in numbers:
        logits[number] = network.logits(stack.images(stack.windows(number, stack.whole), network.pixels))
        progress((number + 1) / slices)
    for below, above in pairwise(numbers):
        logits[below + 1 : above] = np.maximum(logits[below], logits[above])
    return logits


def _fine_area(rows: slice, columns: slice, pixels: int) -> Area:
    """Return rows and columns of pixels of this many in pixels of PIXEL_MM."""
    return slice(rows.start * pixels, rows.stop * pixels), slice(columns.start * pixels, columns.stop * pixels)
