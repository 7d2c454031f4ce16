"""Renders slices as RGB pixels: CT in a lung window, masks in colours that remain distinguishable.

Colours of Okabe and Ito (Color Universal Design, 2008): distinguishable with every kind of colour vision.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor
from scipy import ndimage

from training.evaluation.case import Bools

SKY_BLUE, ORANGE, BLUE, GREEN, VERMILION = "#56b4e9", "#e69f00", "#0072b2", "#009e73", "#d55e00"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY_BLUE)
"""For lines on white, the most visible first."""
REFERENCE, PREDICTION = SKY_BLUE, ORANGE
WINDOW_HU = (-1350, 150)
"""A lung window: centre -600, width 1500, as in the pictures of the findings."""

Pixels = NDArray[np.uint8]
"""(row, column, 3): red, green, blue."""


def painted(hu: NDArray[np.int16]) -> Pixels:
    """Return one slice as grey pixels."""
    low, high = WINDOW_HU
    grey = np.clip((hu.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def filled(pixels: Pixels, mask: Bools, colour: str, share: float = 1.0) -> Pixels:
    """Return the pixels with the mask's blended with a colour; `share` is the weight of the colour."""
    blended = pixels.copy()
    blended[mask] = np.rint(share * rgb(colour) + (1 - share) * pixels[mask].astype(np.float32)).astype(np.uint8)
    return blended


def outlined_in(pixels: Pixels, mask: Bools, colour: str) -> Pixels:
    """Return the pixels with the mask's boundary pixels in a colour."""
    return filled(pixels, mask & ~ndimage.binary_erosion(mask, border_value=1), colour)


def enlarged(pixels: Pixels, factor: int) -> Pixels:
    """Return each pixel as a square of `factor` by `factor`."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def rgb(colour: str) -> NDArray[np.float32]:
    """Return `#rrggbb` as three numbers, 0 to 255."""
    return np.array(ImageColor.getrgb(colour), np.float32)
