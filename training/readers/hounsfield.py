"""Hounsfield units of a chest as int16, refused where the values are of another kind: MR, label files, grey values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.readers.case import DataRefused
from worker.ct.plausibility import implausible


def hounsfield(values: NDArray[Any]) -> NDArray[np.int16]:
    """Return the values as int16, rounded. Raises DataRefused if they cannot be the Hounsfield units of a chest."""
    if not np.isfinite(values).all():
        raise DataRefused("contains values that are not finite")
    lowest, highest = float(values.min()), float(values.max())
    if lowest < np.iinfo(np.int16).min or highest > np.iinfo(np.int16).max:
        raise DataRefused(f"its values run from {lowest:g} to {highest:g}, Hounsfield units of a CT fit into 16 bits")
    if why := implausible(values):
        raise DataRefused(f"not a chest CT in Hounsfield units: {why}")
    whole = values if np.issubdtype(values.dtype, np.integer) else np.rint(values)
    return whole.astype(np.int16)
