"""Judges a model on whole chests: python -m benchmarks.whole_scans --data FOLDER.

FOLDER holds two patients whom no training saw, as TCIA gives them (c3n-00247 of CPTAC, lung-dx-a0001 with its boxes),
and the held-back LIDC nodules (lidc-slices, lidc-cubes), whose voxels are put into these chests at known places.

Known: is the tumour outlined, and what is marked besides. Inserted: 30 tumours that show, of 10 to 80 mm
as they then lie there, the larger ones enlarged nodules, every other one on the wall; three at a time, each chest as
often as the other. Stored otherwise: the same scan mirrored in its storage, feet first, as coronal and sagittal planes,
and with other slices; the same lesions must come.
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
from worker.ct.reader import LoadedSeries, load
from worker.folder import dicom_files
from worker.lesions.lesion import Lesion, find_lesions

SPLITS = Path(__file__).parent.parent / "training" / "splits" / "lung_tumour_v2.json"
C3N_TUMOUR_MM = (-81.0, -190.0, -193.0)
NEAR_MM = 30.0
"""Around a chest's own tumour: nothing is inserted or counted there."""
AT_A_TIME, SMALLEST_MM, LARGEST_MM = 3, 12.0, 80.0
LEAST_MM = 10.0
"""Of what is put in as it then lies there: a lesion is drawn larger than it turns out, its edge fades."""
MASK_POINT = OperatingPoint(threshold=0.5, peak_threshold=0.5)
SLICES_MM = (0.7, 1.25, 2.0, 5.0)

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """A scan and where its own tumour lies, generously."""

    name: str
    volume: Volume
    own: Bools


def main() -> None:
    """Print what came out, and write it where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="lung_tumour")
    parser.add_argument("--ensemble-size", type=int, default=0, help="as worker.ensemble_size")
    parser.add_argument("--flip-tta", action=argparse.BooleanOptionalAction, default=True, help="as worker.flip_tta")
    parser.add_argument("--cascade", action=argparse.BooleanOptionalAction, default=True, help="as worker.cascade")
    parser.add_argument("--inserted", type=int, default=30, help="how many tumours are put in")
    parser.add_argument("--results", type=Path)
    args = parser.parse_args()
    model = load_model(
        args.model,
        InferenceSettings(ensemble_size=args.ensemble_size, flip_tta=args.flip_tta, cascade=args.cascade),
    )
    c3n, boxed = load(dicom_files(args.data / "c3n-00247")), load(dicom_files(args.data / "lung-dx-a0001"))
    boxes = _boxes(boxed, args.data / "lung-dx-a0001-boxes")
    chests = [_c3n(c3n.volume), _boxed(boxed.volume, boxes)]
    (_, lesions), (marked, others) = (_lesions(model, chest.volume) for chest in chests)
    found = {
        "model": f"{model.card.name} {model.card.version}",
        "c3n-00247": _known(lesions, chests[0]),
        "lung-dx-a0001": {**_known(others, chests[1]), **_in_boxes(marked, boxes)},
        "inserted": _inserted(model, chests, _donors(args.data), args.inserted),
        "stored otherwise": _stored_otherwise(model, c3n.volume, lesions),
    }
    text = json.dumps(found, indent=1, sort_keys=True)
    print(text)
    if args.results is not None:
        args.results.write_text(text + "\n", encoding="utf-8")


def _c3n(volume: Volume) -> Chest:
    return Chest(name="c3n-00247", volume=volume, own=_ball(volume, C3N_TUMOUR_MM, NEAR_MM))


def _boxed(volume: Volume, boxes: Bools) -> Chest:
    own = ndimage.distance_transform_edt(~boxes, sampling=volume.spacing) <= NEAR_MM
    return Chest(name="lung-dx-a0001", volume=volume, own=np.asarray(own))


def _ball(volume: Volume, centre_mm: tuple[float, ...], radius_mm: float) -> Bools:
    index = np.indices(volume.hu.shape).reshape(3, -1)
    places = volume.affine[:3, :3] @ index + volume.affine[:3, 3:]
    inside = np.linalg.norm(places - np.array(centre_mm)[:, None], axis=0) <= radius_mm
    return np.asarray(inside.reshape(volume.hu.shape))


def _boxes(series: LoadedSeries, folder: Path) -> Bools:
    """Return the boxes as voxels; a box is an XML file that is named by its image, and not all are of this series."""
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
    """Return the volume of what is marked at the chest's own tumour, and of each false lesion."""
    at_home = [bool(chest.own[_box(lesion)][lesion.voxels].any()) for lesion in lesions]
    millilitres = [round(float(lesion.voxels.sum()) * chest.volume.voxel_ml, 2) for lesion in lesions]
    return {
        "own_ml": [ml for ml, own in zip(millilitres, at_home, strict=True) if own],
        "false_ml": [ml for ml, own in zip(millilitres, at_home, strict=True) if not own],
        "false_at_mm": [
            [round(x) for x in lesion.centroid_mm] for lesion, own in zip(lesions, at_home, strict=True) if not own
        ],
    }


def _in_boxes(mask: Mask, boxes: Bools) -> dict[str, int]:
    return {
        "boxes": int(boxes.any((1, 2)).sum()),
        "boxes_with_lesion": int((mask.voxels & boxes).any((1, 2)).sum()),
    }


def _donors(data: Path) -> list[Stack]:
    """Return the nodules of the patients that are held back, with at least three slices of tumour."""
    held = set(read_splits(SPLITS)["lidc"]["test"])
    stacks = [*lidc_slices(data / "lidc-slices"), *lidc_cubes(data / "lidc-cubes" / "cubes.npz")]
    return [stack for stack in stacks if stack.patient in held and stack.mask.any((1, 2)).sum() >= 3]


