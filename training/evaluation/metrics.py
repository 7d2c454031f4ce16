"""Metrics of one case: overlap, surface distances, volume, long axis.

If one of the masks is empty, some metrics are not defined and are None; such cases are counted separately (Maier-Hein
et al., Metrics reloaded, Nature Methods 21 (2024) 195). Without a reference every mark is a false positive, which an
overlap cannot express: Dice and surface Dice are None. With a reference and no mark, both are 0 and the Hausdorff
distance is None.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume
from training.evaluation.case import Bools, EvaluatedCase, Spacing
from worker.lesions.lesion import Lesion
from worker.lesions.recist_diameters import recist_axes

TOLERANCE_MM = 2.0
"""Distance up to which a surface counts as correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseNumbers:
    """The metrics of one case; None if a metric is not defined."""

    source: str
    patient: str
    case: str
    slices: int
    dice: float | None
    surface_dice_2mm: float | None
    hd95_mm: float | None
    true_ml: float
    marked_ml: float
    volume_error_ml: float
    volume_error_percent: float | None


def case_numbers(case: EvaluatedCase, marked: Bools) -> CaseNumbers:
    """Compare all marked voxels of a case with its reference."""
    true_ml, marked_ml = (float(np.count_nonzero(mask)) * case.voxel_ml for mask in (case.mask, marked))
    return CaseNumbers(
        source=case.source,
        patient=case.patient,
        case=case.name,
        slices=int(case.seen.sum()),
        dice=dice(marked, case.mask),
        surface_dice_2mm=surface_dice(marked, case.mask, case.spacing_mm),
        hd95_mm=hausdorff_95_mm(marked, case.mask, case.spacing_mm),
        true_ml=true_ml,
        marked_ml=marked_ml,
        volume_error_ml=marked_ml - true_ml,
        volume_error_percent=100 * (marked_ml - true_ml) / true_ml if true_ml else None,
    )


def dice(marked: Bools, truth: Bools) -> float | None:
    """Return twice the overlap over the sum (Dice, Ecology 26 (1945) 297); None without a reference."""
    if not truth.any():
        return None
    return 2 * float(np.count_nonzero(marked & truth)) / float(np.count_nonzero(marked) + np.count_nonzero(truth))


def surface_dice(marked: Bools, truth: Bools, spacing_mm: Spacing, tolerance_mm: float = TOLERANCE_MM) -> float | None:
    """Return the share of both surfaces' area within the tolerance of the other surface; None without a reference.

    Nikolov et al., J Med Internet Res 23 (2021) e26151 (arXiv:1809.04430): surface elements are weighted by their area,
    which MONAI does with `use_subvoxels`; counting voxels instead would underweight thick slices.
    """
    if not truth.any():
        return None
    if not marked.any():
        return 0.0
    with _quiet():
        value = compute_surface_dice(
            *_tensors(marked, truth),
            class_thresholds=[tolerance_mm],
            include_background=True,
            spacing=list(spacing_mm),
            use_subvoxels=True,
        )
    return float(value[0, 0])


def hausdorff_95_mm(marked: Bools, truth: Bools, spacing_mm: Spacing, percentile: float | None = 95) -> float | None:
    """Return the larger of both directions' 95th percentile of surface distances; None if a mask is empty.

    MONAI's definition: the surface consists of the voxels with a neighbour outside, all with the same weight.
    """
    if not truth.any() or not marked.any():
        return None
    with _quiet():
        value = compute_hausdorff_distance(
            *_tensors(marked, truth), percentile=percentile, spacing=list(spacing_mm), include_background=True
        )
    return float(value[0, 0])


def long_axis_mm(lesion: Lesion, case: EvaluatedCase) -> float:
    """Return a lesion's longest diameter in an axial slice, measured as in the product."""
    grid = Volume(hu=np.broadcast_to(np.float32(0), case.hu.shape), affine=case.affine)
    return recist_axes(lesion, grid)[0].length_mm


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress a warning of MONAI 1.6.1 about an argument that it passes itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        yield


def _tensors(marked: Bools, truth: Bools) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both masks as (1, 1, slice, row, column), cropped to their union, with an empty border."""
    box = ndimage.find_objects((marked | truth).astype(np.uint8))[0]
    marked_cut, truth_cut = (torch.from_numpy(_bordered(mask[box])) for mask in (marked, truth))
    return marked_cut[None, None], truth_cut[None, None]


def _bordered(mask: Bools) -> NDArray[np.uint8]:
    return np.pad(mask, 1).astype(np.uint8)
