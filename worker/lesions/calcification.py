"""Volumes of calcium and of enclosed gas (cavities) in a lesion.

Both are segmented in Hounsfield units smoothed by a Gaussian of 0.7 mm, so that noise of sharp kernels is not counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume
from worker.lesions.lesion import CONNECTIVITY, Lesion
from worker.lesions.solid_component import SMOOTHING_MM, Hounsfield, Voxels, large_parts

CALCIUM_HU = 200.0
"""No representative CT number of 58 malignant nodules was above 147 HU; benign nodules from 164 HU were considered
calcified (Siegelman et al., AJR 1980; 135: 1-13). 200 HU, in wide use, leaves a margin for kernels and tube voltages.

Dense calcium blooms: 200 HU is below half of its height, so its volume is overestimated, by a third at 8 mm and 600 HU.
Iodine has the same Hounsfield units: in an arterial phase, vessels within a lesion can be counted as calcium.
"""
SMALLEST_CALCIUM_ML = np.pi / 6 * 0.3**3
"""Volume of a sphere of 3 mm diameter."""
GAS_HU = -900.0
"""Upper limit of a cavity's 10th percentile. Lung is this dark only in emphysema or behind an obstructed bronchus."""
THIN_WALL_HU = -850.0
"""Lower limit of a cavity's wall: a wall of one voxel is averaged with the gas and the lung on both sides."""
GAS_EDGE_HU = -480.0
"""Half-way between gas and soft tissue: the edge of a cavity."""
EDGE_VOXELS = 3
CAVITY_RADIUS_MM = 2.5
"""A sphere of 5 mm diameter must fit into a cavity: bronchi that cross a tumour are thinner.

Fleischner Society's glossary (Hansell et al., Radiology 2008; 246: 697-722): a cavity is a gas-filled space within a
nodule, mass or consolidation; lucencies that are spared lung, bronchi or emphysema are pseudocavities, "usually less
than 1 cm". The two cannot be distinguished where the gas is small; cavities are detected from about 8 mm.
"""
MARGIN_MM = 3.0
IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def calcium_ml(lesion: Lesion, volume: Volume) -> float:
    """Return the volume in ml of the lesion's calcified parts of at least 3 mm.

    A dense part with more than half of its voxels outside the lesion is adjacent bone and is not counted.
    """
    inside, _, smooth = _surroundings(lesion, volume)
    dense = smooth > CALCIUM_HU
    if not (dense & inside).any():
        return 0.0
    labels, count = ndimage.label(dense, CONNECTIVITY)
    shares = ndimage.mean(inside, labels, np.arange(count + 1))
    shares[0] = 0
    calcium = inside & (shares >= 0.5)[labels]
    calcium = large_parts(calcium, SMALLEST_CALCIUM_ML / volume.voxel_ml)
    return int(np.count_nonzero(calcium)) * volume.voxel_ml


def cavity_ml(lesion: Lesion, volume: Volume) -> float:
    """Return the volume in ml of gas enclosed by the lesion's tissue on axial slices, inside or outside its mask.

    Emphysema beside a lesion is not enclosed by its tissue and is not counted.
    """
    inside, hu, smooth = _surroundings(lesion, volume)
    wall = inside & (smooth > THIN_WALL_HU)
    enclosed = _filled_on_slices(wall)
    labels, _ = ndimage.label(enclosed & ~wall, CONNECTIVITY)
    cavity = np.zeros_like(inside)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[box] == number
        if np.percentile(smooth[box][part], 10) < GAS_HU:
            cavity[box] |= part
    if not cavity.any():
        return 0.0
    cavity = ndimage.binary_dilation(cavity, iterations=EDGE_VOXELS, mask=enclosed & (hu < GAS_EDGE_HU))
    return int(np.count_nonzero(_wide_parts(cavity, volume))) * volume.voxel_ml


def _filled_on_slices(voxels: Voxels) -> Voxels:
    """Return the voxels with holes filled on each axial slice."""
    outside, _ = ndimage.label(np.pad(~voxels, ((0, 0), (1, 1), (1, 1)), constant_values=True), IN_PLANE)
    filled: Voxels = outside[:, 1:-1, 1:-1] != outside[:, :1, :1]  # on each slice, the padded corner is outside
    return filled


def _wide_parts(cavity: Voxels, volume: Volume) -> Voxels:
    """Return the connected parts that contain a sphere of CAVITY_RADIUS_MM."""
    spacing = volume.spacing
    # Distances run to the centre of the nearest outside voxel, half a voxel beyond the edge.
    radius_mm = ndimage.distance_transform_edt(cavity, sampling=spacing) - min(spacing) / 2
    labels, count = ndimage.label(cavity, CONNECTIVITY)
    widest = ndimage.maximum(radius_mm, labels, np.arange(count + 1))
    widest[0] = 0
    wide: Voxels = (widest >= CAVITY_RADIUS_MM)[labels]
    return wide


def _surroundings(lesion: Lesion, volume: Volume) -> tuple[Voxels, Hounsfield, Hounsfield]:
    """Return the mask, the Hounsfield units and the smoothed Hounsfield units in the lesion's box plus MARGIN_MM."""
    margin = [int(np.ceil(MARGIN_MM / size)) for size in volume.spacing]
    shape = lesion.voxels.shape
    low = [max(0, first - more) for first, more in zip(lesion.corner, margin, strict=True)]
    high = [
        min(size, first + length + more)
        for size, first, length, more in zip(volume.hu.shape, lesion.corner, shape, margin, strict=True)
    ]
    box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
    inside = np.zeros([last - first for first, last in zip(low, high, strict=True)], bool)
    target = tuple(slice(c - first, c - first + n) for c, first, n in zip(lesion.corner, low, shape, strict=True))
    inside[target] = lesion.voxels
    sigma = [SMOOTHING_MM / size for size in volume.spacing]
    smooth: NDArray[np.float32] = ndimage.gaussian_filter(volume.hu[box], sigma, mode="nearest", truncate=3)
    return inside, volume.hu[box], smooth