def _inserted(model: Segmenter, chests: Sequence[Chest], donors: Sequence[Stack], count: int) -> dict[str, object]:
    rng = np.random.default_rng(1)
    sizes = np.exp(np.linspace(np.log(SMALLEST_MM), np.log(LARGEST_MM), count))
    rng.shuffle(sizes)
    lesions: list[LesionNumbers] = []
    false: list[int] = []
    for number, first in enumerate(range(0, count, AT_A_TIME)):
        chest = chests[number % len(chests)]
        stack = _with_tumours(chest, donors, [float(size) for size in sizes[first : first + AT_A_TIME]], rng)
        orientation = orientation_of(chest.volume.affine)
        stored = orientation.stored(stack.hu.astype(np.float32))
        mask, _ = _lesions(model, replace(chest.volume, hu=stored))
        said = orientation.upright(mask.voxels & ~chest.own).astype(np.float32)
        judged = detect(case_of([Predicted(stack=stack, probability=said)]), MASK_POINT, model.card)
        lesions += judged.lesions
        false.append(len(judged.false_scores))
    return {
        "tumours": len(lesions),
        "found": sum(lesion.found for lesion in lesions),
        "scans": len(false),
        "false_per_scan": float(np.mean(false)),
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
    """Return the chest upright with one tumour of each size (mm), every other one on the wall; each has its place."""
    volume = chest.volume
    empty = np.zeros(volume.hu.shape, bool)
    stack = upright_stack(
        np.rint(volume.hu).astype(np.int16), empty, volume.affine, source="inserted", patient=chest.name, name="scan"
    )
    taken = orientation_of(volume.affine).upright(chest.own)
    hu, mask = stack.hu.astype(np.float32), stack.mask
    sites = Sites(hu, stack.spacing_mm)
    for number, size in enumerate(sizes):
        for _ in range(200):
            donor = donors[int(rng.integers(len(donors)))]
            times = float(size) / _diameter_mm(donor)
            body = real(donor.hu, donor.mask, _times(donor.spacing_mm, times), stack.spacing_mm, rng)
            place = sites.find(body.radius_mm, "edge" if number % 2 else "free", rng)
            if place is None:
                continue
            inserted = insert(hu, stack.spacing_mm, body, place)
            if (
                inserted.shows
                and _widest_mm(inserted.mask, stack.spacing_mm) >= LEAST_MM
                and not (ndimage.binary_dilation(inserted.mask, iterations=4) & (taken | mask)).any()
            ):
                hu, mask = inserted.hu, mask | inserted.mask
                break
        else:
            raise RuntimeError(f"{chest.name}: no place for a tumour of {size:.0f} mm")
    return replace(stack, hu=np.rint(hu).astype(np.int16), mask=mask)


def _diameter_mm(donor: Stack) -> float:
    """Return the longest side of the box around a donor's tumour in its plane."""
    rows, columns = (np.flatnonzero(donor.mask.any(axes)) for axes in ((0, 2), (0, 1)))
    return max(np.ptp(rows) * donor.spacing_mm[1], np.ptp(columns) * donor.spacing_mm[2]) + donor.spacing_mm[1]


def _widest_mm(mask: Bools, spacing: tuple[float, float, float]) -> float:
    """Return the longest side of the box around what is marked in any slice, between voxels' middles."""
    sides = [
        (np.ptp(rows) * spacing[1], np.ptp(columns) * spacing[2])
        for rows, columns in (np.nonzero(plane) for plane in mask if plane.any())
    ]
    return float(np.max(sides, initial=0.0))


def _times(spacing: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return spacing[0] * factor, spacing[1] * factor, spacing[2] * factor


def _stored_otherwise(model: Segmenter, volume: Volume, lesions: Sequence[Lesion]) -> dict[str, object]:
    """Return of each way to store the scan its lesions' count, and the volumes' greatest difference in per cent."""
    truth = _volumes(lesions, volume)
    return {name: _against(truth, _volumes(_lesions(model, other)[1], other)) for name, other in _ways(volume)}


def _volumes(lesions: Sequence[Lesion], volume: Volume) -> list[tuple[NDArray[np.float64], float]]:
    return [(np.array(lesion.centroid_mm), float(lesion.voxels.sum()) * volume.voxel_ml) for lesion in lesions]


def _against(
    truth: Sequence[tuple[NDArray[np.float64], float]], other: Sequence[tuple[NDArray[np.float64], float]]
) -> dict[str, object]:
    pairs = [(ml, min(other, key=lambda one: float(np.linalg.norm(one[0] - centre)))) for centre, ml in truth if other]
    return {
        "lesions": len(other),
        "of": len(truth),
        "volumes_percent": [round(100 * (nearest[1] / ml - 1), 1) for ml, nearest in pairs],
    }


def _ways(volume: Volume) -> Iterator[tuple[str, Volume]]:
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
    """Return the scan with slices of another thickness: those that grow are averages, as a scanner makes them."""
    step = size_mm / volume.spacing[0]
    hu = ndimage.gaussian_filter1d(volume.hu, step / 2.355, axis=0) if step > 1 else volume.hu
    places = np.arange(0, len(hu) - 1 + 1e-6, step)
    low = np.minimum(places.astype(int), len(hu) - 2)
    share = (places - low).astype(np.float32)[:, None, None]
    affine = volume.affine.copy()
    affine[:3, 0] *= step
    return Volume(hu=hu[low] * (1 - share) + hu[low + 1] * share, affine=affine)


def _box(lesion: Lesion) -> tuple[slice, ...]:
    return tuple(slice(a, a + n) for a, n in zip(lesion.corner, lesion.voxels.shape, strict=True))


if __name__ == "__main__":
    main()
