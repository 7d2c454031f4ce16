"""A stack of slices as input of the 2.5D networks: pixels of PIXEL_MM, each slice with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.lung_tumour.kinds import MULTIPLE
from models.lung_tumour.transforms import PIXEL_MM, normalise, planes, slice_positions, slice_step

MIN_SIDE = 16
"""Pixels of the shortest side."""

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Spacing = tuple[float, float, float]
Area = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of one slice, in the network's pixels, at one of the positions within the slice."""

    slice_number: int
    position: int
    area: Area

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.area
        return rows.stop - rows.start, columns.stop - columns.start


class SliceStack:
    """An upright stack, resampled, with sides padded to multiples of `multiple`.

    shape: slices, padded rows and columns. positions: where within a slice the networks run, in slices from
    its middle; several for thick slices (`transforms.slice_positions`).
    """

    def __init__(self, hu: Array, spacing: Spacing, multiple: int) -> None:
        scaled = resampled(torch.from_numpy(normalise(hu)), spacing)
        self._hu_shape = hu.shape
        self._inner = scaled.shape[1:]
        missing = [-side % multiple for side in self._inner]
        self._top, self._left = (count // 2 for count in missing)
        self._scaled = functional.pad(
            scaled[None],
            (self._left, missing[1] - self._left, self._top, missing[0] - self._top),
            mode="replicate",
        )[0]
        self._coarse: dict[int, torch.Tensor] = {1: self._scaled}
        self._step = slice_step(spacing[0])
        self.positions = slice_positions(spacing[0])
        self.spacing = spacing

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows and columns, in the network's pixels."""
        slices, rows, columns = self._scaled.shape
        return slices, rows, columns

    @property
    def whole(self) -> Area:
        """All rows and columns."""
        _, rows, columns = self.shape
        return slice(0, rows), slice(0, columns)

    def windows(self, slice_number: int, area: Area) -> list[Window]:
        """Return a window for each position within a slice. area: rows and columns, in the network's pixels."""
        return [
            Window(slice_number=slice_number, position=position, area=area) for position in range(len(self.positions))
        ]

    def images(self, windows: Sequence[Window], pixels: int = 1) -> torch.Tensor:
        """Return float32 (n, plane, row, column) for windows of one size.

        pixels: side of an image's pixels in pixels of PIXEL_MM; the windows' corners are multiples of it.
        """
        if pixels not in self._coarse:
            self._coarse[pixels] = functional.avg_pool2d(self._scaled, pixels)
        return torch.stack([self._image(window, pixels) for window in windows])

    def on_the_networks_grid(self, mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
        """Return a mask of the scan (slice, row, column) in pixels of this many, by the nearest voxel.

        The padding repeats the border.
        """
        _, *sides = self.shape
        rows, columns = (
            _nearest(side // pixels, pixels, offset, inner, count)
            for side, offset, inner, count in zip(
                sides, (self._top, self._left), self._inner, self._hu_shape[1:], strict=True
            )
        )
        return mask[:, rows[:, None], columns]

    def on_the_scans_grid(self, logits: torch.Tensor) -> torch.Tensor:
        """Return padded logits (n, 1, row, column) on the scan's own pixels."""
        rows, columns = self._inner
        inner = logits[..., self._top : self._top + rows, self._left : self._left + columns]
        return functional.interpolate(inner, self._hu_shape[1:], mode="bilinear", align_corners=False)

    def _image(self, window: Window, pixels: int) -> torch.Tensor:
        at = window.slice_number + self.positions[window.position]
        neighbours = planes(at, len(self._scaled), self._step)
        rows, columns = (slice(side.start // pixels, side.stop // pixels) for side in window.area)
        return mixed(self._coarse[pixels][neighbours.slices, rows, columns], neighbours.shares)


def mixed(slices: torch.Tensor, shares: NDArray[np.float32]) -> torch.Tensor:
    """Return planes (plane, row, column) of slices (slice, row, column), weighted by `shares` (plane, slice)."""
    return torch.einsum("ps,s...->p...", torch.from_numpy(shares), slices)


def widened(box: tuple[slice, ...], shape: Sequence[int], context: int) -> Area:
    """Return a box with `context` pixels around it; its corners are multiples of MULTIPLE, as the networks' grids."""
    rows, columns = (
        slice(
            max(0, (side.start - context) // MULTIPLE * MULTIPLE),
            min(size, -(-(side.stop + context) // MULTIPLE) * MULTIPLE),
        )
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def resampled(stack: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """Return the stack (slice, row, column) with pixels of PIXEL_MM, antialiased."""
    size = [max(MIN_SIDE, round(n * step / PIXEL_MM)) for n, step in zip(stack.shape[1:], spacing[1:], strict=True)]
    return functional.interpolate(stack[:, None], size, mode="bilinear", align_corners=False, antialias=True)[:, 0]


def _nearest(count: int, pixels: int, offset: int, inner: int, scan_count: int) -> NDArray[np.intp]:
    """Return, for each of `count` coarse pixels, the nearest of the scan's pixels on this axis."""
    middle = (np.arange(count) + 0.5) * pixels - offset
    return np.clip(middle * scan_count / inner, 0, scan_count - 1).astype(np.intp)
