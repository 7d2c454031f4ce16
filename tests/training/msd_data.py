"""Writes a small data set laid out as the Medical Segmentation Decathlon's, whose every stack is known."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from training.datasets import Stack, lesion_mask
from worker.demo.phantom import PhantomLesion, PhantomSpec, chest_phantom

SHAPE = (14, 56, 72)
SPACING_MM = (12.0, 4.0, 5.0)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_msd(
    folder: Path,
    patients: int = 3,
    shape: tuple[int, int, int] = SHAPE,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
    axes: str = "LAS",
) -> list[Stack]:
    """Write chests with one lesion each, and return them as they should be read.

    axes: where array axes run in the files, by nibabel's letters: LAS is what MSD has.
    """
    stacks = [chest(f"lung_{number:03d}", number, shape, spacing_mm) for number in range(1, patients + 1)]
    for stack in stacks:
        write_image(folder / "imagesTr" / f"{stack.patient}.nii.gz", stack.hu, stack.spacing_mm, axes)
        write_image(
            folder / "labelsTr" / f"{stack.patient}.nii.gz", stack.mask.astype(np.uint8), stack.spacing_mm, axes
        )
    write_list(folder, [stack.patient for stack in stacks])
    return stacks


@cache
def chest(
    patient: str, seed: int, shape: tuple[int, int, int] = SHAPE, spacing_mm: tuple[float, float, float] = SPACING_MM
) -> Stack:
    """A chest with one lesion of 15 to 25 mm radius, in the right lung or the left."""
    rng = np.random.default_rng(seed)
    side, radius = (-1, 1)[seed % 2], float(rng.uniform(15, 25))
    lesion = PhantomLesion(
        centre_mm=(side * 80.0, float(rng.uniform(-20, 20)), float(rng.uniform(-15, 15))),
        half_axes_mm=(radius, radius, radius),
    )
    phantom = chest_phantom(
        PhantomSpec(seed=seed, shape=shape, spacing_mm=spacing_mm, lesions=(lesion,), vessels_per_lung=4)
    )
    return Stack(
        source="msd",
        patient=patient,
        name=patient,
        hu=np.rint(phantom.hu).astype(np.int16),
        mask=lesion_mask(phantom),
        spacing_mm=spacing_mm,
        whole=True,
    )


def write_list(folder: Path, patients: list[str]) -> None:
    """Write dataset.json for these patients."""
    training = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in patients]
    content = {"name": "Lung", "labels": {"0": "background", "1": "cancer"}, "training": training, "test": []}
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def write_image(path: Path, upright: NDArray, spacing_mm: tuple[float, float, float], axes: str = "LAS") -> None:
    """Write an upright array (slice, row, column) with array axes as `axes` says, turned by nibabel's own means."""
    affine = LPS_TO_RAS @ np.array(
        [[spacing_mm[2], 0, 0, -170], [0, spacing_mm[1], 0, -140], [0, 0, spacing_mm[0], -90], [0, 0, 0, 1]], float
    )
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(axes))
    stored = apply_orientation(upright.transpose(), turn)
    save_image(path, stored, affine @ inv_ornt_aff(turn, upright.transpose().shape))


def save_image(path: Path, stored: NDArray, affine: NDArray, code: int = 1) -> None:
    """Write a NIfTI file; code: of sform and qform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(stored, affine)
    image.set_sform(affine, code)
    image.set_qform(affine if np.isfinite(affine).all() else None, code if np.isfinite(affine).all() else 0)
    nibabel.save(image, path)
