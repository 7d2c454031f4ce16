"""Reads one slice stored as an 8-bit grey picture, and estimates its Hounsfield units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import threshold_otsu

from training.readers.case import DataRefused

Grey = NDArray[np.uint8]


def read_grey(path: Path) -> Grey:
    """Return a picture's grey values (row, column). Raises DataRefused if it cannot be decoded."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L") if image.mode != "L" else image)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises on damaged bytes
        raise DataRefused("cannot be decoded as a picture") from error


def read_binary(path: Path) -> Grey:
    """Return a mask. Raises DataRefused if a value is neither 0 nor 255."""
    return _allowed(read_grey(path), (0, 255), "only 0 and 255 are allowed")


def read_readers(path: Path) -> Grey:
    """Return a mask with one bit for each of four readers. Raises DataRefused if another bit is set."""
    return _allowed(read_grey(path), tuple(range(16)), "four readers have bits 0 to 3")


def recalibrated(grey: Grey) -> NDArray[np.int16]:
    """Return estimated HU of a min-max scaled slice: 0 becomes air, the median of the upper Otsu class becomes water.

    The upper class is fat, muscle and vessels; its median is near 0 HU. Augmentation covers the remaining error. Raises
    DataRefused if all pixels have one value.
    """
    if grey.min() == grey.max():
        raise DataRefused("all of its pixels have one value")
    threshold = int(threshold_otsu(grey))  # type: ignore[no-untyped-call]
    soft_tissue = float(np.median(grey[grey > threshold]))
    return np.asarray(np.rint(grey * (1024.0 / soft_tissue) - 1024.0), np.int16)


def _allowed(grey: Grey, values: tuple[int, ...], limit: str) -> Grey:
    other = np.setdiff1d(grey, values)
    if other.size:
        raise DataRefused(f"mask value {', '.join(map(str, other[:5]))}, {limit}")
    return grey
