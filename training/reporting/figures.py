"""Draws a case, and a run's curves: the four pictures, a montage of slices, learning curves. Judges nothing.

`slice_viewer.py` draws what moves. Everything is as radiologists look at it: the patient's right on the left, front up.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from training.evaluation.case import Bools, JudgedCase
from training.evaluation.metrics import dice
from training.reporting.overlay import COLOURS, PREDICTION, REFERENCE, Pixels, filled, painted

DOTS_PER_INCH = 100
MONTAGE_COLUMNS, MONTAGE_ROWS = 5, 4
LINES = ("-", "--", "-.", ":", (0, (5, 1)))
PART_NAMES = {
    "train": "training mask (the model learnt from it)",
    "validation": "validation mask (chose the threshold)",
    "test": "test mask (only judged, never learnt from)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A case, what was marked in it at the operating point, and in which part of the split its patient is.

    part: train, validation or test; any other word is shown as it is.
    """

    case: JudgedCase
    marked: Bools
    part: str

    @property
    def mask_name(self) -> str:
        """Return what the reference mask is to the model."""
        return PART_NAMES.get(self.part, f"{self.part} mask")


def middle_slice(shown: Shown) -> int:
    """Return the slice with the most of the reference; without one of what was marked; else the middle one."""
    for mask in (shown.case.mask, shown.marked):
        if mask.any():
            return int(mask.sum((1, 2)).argmax())
    seen = np.flatnonzero(shown.case.seen)
    return int(seen[len(seen) // 2])


def four_pictures(shown: Shown, index: int | None = None) -> Figure:
    """Return the CT, the ground truth on it, its mask alone, and the prediction with the ground truth's outline."""
    at = middle_slice(shown) if index is None else index
    truth, marked, grey = shown.case.mask[at], shown.marked[at], painted(shown.case.hu[at])
    overlap = dice(shown.marked, shown.case.mask)
    pictures = {
        "CT": grey,
        "ground truth": filled(grey, truth, REFERENCE, 0.6),
        shown.mask_name: filled(np.zeros_like(grey), truth, REFERENCE),
        "prediction, ground truth outlined": filled(grey, marked, PREDICTION, 0.6),
    }
    figure = Figure(figsize=(14, 14 / 4 * _height(shown.case) + 0.9), layout="constrained", dpi=DOTS_PER_INCH)
    panels = figure.subplots(1, 4)
    for axes, (title, pixels) in zip(panels, pictures.items(), strict=True):
        _show(axes, pixels, shown.case)
        axes.set_title(title, fontsize=10)
    _line(panels[-1], truth, REFERENCE)
    of_all = "" if overlap is None else f"; Dice of the whole case {overlap:.2f}"
    figure.suptitle(f"{shown.case.name}, slice {_number(shown.case, at)} of {int(shown.case.seen.sum())}{of_all}")
    _explain(figure)
    return figure


def montage(shown: Shown) -> Figure:
    """Return up to MONTAGE_ROWS x MONTAGE_COLUMNS slices, evenly from the first to the last with truth or a mark."""
    chosen = montage_slices(shown)
    rows = -(-len(chosen) // MONTAGE_COLUMNS)
    figure = Figure(
        figsize=(14, rows * (2.8 * _height(shown.case) + 0.3) + 0.8), layout="constrained", dpi=DOTS_PER_INCH
    )
    grid = figure.subplots(rows, MONTAGE_COLUMNS, squeeze=False).ravel()
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    for axes, at in zip(grid, chosen, strict=False):
        _show(axes, painted(shown.case.hu[at]), shown.case)
        _line(axes, shown.case.mask[at], REFERENCE)
        _line(axes, shown.marked[at], PREDICTION)
        axes.set_title(f"slice {_number(shown.case, at)}", fontsize=9)
    figure.suptitle(f"{shown.case.name}: {len(chosen)} of {int(shown.case.seen.sum())} slices; {shown.mask_name}")
    _explain(figure)
    return figure


def montage_slices(shown: Shown) -> list[int]:
    """Return the slices that the montage shows."""
    seen = np.flatnonzero(shown.case.seen)
    busy = seen[(shown.case.mask | shown.marked)[seen].any((1, 2))]
    wanted = seen[(seen >= busy[0]) & (seen <= busy[-1])] if busy.size else seen
    count = min(len(wanted), MONTAGE_COLUMNS * MONTAGE_ROWS)
    return [int(wanted[round(place)]) for place in np.linspace(0, len(wanted) - 1, count)]


def learning_curves(runs: Sequence[Path]) -> Figure:
    """Return every column of the runs' curve.csv over the step; a column that some run lacks is drawn of the others.

    Raises ValueError where a curve.csv has no heading or no points.
    """
    curves = {run.name: _curve(run / "curve.csv") for run in runs}
    columns = list(dict.fromkeys(name for curve in curves.values() for name in curve if name != "step"))
    figure = Figure(figsize=(6 * len(columns), 4.2), layout="constrained", dpi=DOTS_PER_INCH)
    for axes, column in zip(figure.subplots(1, len(columns), squeeze=False).ravel(), columns, strict=True):
        axes.set_prop_cycle(color=COLOURS, linestyle=LINES)
        for name, curve in curves.items():
            axes.plot(curve["step"], curve.get(column, [np.nan] * len(curve["step"])), label=name, linewidth=1.5)
        axes.set_xlabel("step")
        axes.set_ylabel(column)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _show(axes: Axes, pixels: Pixels, case: JudgedCase) -> None:
    axes.imshow(pixels, interpolation="nearest", aspect=case.spacing_mm[1] / case.spacing_mm[2])
    axes.set_axis_off()


def _line(axes: Axes, mask: Bools, colour: str) -> None:
    if mask.any():
        axes.contour(mask.astype(np.float32), [0.5], colors=colour, linewidths=1.0)


def _height(case: JudgedCase) -> float:
    """Return the height of a slice as a share of its width."""
    rows_mm, columns_mm = (n * size for n, size in zip(case.hu.shape[1:], case.spacing_mm[1:], strict=True))
    return float(rows_mm / columns_mm)


def _explain(figure: Figure) -> None:
    marks = [Patch(color=REFERENCE, label="ground truth"), Patch(color=PREDICTION, label="prediction")]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, fontsize=9, frameon=False)


def _number(case: JudgedCase, at: int) -> int:
    """Return the place of a slice among those that there are, from 1."""
    return int(case.seen[: at + 1].sum())


def _curve(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" not in rows[0]:
        raise ValueError(f"{path}: no points under a heading that names the step")
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
