"""Small scans with box-shaped lesions, and what is drawn of them, read back from the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.image import BboxImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs
from models.segmenter import ModelCard
from models.volume import Mask, Volume
from worker.anatomy import Place
from worker.findings import Finding, Findings
from worker.lesions import find_lesions
from worker.measurements import measure
from worker.outputs.paper import DPI, Paper
from worker.spread import spread_of
from worker.uncertainty import Interval, SizeIntervals, Uncertainty

CARD = ModelCard(
    name="lung_tumour", version="1", weights_file="", weights_sha256="0123456789abcdef" * 4, licence="",
    threshold=0.5, smallest_lesion_ml=0.0,
)  # fmt: skip
SHAPE = (30, 60, 50)
BOXES = [np.s_[8:19, 10:27, 6:17], np.s_[22:25, 40:45, 30:39]]  # of odd size: their middle is a voxel
TURNS = [
    ((0, 1, 2), (0,)),
    ((0, 1, 2), (1,)),
    ((0, 1, 2), (2,)),
    ((0, 1, 2), (0, 1, 2)),
    ((0, 2, 1), ()),
    ((0, 2, 1), (0, 2)),
]
"""Orders of the axes, and which of them are turned, that a scan may be stored in."""

RIM_PX = 1.0
"""Boxes that share no more than such a rim do not touch."""

Array = NDArray[np.float32]
Marked = NDArray[np.bool_]
Affine = NDArray[np.float64]
Pixels = NDArray[np.int64]


def standing() -> tuple[Array, Marked, Affine]:
    """A scan from head to feet, front to back, right to left; 3 x 1 x 1 mm, two lesions."""
    hu = np.random.default_rng(1).normal(-800, 40, SHAPE).astype(np.float32)
    marked = np.zeros(SHAPE, bool)
    for box in BOXES:
        marked[box] = True
    hu[marked] = 30
    affine = np.array([[0, 0, 1.0, -25], [0, 1.0, 0, -30], [-3.0, 0, 0, 45], [0, 0, 0, 1]])
    return hu, marked, affine


def crowded(lesions: int) -> tuple[Array, Marked, Affine]:
    """A chest of 300 mm with so many lesions of 6 to 18 mm on a lattice."""
    hu = np.random.default_rng(2).normal(-800, 40, (50, 80, 100)).astype(np.float32)
    marked = np.zeros(hu.shape, bool)
    lattice = [(z, y, x) for x in range(4, 92, 11) for z in range(4, 42, 9) for y in range(4, 72, 23)]
    for order, (z, y, x) in enumerate(lattice[:: max(1, len(lattice) // max(lesions, 1))][:lesions]):
        size = 2 + order % 5
        marked[z : z + size, y : y + size, x : x + size] = True
    hu[marked] = 30
    return hu, marked, np.array([[0, 0, 3.0, -150], [0, 3.0, 0, -120], [3.0, 0, 0, 45], [0, 0, 0, 1]])


def findings(hu: Array, marked: Marked, affine: Affine) -> Findings:
    """What is found when just these voxels are marked."""
    volume = Volume(hu=hu, affine=affine)
    lesions = find_lesions(Mask(voxels=marked, affine=affine), CARD, "k")
    return Findings(
        job_key="k",
        study_uid="1.2.1",
        series_uid="1.2.2",
        frame_of_reference_uid="1.2.3",
        sop_instance_uids=tuple(f"1.2.4.{n}" for n in range(len(hu))),
        volume=volume,
        card=CARD,
        findings=tuple(Finding(lesion=lesion, measurement=measure(lesion, volume)) for lesion in lesions),
    )


def stored_otherwise(
    scan: tuple[Array, Marked, Affine], order: tuple[int, int, int], turned: tuple[int, ...]
) -> Findings:
    """The same scan with its axes turned and exchanged in storage, each voxel at the same place."""
    hu, marked, affine = scan
    affine = affine.copy()
    for axis in turned:
        affine[:3, 3] += affine[:3, axis] * (hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    affine[:, :3] = affine[:, list(order)]
    arrays: list[Any] = [np.ascontiguousarray(np.flip(a, turned).transpose(order)) for a in (hu, marked)]
    return findings(arrays[0], arrays[1], affine)


def placed(made: Findings) -> Findings:
    """The same with lungs (five boxes, one for each lobe), a place and intervals for each lesion, and the spread."""
    affine = made.volume.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    lobes = np.zeros([size // 2 for size in made.volume.hu.shape], np.uint8)
    half, slices = lobes.shape[2] // 2, len(lobes)
    lobes[: slices // 3, 2:-2, 2 : half - 2] = Lobe.RIGHT_LOWER
    lobes[slices // 3 : slices // 2, 2:-2, 2 : half - 2] = Lobe.RIGHT_MIDDLE
    lobes[slices // 2 :, 2:-2, 2 : half - 2] = Lobe.RIGHT_UPPER
    lobes[: slices // 2, 2:-2, half + 2 : -2] = Lobe.LEFT_LOWER
    lobes[slices // 2 :, 2:-2, half + 2 : -2] = Lobe.LEFT_UPPER
    far = np.full(lobes.shape, 9, np.float32)
    lungs = Lungs(lobes=lobes, affine=affine, fissure_mm=far, wall_mm=far, mediastinum_mm=far, carina_mm=None)
    found = tuple(
        replace(finding, place=_place(order), uncertainty=_uncertainty(finding))
        for order, finding in enumerate(made.findings)
    )
    return replace(made, findings=found, lungs=lungs, spread=spread_of(found, lungs))


def _place(order: int) -> Place:
    return Place(
        lobe=Lobe(order % 5 + 1),
        fissure_mm=12.0,
        is_lobe_sure=order % 2 == 0,
        wall_mm=3.1 + order,
        mediastinum_mm=44.1 + order,
        touches_wall=order % 2 == 1,
        touches_mediastinum=order % 3 == 0,
        carina_mm=None,
    )


def _uncertainty(finding: Finding) -> Uncertainty:
    sizes = {
        "volume_ml": finding.measurement.volume_ml,
        "long_axis_mm": finding.measurement.long_axis.length_mm,
        "short_axis_mm": finding.measurement.short_axis.length_mm,
    }
    scan, reader = (
        {name: Interval(low=size * low, high=size * high) for name, size in sizes.items()}
        for low, high in ((0.9, 1.1), (0.5, 2.0))
    )
    return Uncertainty(**scan, another_reader=SizeIntervals(**reader))


def ruler(dpi: float) -> RendererAgg:
    """What measures texts at a resolution; nothing is drawn with it."""
    return RendererAgg(1, 1, dpi)  # type: ignore[no-untyped-call]


def texts_of(paper: Paper) -> list[Text]:
    """All that is written on it."""
    return [text for text in paper.figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]


def words_of(paper: Paper) -> list[str]:
    """All that is written on it, as words."""
    return [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in texts_of(paper)]


def pictures_of(paper: Paper) -> list[Bbox]:
    """Where its pictures are, in pixels from the lower left corner, in the order in which they were drawn."""
    images = [image for image in paper.figure.findobj(BboxImage) if isinstance(image, BboxImage)]
    return [image.get_window_extent() for image in images]


def pixels_of(paper: Paper) -> Pixels:
    """The sheet as it is seen, (row, column, red green blue), 0 to 255."""
    canvas = FigureCanvasAgg(paper.figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    seen = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return np.asarray(seen)[..., :3].astype(np.int64)


def cut(pixels: Pixels, box: Bbox) -> Pixels:
    """The part of the sheet in a box that counts from the lower left corner."""
    height = len(pixels)
    return pixels[round(height - box.y1) : round(height - box.y0), round(box.x0) : round(box.x1)]


def extent_of(pixels: Pixels, colour: str, tolerance: int = 40) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of what has this colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero(np.abs(pixels - rgb).max(axis=2) < tolerance)
    return float(columns.min()), float(columns.max()) + 1, float(rows.min()), float(rows.max()) + 1


def overlaps(boxes: Sequence[Bbox], slack_px: float) -> list[tuple[int, int]]:
    """The pairs of boxes that share more than a rim of so many pixels."""
    return [
        (i, j)
        for i, one in enumerate(boxes)
        for j, other in enumerate(boxes[:i])
        if min(one.x1, other.x1) - max(one.x0, other.x0) > slack_px
        and min(one.y1, other.y1) - max(one.y0, other.y0) > slack_px
    ]


def collisions(paper: Paper, dpi: int) -> list[str]:
    """What overlaps, runs over a picture, out of its picture or out of the sheet."""
    texts, pictures, sheet = texts_of(paper), pictures_of(paper), Bbox.from_extents(*paper.figure.bbox.extents)
    boxes = [text.get_window_extent(ruler(dpi)) for text in texts]
    rim = RIM_PX * dpi / DPI
    found = [f"{texts[i].get_text()} touches {texts[j].get_text()}" for i, j in overlaps(boxes, rim)]
    found += [f"picture {i} touches picture {j}" for i, j in overlaps(pictures, rim)]
    for text, box in zip(texts, boxes, strict=True):
        if box.x0 < 0 or box.y0 < 0 or box.x1 > sheet.x1 or box.y1 > sheet.y1:
            found.append(f"{text.get_text()} leaves the page")
        touched = [picture for picture in pictures if overlaps([box, picture], rim)]
        if text.get_bbox_patch() is None and touched:
            found.append(f"{text.get_text()} runs over a picture")
        if text.get_bbox_patch() is not None and overlaps([box, *_beside(touched[0], sheet)], rim):
            found.append(f"{text.get_text()} runs out of its picture")
    return found


def _beside(box: Bbox, sheet: Bbox) -> list[Bbox]:
    """The parts of the sheet left, right, below and above a box; they share no area with each other."""
    return [
        Bbox.from_extents(0, 0, box.x0, sheet.y1),
        Bbox.from_extents(box.x1, 0, sheet.x1, sheet.y1),
        Bbox.from_extents(box.x0, 0, box.x1, box.y0),
        Bbox.from_extents(box.x0, box.y1, box.x1, sheet.y1),
    ]


def struck(paper: Paper, dpi: int) -> list[str]:
    """The texts that a line or a filled shape runs through."""
    figure, rim = paper.figure, RIM_PX * dpi / DPI
    lines = [line for line in figure.findobj(Line2D) if isinstance(line, Line2D)]
    shapes = [shape for shape in figure.artists + figure.patches if isinstance(shape, Patch)]
    paths = [artist.get_transform().transform_path(artist.get_path()) for artist in (*lines, *shapes)]
    around = np.array([path.get_extents().extents for path in paths]).reshape(-1, 4)
    found = []
    for text in texts_of(paper):
        box = text.get_window_extent(ruler(dpi)).padded(-rim)
        is_near = (around[:, :2] < box.max).all(axis=1) & (around[:, 2:] > box.min).all(axis=1)
        near = [path for path, near in zip(paths, is_near, strict=True) if near]
        if any(path.intersects_bbox(box, filled=len(path) > 2) for path in near):
            found.append(f"{text.get_text()} is struck through")
    return found
