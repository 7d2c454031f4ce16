"""Reader of a file of cubes: arrays `NAME/hu` (Hounsfield units) and `NAME/mask` of 1 mm voxels, axes (z, y, x)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.volume import Stack
from training.readers.case import Case, DataRefused, FoundCases

FILE = "cubes.npz"


def cubes(path: Path) -> FoundCases:
    """Return the cases of a file, or of cubes.npz in a folder; the patient is the part of NAME before the first `_`."""
    path = path / FILE if path.is_dir() else path
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            keys = set(arrays.files)
    except (OSError, ValueError, zipfile.BadZipFile):
        return FoundCases(cases=(), problems=(f"{path.name}: cannot be read as a file of arrays",))
    names = sorted({key.rpartition("/")[0] for key in keys})
    missing = sorted({f"{name}/{part}" for name in names for part in ("hu", "mask")} - keys)
    cases = [_case(path, name) for name in names if not {f"{name}/hu", f"{name}/mask"} - keys]
    return FoundCases(cases=tuple(cases), problems=tuple(f"{path.name}: {key} is missing" for key in missing))


def lidc_cubes(npz: Path) -> Iterator[Stack]:
    """Read 51 x 51 x 51 cubes of 1 mm voxels with one reader's mask. Raises DataRefused."""
    found = cubes(npz)
    if found.problems:
        raise DataRefused(*found.problems)
    return (case.read() for case in found.cases)


def _case(path: Path, name: str) -> Case:
    return Case(
        source="lidc-cube",
        patient=name.split("_", maxsplit=1)[0],
        name=name,
        files={path.name: path},
        recipe="cubes 1",
        read=partial(_read, path, name),
    )


def _read(path: Path, name: str) -> Stack:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            hu, mask = arrays[f"{name}/hu"], arrays[f"{name}/mask"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataRefused(f"{path.name}: {name} cannot be unpacked") from error
    fact = _fact(hu, mask)
    if fact:
        raise DataRefused(f"{path.name}: {name} {fact}")
    return Stack(
        source="lidc-cube",
        patient=name.split("_", maxsplit=1)[0],
        name=name,
        hu=hu.astype(np.int16),
        mask=mask > 0,
        spacing_mm=(1.0, 1.0, 1.0),
        whole=False,
    )


def _fact(hu: NDArray[Any], mask: NDArray[Any]) -> str:
    """Return the problem of a cube, "" if there is none."""
    if hu.ndim != 3 or hu.shape != mask.shape:
        return f"has the shapes {hu.shape} and {mask.shape}, two equal shapes with 3 axes are needed"
    if not np.isin(mask, (0, 1)).all():
        return "has a mask value other than 0 and 1"
    if not np.isfinite(hu).all() or hu.min() < -4096 or hu.max() > 32767:
        return "contains values outside Hounsfield units (-4096 to 32767)"
    return ""
