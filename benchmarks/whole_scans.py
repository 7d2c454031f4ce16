"""Evaluates a model on whole chest scans: python -m benchmarks.whole_scans --data FOLDER.

FOLDER holds two patients outside the training data, as downloaded from TCIA (c3n-00247 of CPTAC, lung-dx-a0001 with its
boxes), and the held-out LIDC nodules (lidc-slices, lidc-cubes), which are inserted into these chests at known places.

Known tumours: whether the tumour is segmented, and the false positives. Inserted: 30 visible tumours of 10 to 80 mm
after insertion, the larger ones enlarged nodules, every second one at the chest wall; three per scan, both chests
equally often. Storage: the same scan stored in reverse order, as coronal and sagittal planes, and with other slice
thicknesses; the same lesions must be found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.orientation import orientation_of
from models.registry import load_model
from models.segmenter import InferenceSettings, Segmenter
from models.volume import Mask, Volume
from training.data.datasets import Stack, lidc_cubes, lidc_slices
from training.data.splits import read_splits
from training.data.volume import upright_stack
from training.evaluation.case import case_of
from training.evaluation.detection import LesionNumbers, detect
from training.evaluation.predict import OperatingPoint, Predicted
from training.synthesis.lesions import insert, real
from training.synthesis.placement import Sites
from worker.ct.files import dicom_files
from worker.ct.reader import LoadedSeries, load
from worker.lesions.lesion import Lesion, find_lesions

SPLITS = Path(__file__).parent.parent / "training" / "splits" / "lung_tumour_v2.json"
C3N_TUMOUR_MM = (-81.0, -190.0, -193.0)
NEAR_MM = 30.0
"""Around a chest's own tumour; nothing is inserted or counted as false positive there."""
AT_A_TIME, SMALLEST_MM, LARGEST_MM = 3, 12.0, 80.0
LEAST_MM = 10.0
"""Smallest size after insertion: a lesion becomes smaller than drawn, because its edge fades."""
MASK_POINT = OperatingPoint(threshold=0.5, peak_threshold=0.5)
SLICES_MM = (0.7, 1.25, 2.0, 5.0)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """A scan and a generous region around its own tumour."""

    name: str
    volume: Volume
    tumour_region: Bools


def main() -> None:
    """Print the results as JSON, and write them to --results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="lung_tumour")
    parser.add_argument("--model-sha256", default="", help="as worker.model_sha256")
    parser.add_argument("--ensemble-size", type=int, default=0, help="as worker.ensemble_size")
    parser.add_argument("--flip-tta", action=argparse.BooleanOptionalAction, default=True, help="as worker.flip_tta")
    parser.add_argument("--cascade", action=argparse.BooleanOptionalAction, default=True, help="as worker.cascade")
    parser.add_argument("--inserted", type=int, default=30, help="number of inserted tumours")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    model = load_model(
        args.model,
        InferenceSettings(ensemble_size=args.ensemble_size, flip_tta=args.flip_tta, cascade=args.cascade),
        sha256=args.model_sha256,
    )
    c3n, boxed = load(dicom_files(args.data / "c3n-00247")), load(dicom_files(args.data / "lung-dx-a0001"))
    boxes = _boxes(boxed, args.data / "lung-dx-a0001-boxes")
    chests = [_c3n(c3n.volume), _boxed(boxed.volume, boxes)]
    (_, c3n_lesions), (boxed_mask, boxed_lesions) = (_lesions(model, chest.volume) for chest in chests)
    results = {
        "model": f"{model.card.name} {model.card.version}",
        "c3n-00247": _known(c3n_lesions, chests[0]),
        "lung-dx-a0001": {**_known(boxed_lesions, chests[1]), **_in_boxes(boxed_mask, boxes)},
        "inserted": _inserted(model, chests, _donors(args.data), args.inserted),
        "stored otherwise": _stored_otherwise(model, c3n.volume, c3n_lesions),
    }
    text = json.dumps(results, indent=1, sort_keys=True)
    print(text)
    if args.results is not None:
        args.results.write_text(text + "\n", encoding="utf-8")


def _c3n(volume: Volume) -> Chest:
    return Chest(name="c3n-00247", volume=volume, tumour_region=_ball(volume, C3N_TUMOUR_MM, NEAR_MM))


def _boxed(volume: Volume, boxes: Bools) -> Chest:
    region = ndimage.distance_transform_edt(~boxes, sampling=volume.spacing) <= NEAR_MM
    return Chest(name="lung-dx-a0001", volume=volume, tumour_region=np.asarray(region))


def _ball(volume: Volume, centre_mm: tuple[float, ...], radius_mm: float) -> Bools:
    index = np.indices(volume.hu.shape).reshape(3, -1)
    points = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
    inside = np.linalg.norm(points - np.array(centre_mm)[:, None], axis=0) <= radius_mm
    return np.asarray(inside.reshape(volume.hu.shape))


def _boxes(series: LoadedSeries, folder: Path) -> Bools:
    """Return the boxes as a mask. A box is an XML file named by its SOP Instance UID; some are of other series."""
    inside = np.zeros(series.volume.hu.shape, bool)
    for number, uid in enumerate(series.sop_instance_uids):
        path = folder / f"{uid}.xml"
        for box in ET.parse(path).iter("bndbox") if path.is_file() else ():
            x0, y0, x1, y1 = (int(box.findtext(name, "0")) for name in ("xmin", "ymin", "xmax", "ymax"))
            inside[number, y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def _lesions(model: Segmenter, volume: Volume) -> tuple[Mask, tuple[Lesion, ...]]:
    mask = model.segment(volume, lambda _: None)
    return mask, find_lesions(mask, model.card, "whole scans")


def _known(lesions: Sequence[Lesion], chest: Chest) -> dict[str, object]:
    """Return the volumes of the lesions at the chest's own tumour, and volumes and centroids of the false ones."""
    is_own = [bool(chest.tumour_region[_box(lesion)][lesion.voxels].any()) for lesion in lesions]
    millilitres = [round(float(lesion.voxels.sum()) * chest.volume.voxel_ml, 2) for lesion in lesions]
    return {
        "own_ml": [ml for ml, own in zip(millilitres, is_own, strict=True) if own],
        "false_ml": [ml for ml, own in zip(millilitres, is_own, strict=True) if not own],
        "false_at_mm": [
            [round(x) for x in lesion.centroid_mm] for lesion, own in zip(lesions, is_own, strict=True) if not own
        ],
    }


