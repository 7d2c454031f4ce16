"""Calibration of the probabilities near lesions.

Reliability: of the voxels with a probability of about 80 %, 80 % should be tumour. The expected calibration error is
the mean gap between the two over ten bins of equal width, weighted by voxels (Guo et al., ICML 2017, arXiv:1706.04599).
Only voxels in a lesion or within 10 mm of it count: the easy rest of a chest would dominate the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.evaluation.bootstrap import DIGITS, Estimate, estimate
from training.evaluation.case import EvaluatedCase

BINS = 10
NEAR_MM = 10.0

Sums = NDArray[np.float64]
"""(BINS, 3): number of voxels, sum of their probabilities, number of tumour voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The voxels of one range of probability; the means are None for an empty bin."""

    low: float
    high: float
    voxels: int
    mean_probability: float | None
    tumour_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The reliability table and the expected calibration error."""

    expected_calibration_error: Estimate
    reliability: tuple[Bin, ...]


def sums_of(case: EvaluatedCase) -> Sums:
    """Return the sums of one case's bins."""
    sums = np.zeros((BINS, 3))
    if not case.mask.any():
        return sums
    box = _box_near(case)
    near = ndimage.distance_transform_edt(~case.mask[box], sampling=case.spacing_mm) <= NEAR_MM
    near &= case.seen[box[0], None, None]
    probability, tumour = case.probability[box][near].astype(np.float64), case.mask[box][near]
    number = np.minimum((probability * BINS).astype(int), BINS - 1)
    for column, weights in enumerate((None, probability, tumour.astype(np.float64))):
        sums[:, column] = np.bincount(number, weights, BINS)
    return sums


def calibration(patients: Sequence[str], sums: Sequence[Sums]) -> Calibration:
    """Return the calibration over all cases, with its interval over patients."""
    stacked = np.stack(sums)
    return Calibration(
        expected_calibration_error=estimate(patients, lambda drawn: expected_calibration_error(stacked[drawn].sum(0))),
        reliability=tuple(_bin(number, row) for number, row in enumerate(stacked.sum(0))),
    )


def expected_calibration_error(sums: Sums) -> float:
    """Return the mean gap between probability and tumour share, weighted by voxels; nan without voxels."""
    with np.errstate(invalid="ignore"):
        return float(np.abs(sums[:, 1] - sums[:, 2]).sum() / sums[:, 0].sum())


def _bin(number: int, row: Sums) -> Bin:
    voxels, probability, tumour = (float(value) for value in row)
    return Bin(
        low=number / BINS,
        high=(number + 1) / BINS,
        voxels=int(voxels),
        mean_probability=round(probability / voxels, DIGITS) if voxels else None,
        tumour_share=round(tumour / voxels, DIGITS) if voxels else None,
    )


def _box_near(case: EvaluatedCase) -> tuple[slice, ...]:
    inside = ndimage.find_objects(case.mask.astype(np.uint8))[0]
    reach = [int(np.ceil(NEAR_MM / size)) for size in case.spacing_mm]
    return tuple(slice(max(0, side.start - r), side.stop + r) for side, r in zip(inside, reach, strict=True))
