"""What a lesion holds besides tissue: calcium and gas. Knows no solid part.

Both are looked for in Hounsfield units smoothed by a Gaussian of 0.7 mm, so that the noise of sharp kernels is neither.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume
from worker.lesions.lesion import CONNECTIVITY, Lesion
from worker.lesions.solid_component import SMOOTHING_MM, Hounsfield, Voxels, large_parts

CALCIUM_HU = 200.0
"""Of 58 malignant nodules none had a representative number above 147 HU, and the benign ones from 164 HU on were taken
for calcified (Siegelman et al., AJR 1980; 135: 1-13). 200 HU, in wide use, leaves a margin for kernels and voltages.

Dense calcium blooms: 200 HU is less than half-way down its edge, and its volume comes out too large, by a third at 8 mm
and 600 HU. Iodine is no calcium and looks the same: in an arterial phase, vessels within a lesion can pass for it.
"""
SMALLEST_CALCIUM_ML = np.pi / 6 * 0.3**3
"""A ball of 3 mm."""
GAS_HU = -900.0
"""The darkest tenth of a cavity is darker, which lung is only in emphysema or behind an obstructed bronchus."""
THIN_WALL_HU = -850.0
"""A wall of one voxel is hardly brighter, once it is averaged with the gas and the lung on its sides."""
GAS_EDGE_HU = -480.0
"""Half-way between gas and soft tissue: where the edge of a cavity is."""
EDGE_VOXELS = 3
CAVITY_RADIUS_MM = 2.5
"""A ball of 5 mm fits into a cavity: bronchi that cross a tumour are thinner.

Fleischner Society's glossary (Hansell et al., Radiology 2008; 246: 697-722): a cavity is a gas-filled space within a
nodule, mass or consolidation; lucencies that are spared lung, bronchi or emphysema are pseudocavities, "usually less
than 1 cm". Here the two cannot be told apart where the gas is small; gas is found from about 8 mm on.
"""
MARGIN_MM = 3.0
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def calcium_ml(lesion: Lesion, volume: Volume) -> float:
    """Return the volume of the lesion's calcified parts of at least 3 mm.

    What is dense and lies for the most part outside of the lesion is bone beside it.
    """
    inside, _, smooth = _surroundings(lesion, volume)
    dense = smooth > CALCIUM_HU
    if not (dense & inside).any():
        return 0.0
    numbers, count = ndimage.label(dense, CONNECTIVITY)
    shares = ndimage.mean(inside, numbers, np.arange(count + 1))
    shares[0] = 0
    calcium = inside & (shares >= 0.5)[numbers]
    calcium = large_parts(calcium, SMALLEST_CALCIUM_ML / volume.voxel_ml)
    return int(np.count_nonzero(calcium)) * volume.voxel_ml


def cavity_ml(lesion: Lesion, volume: Volume) -> float:
    """Return the volume of gas that the lesion's tissue encloses on axial slices, marked as lesion or left out of it.

    Emphysema beside a lesion is enclosed by no tissue of it.
    """
    inside, hu, smooth = _surroundings(lesion, volume)
    wall = inside & (smooth > THIN_WALL_HU)
    enclosed = _filled_on_slices(wall)
    numbers, _ = ndimage.label(enclosed & ~wall, CONNECTIVITY)
    cavity = np.zeros_like(inside)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        part = numbers[box] == number
        if np.percentile(smooth[box][part], 10) < GAS_HU:
            cavity[box] |= part
    if not cavity.any():
        return 0.0
    cavity = ndimage.binary_dilation(cavity, iterations=EDGE_VOXELS, mask=enclosed & (hu < GAS_EDGE_HU))
    return int(np.count_nonzero(_wide_parts(cavity, volume))) * volume.voxel_ml


def _filled_on_slices(voxels: Voxels) -> Voxels:
    """Return the voxels and what they enclose on each axial slice."""
    outside, _ = ndimage.label(np.pad(~voxels, ((0, 0), (1, 1), (1, 1)), constant_values=True), IN_PLANE)
    filled: Voxels = outside[:, 1:-1, 1:-1] != outside[:, :1, :1]  # on each slice, the padded corner is outside
    return filled


def _wide_parts(cavity: Voxels, volume: Volume) -> Voxels:
    """Return the connected parts into which a ball fits."""
    spacing = volume.spacing
    # The distance to the next voxel outside is half a voxel more than that to the edge between the two.
    radius_mm = ndimage.distance_transform_edt(cavity, sampling=spacing) - min(spacing) / 2
    numbers, count = ndimage.label(cavity, CONNECTIVITY)
    widest = ndimage.maximum(radius_mm, numbers, np.arange(count + 1))
    widest[0] = 0
    wide: Voxels = (widest >= CAVITY_RADIUS_MM)[numbers]
    return wide


def _surroundings(lesion: Lesion, volume: Volume) -> tuple[Voxels, Hounsfield, Hounsfield]:
    """Return the lesion and the smoothed Hounsfield units in its box and a margin around it."""
    margin = [int(np.ceil(MARGIN_MM / size)) for size in volume.spacing]
    shape = lesion.voxels.shape
    low = [max(0, first - more) for first, more in zip(lesion.corner, margin, strict=True)]
    high = [
        min(size, first + length + more)
        for size, first, length, more in zip(volume.hu.shape, lesion.corner, shape, margin, strict=True)
    ]
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    inside = np.zeros([last - first for first, last in zip(low, high, strict=True)], bool)
    at = tuple(slice(c - first, c - first + n) for c, first, n in zip(lesion.corner, low, shape, strict=True))
    inside[at] = lesion.voxels
    sigma = [SMOOTHING_MM / size for size in volume.spacing]
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(volume.hu[box], sigma, mode="nearest", truncate=3)
    return inside, volume.hu[box], smooth
