"""Resampling of images at uneven distances into an even stack, linearly along the stack, image by image.

Only two images are in memory besides the stack. Rows and columns stay those of the images, also with a tilted gantry,
because the images lie on one straight line: a voxel of an image keeps its row and column on the slice nearest to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def even_stack(places: NDArray[np.float64], size: tuple[int, int], read: Callable[[int, Image], object]) -> Image:
    """Return the even stack (slice, row, column) made of images at these slice coordinates.

    places: ascending, the first from 0 to below 1. size: rows and columns. read: fills an array with the image of this
    number. Slices below the first and above the last image repeat it.
    """
    stack = np.empty((math.ceil(places[-1] - 1e-3) + 1, *size), np.float32)
    below, above = np.empty(size, np.float32), np.empty(size, np.float32)
    read(0, above)
    stack[: math.floor(places[0]) + 1] = above
    filled = math.floor(places[0]) + 1
    for number in range(1, len(places)):
        below, above = above, below
        read(number, above)
        end = math.floor(places[number]) + 1
        for index in range(filled, end):
            share = np.float32((index - places[number - 1]) / (places[number] - places[number - 1]))
            stack[index] = below + share * (above - below)
        filled = end
    stack[filled:] = above
    return stack