def _in_boxes(mask: Mask, boxes: Bools) -> dict[str, int]:
    return {
        "boxes": int(boxes.any((1, 2)).sum()),
        "boxes_with_lesion": int((mask.voxels & boxes).any((1, 2)).sum()),
    }


def _donors(data: Path) -> list[Stack]:
    """Return the nodules of the held-out test patients that have at least three slices of tumour."""
    held_out = set(read_splits(SPLITS)["lidc"]["test"])
    stacks = [*lidc_slices(data / "lidc-slices"), *lidc_cubes(data / "lidc-cubes" / "cubes.npz")]
    return [stack for stack in stacks if stack.patient in held_out and stack.marked_slices().sum() >= 3]


def _inserted(model: Segmenter, chests: Sequence[Chest], donors: Sequence[Stack], count: int) -> dict[str, object]:
    rng = np.random.default_rng(1)
    sizes = np.exp(np.linspace(np.log(SMALLEST_MM), np.log(LARGEST_MM), count))
    rng.shuffle(sizes)
    lesions: list[LesionNumbers] = []
    false_counts: list[int] = []
    for number, first in enumerate(range(0, count, AT_A_TIME)):
        chest = chests[number % len(chests)]
        stack = _with_tumours(chest, donors, [float(size) for size in sizes[first : first + AT_A_TIME]], rng)
        orientation = orientation_of(chest.volume.affine)
        stored = orientation.stored(np.asarray(stack.hu, np.float32))
        mask, _ = _lesions(model, replace(chest.volume, hu=stored))
        outside = orientation.upright(mask.voxels & ~chest.tumour_region).astype(np.float32)
        detection = detect(case_of([Predicted(stack=stack, probability=outside)]), MASK_POINT, model.card)
        lesions += detection.lesions
        false_counts.append(len(detection.false_scores))
    return {
        "tumours": len(lesions),
        "found": sum(lesion.found for lesion in lesions),
        "scans": len(false_counts),
        "false_per_scan": float(np.mean(false_counts)),
        "dice_of_found": float(np.mean([lesion.dice for lesion in lesions if lesion.dice is not None])),
        "each": [
            {
                "long_axis_mm": round(lesion.long_axis_mm, 1),
                "attachment": lesion.attachment,
                "found": lesion.found,
                "dice": lesion.dice and round(lesion.dice, 2),
            }
            for lesion in sorted(lesions, key=lambda one: one.long_axis_mm)
        ],
    }


