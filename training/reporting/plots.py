"""Plots of an evaluation, drawn from its JSON: FROC curve, reliability, strips of the cases."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.froc import RATES
from training.reporting.figures import DOTS_PER_INCH
from training.reporting.overlay import COLOURS

Json = Mapping[str, Any]
MARKERS = ("o", "s", "^", "D", "v")
STRIPS = {
    "dice": "Dice",
    "surface_dice_2mm": "surface Dice at 2 mm",
    "hd95_mm": "HD95 (mm)",
    "volume_error_percent": "volume error (%)",
}


def froc_plot(source: Json) -> Figure:
    """Return the FROC curve, sensitivities at RATES with intervals, and the operating point."""
    detection = source["detection"]
    figure, axes = _figure("false positives per scan", "sensitivity", (6.5, 4.5))
    curve = detection["curve"]
    least = RATES[0] / 2
    rates = np.array([0, *curve["false_per_scan"], max(RATES[-1], *curve["false_per_scan"], 0)])
    found = [0, *curve["sensitivity"], max(curve["sensitivity"], default=0)]
    axes.step(np.maximum(rates, least), found, where="post", color=COLOURS[0])
    for point in detection["at_rates"]:
        _interval(axes, point["false_per_scan"], point["sensitivity"], COLOURS[0], "o")
    at = detection["false_per_scan_at_operating_point"]["value"]
    _interval(axes, max(at, least), detection["sensitivity_at_operating_point"], COLOURS[1], "D")
    axes.set_xscale("log", base=2)
    axes.set_xticks(RATES, [str(Fraction(rate)) for rate in RATES])
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{detection['lesions']} lesions, {detection['scans']} scans; diamond: operating point", fontsize=10)
    return figure


def reliability_plot(source: Json) -> Figure:
    """Return the share of tumour over the probability, with the number of voxels below."""
    bins = [row for row in source["calibration"]["reliability"] if row["voxels"]]
    figure = Figure(figsize=(5, 5.5), layout="constrained", dpi=DOTS_PER_INCH)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    upper.plot([row["mean_probability"] for row in bins], [row["tumour_share"] for row in bins], "o-", color=COLOURS[0])
    upper.set_ylabel("share that is tumour")
    upper.legend()
    lower.bar([row["low"] for row in bins], [row["voxels"] for row in bins], 0.1, align="edge", color=COLOURS[4])
    lower.set_yscale("log")
    lower.set_ylabel("voxels")
    lower.set_xlabel("probability")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def strip_plot(source: Json) -> Figure:
    """Return every case as a point for each metric, with the median; points are shifted sideways to separate them."""
    figure = Figure(figsize=(11, 3.6), layout="constrained", dpi=DOTS_PER_INCH)
    for axes, (name, title) in zip(figure.subplots(1, len(STRIPS)), STRIPS.items(), strict=True):
        values = np.array([case[name] for case in source["per_case"] if case[name] is not None])
        shift = np.random.default_rng(1).uniform(-0.2, 0.2, len(values))
        axes.plot(shift, values, "o", color=COLOURS[0], alpha=0.5, markersize=4)
        if values.size:
            axes.hlines(np.median(values), -0.4, 0.4, color=COLOURS[1], linewidth=2)
        axes.set_xlim(-0.6, 0.6)
        axes.set_xticks([])
        if "dice" in name:
            axes.set_ylim(-0.02, 1.02)
        axes.set_title(f"{title}, n = {len(values)}", fontsize=9)
        axes.grid(axis="y", alpha=0.3)
    return figure


def readers_plot(source: Json) -> Figure:
    """Return, for each lesion, the model's Dice over the readers' pairwise Dice."""
    figure, axes = _figure("readers' pairwise Dice", "model's Dice", (5, 5))
    rows = source["per_reader_case"]
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for name, label, colour, marker in (
        ("model_to_majority_dice", "to the majority", COLOURS[0], "o"),
        ("model_to_readers_dice", "to each reader, mean", COLOURS[1], "^"),
    ):
        axes.plot(
            [row["readers_pairwise_dice"] for row in rows], [row[name] for row in rows], marker, color=colour,
            label=label, alpha=0.6, markersize=4,
        )  # fmt: skip
    axes.legend()
    return figure


def _figure(across: str, up: str, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.subplots()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    return figure, axes


def _interval(axes: Axes, at: float, estimate: Json, colour: str, marker: str) -> None:
    if estimate["low"] is not None:
        axes.vlines(at, estimate["low"], estimate["high"], color=colour, alpha=0.6)
    if estimate["value"] is not None:
        axes.plot(at, estimate["value"], marker, color=colour)
