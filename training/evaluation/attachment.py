"""To what a lesion is attached, roughly: enough to group figures by, no finding. Knows no network.

Tissue is all that is denser than half-aerated lung (-400 HU) and thick: what a ball of 8 mm diameter fits into. Thinner
things, vessels above all, fall away, so a lesion on a vessel is free. A lesion is attached when tissue comes within
3 mm of it. It is attached to the mediastinum when most of that tissue lies between lung on its right and lung on its
left, else to the wall; the dome of the diaphragm counts as either. In a crop one lung is not seen: attached, no more.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from models.lungs.field import LUNG_HU, lung_field
from training.evaluation.case import Bools, JudgedCase
from worker.lesions.lesion import Lesion

Attachment = Literal["free", "attached", "wall", "mediastinum"]

THICK_MM = 8.0
NEAR_MM = 3.0
MARGIN_MM = 25.0
"""How far around the lesion tissue is looked at: what is thick there is thick."""


def attachment_of(lesion: Lesion, case: JudgedCase) -> Attachment:
    """Return to what a lesion is attached; a crop cannot tell wall from mediastinum."""
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


def _box_around(lesion: Lesion, case: JudgedCase) -> tuple[slice, slice, slice]:
    """Return the lesion's surroundings, along z no further than slices are there without a gap."""
    reach = [round(MARGIN_MM / size) for size in case.spacing_mm]
    low = [max(0, corner - r) for corner, r in zip(lesion.corner, reach, strict=True)]
    high = [
        min(side, corner + extent + r)
        for side, corner, extent, r in zip(case.hu.shape, lesion.corner, lesion.voxels.shape, reach, strict=True)
    ]
    runs, _ = ndimage.label(case.seen)
    there = np.flatnonzero(runs == runs[lesion.corner[0]])
    low[0], high[0] = max(low[0], int(there[0])), min(high[0], int(there[-1]) + 1)
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _thick(tissue: Bools, case: JudgedCase) -> Bools:
    """Return the part of the tissue that a ball fits into (opening); beyond the box everything is tissue."""
    depth = np.asarray(ndimage.distance_transform_edt(tissue, sampling=case.spacing_mm))
    core = depth > THICK_MM / 2
    if not core.any():
        return core
    return np.asarray(ndimage.distance_transform_edt(~core, sampling=case.spacing_mm) < THICK_MM / 2)


def _between_lungs(case: JudgedCase, slices: slice) -> Bools:
    """Return what has lung on both sides of it in its row."""
    lung = lung_field(case.hu[slices].astype(np.float32), case.spacing_mm)
    right = np.maximum.accumulate(lung, axis=2)
    left = np.maximum.accumulate(lung[..., ::-1], axis=2)[..., ::-1]
    return np.asarray(right & left & ~lung)