def _with_tumours(chest: Chest, donors: Sequence[Stack], sizes: Sequence[float], rng: np.random.Generator) -> Stack:
    """Return the upright chest with one tumour of each size (mm), every second one at the wall, none overlapping."""
    volume = chest.volume
    empty = np.zeros(volume.hu.shape, bool)
    stack = upright_stack(
        np.rint(volume.hu).astype(np.int16), empty, volume.affine, source="inserted", patient=chest.name, name="scan"
    )
    occupied = orientation_of(volume.affine).upright(chest.tumour_region)
    hu, mask = np.asarray(stack.hu, np.float32), np.asarray(stack.mask)
    sites = Sites(hu, stack.spacing_mm)
    for number, size in enumerate(sizes):
        for _ in range(200):
            donor = donors[int(rng.integers(len(donors)))]
            scale = float(size) / _diameter_mm(donor)
            body = real(
                np.asarray(donor.hu), np.asarray(donor.mask), _scaled(donor.spacing_mm, scale), stack.spacing_mm, rng
            )
            place = sites.find(body.radius_mm, "edge" if number % 2 else "free", rng)
            if place is None:
                continue
            inserted = insert(hu, stack.spacing_mm, body, place)
            if (
                inserted.shows
                and _widest_mm(inserted.mask, stack.spacing_mm) >= LEAST_MM
                and not (ndimage.binary_dilation(inserted.mask, iterations=4) & (occupied | mask)).any()
            ):
                hu, mask = inserted.hu, mask | inserted.mask
                break
        else:
            raise RuntimeError(f"{chest.name}: no place for a tumour of {size:.0f} mm")
    return replace(stack, hu=np.rint(hu).astype(np.int16), mask=mask)


def _diameter_mm(donor: Stack) -> float:
    """Return the longest in-plane side of the bounding box of a donor's tumour."""
    rows, columns = (np.flatnonzero(np.asarray(donor.mask).any(axes)) for axes in ((0, 2), (0, 1)))
    return max(np.ptp(rows) * donor.spacing_mm[1], np.ptp(columns) * donor.spacing_mm[2]) + donor.spacing_mm[1]


def _widest_mm(mask: Bools, spacing: tuple[float, float, float]) -> float:
    """Return the longest side of the mask's bounding box in any slice, between voxel centres."""
    sides = [
        (np.ptp(rows) * spacing[1], np.ptp(columns) * spacing[2])
        for rows, columns in (np.nonzero(plane) for plane in mask if plane.any())
    ]
    return float(np.max(sides, initial=0.0))


def _scaled(spacing: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return spacing[0] * factor, spacing[1] * factor, spacing[2] * factor


def _stored_otherwise(model: Segmenter, volume: Volume, lesions: Sequence[Lesion]) -> dict[str, object]:
    """Return, for each way to store the scan, the number of lesions and each volume's difference in per cent."""
    expected = _volumes(lesions, volume)
    return {
        name: _differences(expected, _volumes(_lesions(model, stored)[1], stored))
        for name, stored in _storage_variants(volume)
    }


def _volumes(lesions: Sequence[Lesion], volume: Volume) -> list[tuple[NDArray[np.float64], float]]:
    return [(np.array(lesion.centroid_mm), float(lesion.voxels.sum()) * volume.voxel_ml) for lesion in lesions]


def _differences(
    expected: Sequence[tuple[NDArray[np.float64], float]], found: Sequence[tuple[NDArray[np.float64], float]]
) -> dict[str, object]:
    pairs = [
        (ml, min(found, key=lambda one: float(np.linalg.norm(one[0] - centre)))) for centre, ml in expected if found
    ]
    return {
        "lesions": len(found),
        "of": len(expected),
        "volumes_percent": [round(100 * (nearest[1] / ml - 1), 1) for ml, nearest in pairs],
    }


def _storage_variants(volume: Volume) -> Iterator[tuple[str, Volume]]:
    yield "slices from head to feet", _flipped(volume, (0,))
    yield "rows and columns reversed", _flipped(volume, (1, 2))
    yield "coronal planes", _transposed(volume, (1, 0, 2))
    yield "sagittal planes", _transposed(volume, (2, 0, 1))
    for size in SLICES_MM:
        yield f"slices of {size} mm", _resliced(volume, size)


def _flipped(volume: Volume, axes: tuple[int, ...]) -> Volume:
    affine = volume.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (volume.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Volume(hu=np.ascontiguousarray(np.flip(volume.hu, axes)), affine=affine)


def _transposed(volume: Volume, order: tuple[int, int, int]) -> Volume:
    affine = volume.affine.copy()
    affine[:, :3] = affine[:, list(order)]
    return Volume(hu=np.ascontiguousarray(volume.hu.transpose(order)), affine=affine)


def _resliced(volume: Volume, size_mm: float) -> Volume:
    """Return the scan with another slice thickness; thicker slices are averages, as on a scanner."""
    step = size_mm / volume.spacing[0]
    hu = ndimage.gaussian_filter1d(volume.hu, step / 2.355, axis=0) if step > 1 else volume.hu
    positions = np.arange(0, len(hu) - 1 + 1e-6, step)
    low = np.minimum(positions.astype(int), len(hu) - 2)
    weight = (positions - low).astype(np.float32)[:, None, None]
    affine = volume.affine.copy()
    affine[:3, 0] *= step
    return Volume(hu=hu[low] * (1 - weight) + hu[low + 1] * weight, affine=affine)


def _box(lesion: Lesion) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(lesion.corner, lesion.voxels.shape, strict=True))


if __name__ == "__main__":
    main()
