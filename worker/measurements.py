"""Measures one lesion in its volume. Pure arithmetic, each rule with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A straight line on one axial slice, from voxel edge to voxel edge."""

    slice_index: int
    start_px: tuple[float, float]
    """(column, row) in pixels, the centre of the first pixel at (0, 0)."""
    end_px: tuple[float, float]
    start_mm: tuple[float, float, float]
    """LPS."""
    end_mm: tuple[float, float, float]
    length_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The numbers of one lesion."""

    volume_ml: float
    long_axis: Axis
    short_axis: Axis
    mean_hu: float
    sd_hu: float
