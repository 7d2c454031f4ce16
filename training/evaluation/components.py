"""Connected components at several thresholds, labelled once, so that many operating points can be compared.

The Dice at an operating point equals that of `models.lung_tumour.scoring.outlined`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lung_tumour.scoring import scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The components at one threshold: score, number of voxels, and number of these that are tumour."""

    scores: NDArray[np.float64]
    voxels: NDArray[np.int64]
    shared: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The components of a stack by threshold, and its number of tumour voxels."""

    by_threshold: Mapping[float, Components]
    tumour: int


def labelled(
    probability: NDArray[np.float32], mask: NDArray[np.bool_], voxel_ml: float, thresholds: Sequence[float]
) -> Labelled:
    """Label the voxels above each of the thresholds."""
    return Labelled(
        by_threshold={threshold: _components(probability, mask, voxel_ml, threshold) for threshold in thresholds},
        tumour=int(mask.sum()),
    )


def dice_at(case: Sequence[Labelled], threshold: float, peak_threshold: float) -> float:
    """Return the Dice over all stacks of a case; 1 if nothing is marked and there is no tumour."""
    shared, total = 0, sum(item.tumour for item in case)
    for item in case:
        components = item.by_threshold[threshold]
        kept = components.scores >= peak_threshold
        shared += int(components.shared[kept].sum())
        total += int(components.voxels[kept].sum())
    return 2 * shared / total if total else 1.0


def volume_ratio_at(case: Sequence[Labelled], threshold: float, peak_threshold: float) -> float | None:
    """Return the volume marked on tumour divided by the true volume; None if no tumour is marked."""
    marked, true = 0, sum(item.tumour for item in case)
    for item in case:
        components = item.by_threshold[threshold]
        on_tumour = (components.scores >= peak_threshold) & (components.shared > 0)
        marked += int(components.voxels[on_tumour].sum())
    return marked / true if marked else None


def _components(
    probability: NDArray[np.float32], mask: NDArray[np.bool_], voxel_ml: float, threshold: float
) -> Components:
    labels, count = ndimage.label(probability > threshold, np.ones((3, 3, 3)))
    return Components(
        scores=scores(probability, labels, count, voxel_ml),
        voxels=np.bincount(labels.ravel(), minlength=count + 1)[1:],
        shared=np.bincount(labels[mask], minlength=count + 1)[1:],
    )
