"""To what tissue a lesion is attached, approximately; used to group figures, not as a finding.

Tissue is everything denser than half-aerated lung (-400 HU) and thick, that is, covered by balls of 8 mm diameter.
Thinner structures, mainly vessels, are ignored, so a lesion on a vessel is free. A lesion is attached if tissue lies
within 3 mm of it. It is attached to the mediastinum if most of that tissue lies between lung on its right and lung on
its left, else to the wall; the dome of the diaphragm counts as either. A crop shows only one lung, so its lesions are
only "attached".
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from models.lungs.field import LUNG_HU, lung_field
from training.evaluation.case import Bools, EvaluatedCase
from worker.lesions.lesion import Lesion

Attachment = Literal["free", "attached", "wall", "mediastinum"]

THICK_MM = 8.0
NEAR_MM = 3.0
MARGIN_MM = 25.0
"""Distance around the lesion in which tissue is examined: its thickness is reliable there."""


def attachment_of(lesion: Lesion, case: EvaluatedCase) -> Attachment:
    """Return what a lesion is attached to; for a crop, wall and mediastinum cannot be distinguished."""
    box = _box_around(lesion, case)
    thick = _thick((case.hu[box] > LUNG_HU) & ~case.mask[box], case)
    inside = np.zeros(thick.shape, bool)
    start = [low - side.start for low, side in zip(lesion.corner, box, strict=True)]
    inside[tuple(slice(a, a + n) for a, n in zip(start, lesion.voxels.shape, strict=True))] = lesion.voxels
    near = thick & (ndimage.distance_transform_edt(~inside, sampling=case.spacing_mm) <= NEAR_MM)
    if not near.any():
        return "free"
    if not case.whole:
        return "attached"
    between = _between_lungs(case, box[0])[:, box[1], box[2]]
    return "mediastinum" if between[near].mean() > 0.5 else "wall"


def _box_around(lesion: Lesion, case: EvaluatedCase) -> tuple[slice, slice, slice]:
    """Return the lesion's surroundings; along z they end at the first missing slice."""
    reach = [round(MARGIN_MM / size) for size in case.spacing_mm]
    low = [max(0, corner - r) for corner, r in zip(lesion.corner, reach, strict=True)]
    high = [
        min(side, corner + extent + r)
        for side, corner, extent, r in zip(case.hu.shape, lesion.corner, lesion.voxels.shape, reach, strict=True)
    ]
    runs, _ = ndimage.label(case.seen)
    existing = np.flatnonzero(runs == runs[lesion.corner[0]])
    low[0], high[0] = max(low[0], int(existing[0])), min(high[0], int(existing[-1]) + 1)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _thick(tissue: Bools, case: EvaluatedCase) -> Bools:
    """Return the tissue that is covered by balls of THICK_MM (opening); beyond the box everything is tissue."""
    depth = np.asarray(ndimage.distance_transform_edt(tissue, sampling=case.spacing_mm))
    core = depth > THICK_MM / 2
    if not core.any():
        return core
    return np.asarray(ndimage.distance_transform_edt(~core, sampling=case.spacing_mm) < THICK_MM / 2)


def _between_lungs(case: EvaluatedCase, slices: slice) -> Bools:
    """Return the voxels outside the lungs with lung on both sides in their row."""
    lung = lung_field(case.hu[slices].astype(np.float32), case.spacing_mm)
    right = np.maximum.accumulate(lung, axis=2)
    left = np.maximum.accumulate(lung[..., ::-1], axis=2)[..., ::-1]
    return np.asarray(right & left & ~lung)
