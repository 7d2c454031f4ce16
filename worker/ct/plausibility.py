"""Whether values can be the Hounsfield units of a chest: scanners, archives and converters get the rescale wrong.

About half of a chest scan is air and lung and a third is soft tissue, so that each of the two is looked for. Wrong
values become false lesions, or hide true ones, without any error (dicom2nifti#129, lungmask#63, TotalSegmentator#455).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ct.reader import LoadedSeries
from worker.ct.rejections import NotHounsfield

AIR_HU, TISSUE_HU = (-1100.0, -500.0), (-200.0, 300.0)
LEAST_SHARE = 0.01
"""Of the voxels, in each of the two ranges."""
BRIGHT_HU, MOST_BRIGHT = 400.0, 0.3
"""Bone, contrast and metal are a tenth of a scan; in inverted values the air around the patient is as bright."""
LOWEST_HU, MOST_BELOW = -3100.0, 0.001
"""Padding goes down to -3024; values below are those of another scale."""
STRIDE = 4
"""Every fourth voxel along each axis of a slice is looked at."""
JUMP_HU = 300.0
"""A slice all of whose values differ so much from those of the slices beside it has another rescale than they have."""
QUANTILES = (0.25, 0.5, 0.75)

Values = NDArray[Any]


def require_hounsfield(series: LoadedSeries) -> None:
    """Raise NotHounsfield if the volume cannot be a chest in Hounsfield units, or a slice has another rescale."""
    volume, frames = series.volume, series.frames
    if why := implausible(volume.hu[:, ::STRIDE, ::STRIDE]):
        raise NotHounsfield(series.series_uid, frames[0].name, f"not those of a chest: {why}")
    if (index := slice_with_other_values([volume.hu[at] for at in volume.images])) is not None:
        fact = f"its values differ by more than {JUMP_HU:g} HU from those of the slices beside it"
        raise NotHounsfield(series.series_uid, frames[index].name, fact)


def implausible(values: Values) -> str | None:
    """Return why values (of any shape) cannot be the Hounsfield units of a chest; None if they can."""
    span = f"its values run from {values.min():g} to {values.max():g}"
    if (below := float(np.mean(values < LOWEST_HU))) > MOST_BELOW:
        return f"{span}, {below:.1%} of them below {LOWEST_HU:g} (at most {MOST_BELOW:.1%})"
    air, tissue = (float(np.mean((values >= low) & (values <= high))) for low, high in (AIR_HU, TISSUE_HU))
    if min(air, tissue) < LEAST_SHARE:
        return (
            f"{span}, {air:.1%} of them from {AIR_HU[0]:g} to {AIR_HU[1]:g} and {tissue:.1%} from {TISSUE_HU[0]:g} to "
            f"{TISSUE_HU[1]:g} (at least {LEAST_SHARE:.0%} of each)"
        )
    if (bright := float(np.mean(values > BRIGHT_HU))) > MOST_BRIGHT:
        return f"{span}, {bright:.1%} of them above {BRIGHT_HU:g} (at most {MOST_BRIGHT:.0%})"
    return None


def slice_with_other_values(planes: Iterable[NDArray[np.float32]]) -> int | None:
    """Return the first of these slices whose values are all shifted against both neighbours; None if there is none.

    The first and the last slice are compared with the two nearest. At least three slices are needed.
    """
    quantiles = np.array([np.quantile(plane[::STRIDE, ::STRIDE], QUANTILES) for plane in planes])
    last = len(quantiles) - 1
    for index in range(len(quantiles)):
        near, far = {0: (1, 2), last: (last - 1, last - 2)}.get(index, (index - 1, index + 1))
        one, other = quantiles[index] - quantiles[near], quantiles[index] - quantiles[far]
        apart = np.sign(one) * np.minimum(np.abs(one), np.abs(other)) * (np.sign(one) == np.sign(other))
        if (apart > JUMP_HU).all() or (apart < -JUMP_HU).all():
            return index
    return None
