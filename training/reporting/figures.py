"""Figures of a case and of runs: the four pictures, a montage of slices, learning curves.

`slice_viewer.py` makes the GIF and the page with a slider. All images are in radiological orientation: the patient's
right on the left, anterior at the top.
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

from training.evaluation.case import Bools, EvaluatedCase
from training.evaluation.metrics import dice
from training.reporting.overlay import COLOURS, PREDICTION, REFERENCE, Pixels, filled, painted

DOTS_PER_INCH = 100
MONTAGE_COLUMNS, MONTAGE_ROWS = 5, 4
LINES = ("-", "--", "-.", ":", (0, (5, 1)))
PART_NAMES = {
    "train": "training mask (the model was trained on it)",
    "validation": "validation mask (used to choose the threshold)",
    "test": "test mask (only evaluated, not trained on)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """A case, its marked voxels at the operating point, and the part of the split that contains its patient.

    part: train, validation or test; any other text is displayed unchanged.
    """

    case: EvaluatedCase
    marked: Bools
    part: str

    @property
    def mask_name(self) -> str:
        """The role of the reference mask for the model."""
        return PART_NAMES.get(self.part, f"{self.part} mask")


def middle_slice(view: CaseView) -> int:
    """Return the slice with the largest reference area, else the largest marked area, else the middle one."""
    for mask in (view.case.mask, view.marked):
        if mask.any():
            return int(mask.sum((1, 2)).argmax())
    seen = np.flatnonzero(view.case.seen)
    return int(seen[len(seen) // 2])


def four_pictures(view: CaseView, index: int | None = None) -> Figure:
    """Return the CT, the ground truth on it, its mask alone, and the prediction with the ground truth's outline."""
    at = middle_slice(view) if index is None else index
    truth, marked, grey = view.case.mask[at], view.marked[at], painted(view.case.hu[at])
    overlap = dice(view.marked, view.case.mask)
    pictures = {
        "CT": grey,
        "ground truth": filled(grey, truth, REFERENCE, 0.6),
        view.mask_name: filled(np.zeros_like(grey), truth, REFERENCE),
        "prediction, ground truth outlined": filled(grey, marked, PREDICTION, 0.6),
    }
    figure = Figure(figsize=(14, 14 / 4 * _height(view.case) + 0.9), layout="constrained", dpi=DOTS_PER_INCH)
    panels = figure.subplots(1, 4)
    for axes, (title, pixels) in zip(panels, pictures.items(), strict=True):
        _show(axes, pixels, view.case)
        axes.set_title(title, fontsize=10)
    _line(panels[-1], truth, REFERENCE)
    of_all = "" if overlap is None else f"; Dice of the whole case {overlap:.2f}"
    figure.suptitle(f"{view.case.name}, slice {_number(view.case, at)} of {int(view.case.seen.sum())}{of_all}")
    _add_legend(figure)
    return figure


def montage(view: CaseView) -> Figure:
    """Return up to MONTAGE_ROWS x MONTAGE_COLUMNS slices, evenly from the first to the last with reference or mark."""
    chosen = montage_slices(view)
    rows = -(-len(chosen) // MONTAGE_COLUMNS)
    figure = Figure(
        figsize=(14, rows * (2.8 * _height(view.case) + 0.3) + 0.8), layout="constrained", dpi=DOTS_PER_INCH
    )
    grid = figure.subplots(rows, MONTAGE_COLUMNS, squeeze=False).ravel()
    for axes in grid[len(chosen) :]:
        axes.set_axis_off()
    for axes, at in zip(grid, chosen, strict=False):
        _show(axes, painted(view.case.hu[at]), view.case)
        _line(axes, view.case.mask[at], REFERENCE)
        _line(axes, view.marked[at], PREDICTION)
        axes.set_title(f"slice {_number(view.case, at)}", fontsize=9)
    figure.suptitle(f"{view.case.name}: {len(chosen)} of {int(view.case.seen.sum())} slices; {view.mask_name}")
    _add_legend(figure)
    return figure


def montage_slices(view: CaseView) -> list[int]:
    """Return the slices of the montage."""
    seen = np.flatnonzero(view.case.seen)
    with_mask = seen[(view.case.mask | view.marked)[seen].any((1, 2))]
    candidates = seen[(seen >= with_mask[0]) & (seen <= with_mask[-1])] if with_mask.size else seen
    count = min(len(candidates), MONTAGE_COLUMNS * MONTAGE_ROWS)
    return [int(candidates[round(position)]) for position in np.linspace(0, len(candidates) - 1, count)]


def learning_curves(runs: Sequence[Path]) -> Figure:
    """Return a plot of each column of the runs' curve.csv over the step; a run without the column is omitted there.

    Raises ValueError if a curve.csv has no heading or no points.
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


def _show(axes: Axes, pixels: Pixels, case: EvaluatedCase) -> None:
    axes.imshow(pixels, interpolation="nearest", aspect=case.spacing_mm[1] / case.spacing_mm[2])
    axes.set_axis_off()


def _line(axes: Axes, mask: Bools, colour: str) -> None:
    if mask.any():
        axes.contour(mask.astype(np.float32), [0.5], colors=colour, linewidths=1.0)


def _height(case: EvaluatedCase) -> float:
    """Return the height of a slice divided by its width, both in mm."""
    rows_mm, columns_mm = (n * size for n, size in zip(case.hu.shape[1:], case.spacing_mm[1:], strict=True))
    return float(rows_mm / columns_mm)


def _add_legend(figure: Figure) -> None:
    marks = [Patch(color=REFERENCE, label="ground truth"), Patch(color=PREDICTION, label="prediction")]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, fontsize=9, frameon=False)


def _number(case: EvaluatedCase, at: int) -> int:
    """Return the number of a slice among the existing ones, from 1."""
    return int(case.seen[: at + 1].sum())


def _curve(path: Path) -> dict[str, list[float]]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "step" not in rows[0]:
        raise ValueError(f"{path}: no points under a heading that names the step")
    return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}
