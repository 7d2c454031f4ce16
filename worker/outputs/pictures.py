"""Draws the findings: one page per lesion, and one of all. Shows no patient data; knows no DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.volume import Volume
from worker.findings import Finding, Findings
from worker.outputs.identity import RESEARCH_SENTENCE

WINDOW_HU = (-1350, 150)
"""A lung window: centre -600, width 1500."""
OUTLINE, LONG, SHORT = "#e69f00", "#56b4e9", "#009e73"
"""Okabe and Ito 2008: told apart with every kind of colour vision."""
HALF_MM = 45.0
"""Half the side of the region shown around a lesion."""


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Write overview.png and lesion-N.png into the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = _labels(findings)
    paths = [_save(_overview(findings, labels), folder / "overview.png")]
    for finding in findings.findings:
        page = _lesion_page(finding, findings.volume, labels == finding.lesion.number)
        paths.append(_save(page, folder / f"lesion-{finding.lesion.number}.png"))
    return paths


def _labels(findings: Findings) -> NDArray[np.uint16]:
    labels = np.zeros(findings.volume.hu.shape, np.uint16)
    for finding in findings.findings:
        lesion = finding.lesion
        box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
        labels[box][lesion.voxels] = lesion.number
    return labels


def _overview(findings: Findings, labels: NDArray[np.uint16]) -> Figure:
    """The coronal projection of all lesions over the slice that shows most of them, head up."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    row = int((labels > 0).sum((0, 2)).argmax()) if labels.any() else labels.shape[1] // 2
    slice_mm, _, column_mm = findings.volume.spacing
    _show(axes, findings.volume.hu[:, row], (slice_mm, column_mm))
    _orient_coronal(axes, findings.volume)
    for finding in findings.findings:
        shadow = (labels == finding.lesion.number).any(1)
        axes.contour(_up(shadow), [0.5], colors=OUTLINE, linewidths=1.2)
        height, side = np.argwhere(shadow).mean(0)
        axes.annotate(str(finding.lesion.number), (side, height), color=LONG, ha="center", va="center")
    axes.set_title(f"{len(findings.findings)} lesions, projected on a coronal slice")
    figure.supxlabel(RESEARCH_SENTENCE, fontsize=8)
    return figure


def _lesion_page(finding: Finding, volume: Volume, inside: NDArray[np.bool_]) -> Figure:
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    axial, coronal, sagittal = figure.subplots(1, 3)
    slice_mm, row_mm, column_mm = volume.spacing
    index = finding.measurement.long_axis.slice_index
    _, row, column = (round(float(value)) for value in np.argwhere(inside).mean(0))
    _plane(axial, volume.hu[index], inside[index], (row_mm, column_mm))
    for axis, colour in ((finding.measurement.long_axis, LONG), (finding.measurement.short_axis, SHORT)):
        axial.plot(*zip(axis.start_px, axis.end_px, strict=True), color=colour, linewidth=1.5)
    _plane(coronal, volume.hu[:, row], inside[:, row], (slice_mm, column_mm))
    _plane(sagittal, volume.hu[:, :, column], inside[:, :, column], (slice_mm, row_mm))
    _orient_axial(axial, volume)
    _orient_coronal(coronal, volume)
    _orient_sagittal(sagittal, volume)
    for axes, name in ((axial, f"axial, slice {index + 1}"), (coronal, "coronal"), (sagittal, "sagittal")):
        axes.set_title(name)
    measured = finding.measurement
    figure.suptitle(
        f"Lesion {finding.lesion.number}: {measured.volume_ml:.2f} ml, "
        f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f} mm, mean {measured.mean_hu:.0f} HU"
    )
    figure.supxlabel(RESEARCH_SENTENCE, fontsize=8)
    return figure


def _plane(axes: Axes, hu: NDArray[np.float32], inside: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> None:
    """Show one plane with its outline, cut to the lesion's surroundings."""
    _show(axes, hu, pixel_mm)
    if not inside.any():
        return
    axes.contour(_up(inside), [0.5], colors=OUTLINE, linewidths=1.2)
    places = np.argwhere(inside)
    middle = (places.min(0) + places.max(0)) / 2
    reach = [max(HALF_MM / size, extent * 0.75) for size, extent in zip(pixel_mm, np.ptp(places, 0) + 1, strict=True)]
    axes.set_xlim(middle[1] - reach[1], middle[1] + reach[1])
    axes.set_ylim(middle[0] + reach[0], middle[0] - reach[0])


def _show(axes: Axes, hu: NDArray[np.float32], pixel_mm: tuple[float, float]) -> None:
    low, high = WINDOW_HU
    axes.imshow(hu, cmap="gray", vmin=low, vmax=high, aspect=pixel_mm[0] / pixel_mm[1], interpolation="bilinear")
    axes.set_axis_off()


def _orient_axial(axes: Axes, volume: Volume) -> None:
    """Radiological view: the patient's left on the right, the front on top."""
    _reverse(axes, x=volume.affine[0, 2] < 0, y=volume.affine[1, 1] < 0)


def _orient_coronal(axes: Axes, volume: Volume) -> None:
    _reverse(axes, x=volume.affine[0, 2] < 0, y=volume.affine[2, 0] > 0)


def _orient_sagittal(axes: Axes, volume: Volume) -> None:
    _reverse(axes, x=volume.affine[1, 1] < 0, y=volume.affine[2, 0] > 0)


def _reverse(axes: Axes, *, x: bool, y: bool) -> None:
    """Turn an axis of pixels that runs the other way than the view's: left to right, head or front to bottom."""
    if x:
        axes.invert_xaxis()
    if y:
        axes.invert_yaxis()


def _up(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    return inside.astype(np.float32)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    return path
