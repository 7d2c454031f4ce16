"""Distinguishes Hounsfield units of a chest from other values: MR, label files, 8-bit grey values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.readers.case import DataRefused

AIR_BELOW_HU = -500
TISSUE_HU = (-200, 300)
MIN_SHARE = 0.01
"""About half of a chest scan is air and lung and a third is soft tissue; requiring 1 % of each is cautious."""


def hounsfield(values: NDArray[Any]) -> NDArray[np.int16]:
    """Return the values as int16, rounded. Raises DataRefused if they cannot be the Hounsfield units of a chest."""
    if not np.isfinite(values).all():
        raise DataRefused("contains values that are not finite")
    lowest, highest = float(values.min()), float(values.max())
    span = f"its values run from {lowest:g} to {highest:g}"
    if lowest < np.iinfo(np.int16).min or highest > np.iinfo(np.int16).max:
        raise DataRefused(f"{span}, Hounsfield units of a CT fit into 16 bits")
    air = float(np.mean(values < AIR_BELOW_HU))
    tissue = float(np.mean((values >= TISSUE_HU[0]) & (values <= TISSUE_HU[1])))
    if min(air, tissue) < MIN_SHARE:
        shares = f"{air:.1%} of them below {AIR_BELOW_HU} and {tissue:.1%} from {TISSUE_HU[0]} to {TISSUE_HU[1]}"
        raise DataRefused(f"not a chest CT in Hounsfield units: {span}, {shares} (at least {MIN_SHARE:.0%} of each)")
    whole = values if np.issubdtype(values.dtype, np.integer) else np.rint(values)
    return whole.astype(np.int16)
