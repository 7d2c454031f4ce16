"""Fitted parameters of uncertainty.py. Written by the two programs named below; not edited by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Coefficients of the 95 % bounds below and above the measured size.

    The logarithm of the error is a weighted sum of `features`. The error is ln(true / measured) for the volume, and
    true - measured in pixels for an axis.
    """

    below: tuple[float, ...]
    above: tuple[float, ...]


BOUNDS = {
    "volume_ml": Bounds(
        below=(5.214, -5.395, -9.273, 0.754, -1.089, 1.94, -0.158, 0.072),
        above=(0.889, 0.536, -0.363, -0.05, -2.113, 1.624, -0.164, -0.019),
    ),
    "long_axis_mm": Bounds(
        below=(-1.951, 1.228, -2.151, -0.115, -0.2, 0.912, -0.116, 0.198),
        above=(2.522, -1.1, -2.951, 0.003, -0.17, 1.153, -0.49, 0.091),
    ),
    "short_axis_mm": Bounds(
        below=(-3.751, 1.347, -0.161, -0.16, 0.0, 0.0, 0.139, 0.0),
        above=(0.667, -0.271, -0.817, 0.078, -0.375, 0.988, -0.24, -0.021),
    ),
}
"""Fitted on 5984 bodies: python -m benchmarks.measurement_error --write."""
READER_FACTORS = {"volume_ml": 2.08, "long_axis_mm": 1.41, "short_axis_mm": 1.59}
"""Between two readers of one nodule, 95 %: python -m benchmarks.reader_spread FOLDER."""
