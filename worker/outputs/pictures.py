"""Draws the findings: one page per lesion, and one of all. Shows no patient data; knows no DICOM.

Everything is drawn as radiologists look at it: the patient's right on the left, head and front up, however the series
is stored. For that the volume is turned upright first; nothing is resampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import spacing_of
from worker.axes import Axis
from worker.findings import Finding, Findings
from worker.outputs.identity import RESEARCH_SENTENCE
from worker.outputs.seg import label_array

WINDOW_HU = (-1350, 150)
"""A lung window: centre -600, width 1500."""
OUTLINE, LONG, SHORT = "#e69f00", "#56b4e9", "#009e73"
"""Okabe and Ito 2008: told apart with every kind of colour vision."""
HALF_MM = 45.0
"""Half the side of the region shown around a lesion."""

Plane = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What is drawn, upright: axes run from head to feet, from front to back, from the patient's right to the left.

    labels: the number of the lesion in each voxel. affine: of this grid.
    """

    hu: NDArray[np.float32]
    labels: NDArray[np.uint16]
    affine: NDArray[np.float64]

    def pixel_of(self, place_mm: tuple[float, float, float]) -> NDArray[np.float64]:
        return np.asarray(np.linalg.solve(self.affine[:3, :3], np.subtract(place_mm, self.affine[:3, 3])), np.float64)


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Write overview.png and lesion-N.png into the folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    scene = _scene(findings)
    paths = [_save(_overview(scene), folder / "overview.png")]
    for finding in findings.findings:
        paths.append(_save(_lesion_page(finding, scene), folder / f"lesion-{finding.lesion.number}.png"))
    return paths


def _scene(findings: Findings) -> _Scene:
    labels = label_array(findings)
    order, turned = upright(findings.volume.affine)
    affine = findings.volume.affine.copy()
    for axis in turned:
        affine[:3, 3] += affine[:3, axis] * (labels.shape[axis] - 1)
        affine[:3, axis] *= -1
    affine[:, :3] = affine[:, list(order)]
    return _Scene(
        hu=np.flip(findings.volume.hu, turned).transpose(order),
        labels=np.flip(labels, turned).transpose(order),
        affine=affine,
    )


def upright(affine: NDArray[np.float64]) -> tuple[tuple[int, int, int], tuple[int, ...]]:
    """Return the order in which a volume's axes are upright, and the axes that have to be turned for it."""
    row, column = (1, 2) if abs(affine[1, 1]) >= abs(affine[1, 2]) else (2, 1)
    wrong = {0: affine[2, 0] > 0, row: affine[1, row] < 0, column: affine[0, column] < 0}
    return (0, row, column), tuple(axis for axis in wrong if wrong[axis])


def _overview(scene: _Scene) -> Figure:
    """The coronal projection of all lesions over the slice that shows most of them."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.add_subplot()
    row = int((scene.labels > 0).sum((0, 2)).argmax()) if scene.labels.any() else scene.labels.shape[1] // 2
    height_mm, _, width_mm = spacing_of(scene.affine)
    _show(axes, scene.hu[:, row], (height_mm, width_mm), ("R", "L"))
    boxes = ndimage.find_objects(scene.labels)
    for number, box in enumerate(boxes, start=1):
        shadow = np.zeros((scene.hu.shape[0], scene.hu.shape[2]), bool)
        shadow[box[0], box[2]] = (scene.labels[box] == number).any(1)
        _contour(axes, shadow)
        height, side = np.argwhere(shadow).mean(0)
        axes.annotate(str(number), (side, height), color=LONG, ha="center", va="center")
    axes.set_title(f"{len(boxes)} lesions, projected on a coronal slice")
    figure.supxlabel(RESEARCH_SENTENCE, fontsize=8)
    return figure


def _lesion_page(finding: Finding, scene: _Scene) -> Figure:
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    axial, coronal, sagittal = figure.subplots(1, 3)
    measured, number = finding.measurement, finding.lesion.number
    height_mm, depth_mm, width_mm = spacing_of(scene.affine)
    index = round(float(scene.pixel_of(measured.long_axis.start_mm)[0]))
    _, row, column = (round(float(value)) for value in scene.pixel_of(finding.lesion.centroid_mm))
    _plane(axial, scene.hu[index], scene.labels[index] == number, (depth_mm, width_mm), ("R", "L"))
    _draw_axis(axial, measured.long_axis, scene, LONG)
    _draw_axis(axial, measured.short_axis, scene, SHORT)
    _plane(coronal, scene.hu[:, row], scene.labels[:, row] == number, (height_mm, width_mm), ("R", "L"))
    _plane(sagittal, scene.hu[:, :, column], scene.labels[:, :, column] == number, (height_mm, depth_mm), ("A", "P"))
    axial.set_title(f"axial, slice {measured.long_axis.slice_index + 1}")
    coronal.set_title("coronal")
    sagittal.set_title("sagittal")
    figure.suptitle(
        f"Lesion {number}: {measured.volume_ml:.2f} ml, "
        f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f} mm, mean {measured.mean_hu:.0f} HU"
    )
    figure.supxlabel(RESEARCH_SENTENCE, fontsize=8)
    return figure


def _draw_axis(axes: Axes, axis: Axis, scene: _Scene, colour: str) -> None:
    (_, start_row, start_column), (_, end_row, end_column) = map(scene.pixel_of, (axis.start_mm, axis.end_mm))
    axes.plot([start_column, end_column], [start_row, end_row], color=colour, linewidth=1.5)


def _plane(
    axes: Axes, hu: NDArray[np.float32], inside: Plane, pixel_mm: tuple[float, float], sides: tuple[str, str]
) -> None:
    """Show one plane with the lesion's outline, cut to its surroundings."""
    _show(axes, hu, pixel_mm, sides)
    if not inside.any():  # the centroid of a crescent lies beside it
        return
    _contour(axes, inside)
    places = np.argwhere(inside)
    middle = (places.min(0) + places.max(0)) / 2
    reach = [max(HALF_MM / size, extent * 0.75) for size, extent in zip(pixel_mm, np.ptp(places, 0) + 1, strict=True)]
    axes.set_xlim(middle[1] - reach[1], middle[1] + reach[1])
    axes.set_ylim(middle[0] + reach[0], middle[0] - reach[0])


def _show(axes: Axes, hu: NDArray[np.float32], pixel_mm: tuple[float, float], sides: tuple[str, str]) -> None:
    low, high = WINDOW_HU
    axes.imshow(hu, cmap="gray", vmin=low, vmax=high, aspect=pixel_mm[0] / pixel_mm[1], interpolation="bilinear")
    for place, side, align in ((0.02, sides[0], "left"), (0.98, sides[1], "right")):
        box = {"facecolor": "black", "edgecolor": "none", "pad": 1.5}
        axes.text(place, 0.5, side, color="white", ha=align, va="center", transform=axes.transAxes, bbox=box)
    axes.set_axis_off()


def _contour(axes: Axes, inside: Plane) -> None:
    axes.contour(inside.astype(np.float32), [0.5], colors=OUTLINE, linewidths=1.2)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    return path
