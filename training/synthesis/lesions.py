"""Inserts lesions into a volume: generated ones of any size and kind, and real ones with their own texture.

Works on one volume in Hounsfield units, upright (slice, row, column), with its spacing. Related work: Hu et al., CVPR
2023 (synthetic tumours alone equalled real labels on liver); Chen et al., CVPR 2024 (DiffTumor: small and early lesions
benefit most). The method is deliberately rule-based: no generative network has to be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Spacing = tuple[float, float, float]

EDGE_MM = 0.7
"""Standard deviation of the edge's blur: about a scanner's point spread in the plane."""
VISIBLE_HU = 100.0
"""Least mean density that a lesion adds: about three times the noise of a chest CT; less is lost in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionPatch:
    """A lesion to insert.

    share: float32 (slice, row, column), 0 to 1, the part of each voxel that is lesion. hu: its Hounsfield units, same
    shape. spacing: of both, mm.
    """

    share: Array
    hu: Array
    spacing: Spacing

    @property
    def radius_mm(self) -> float:
        """Radius of the ball of the same volume."""
        return float((3 * self.share.sum() * np.prod(self.spacing) / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """The volume with the lesion, the lesion's voxels, and its centre (slice, row, column).

    added_hu: mean increase in density of these voxels; 0 if there are none.
    """

    hu: Array
    mask: Bools
    centre: tuple[int, int, int]
    added_hu: float

    @property
    def shows(self) -> bool:
        """Whether the lesion is visible: a faint lesion, or one in denser tissue, hardly changes the volume."""
        return self.added_hu >= VISIBLE_HU


def shaped(diameter_mm: float, spacing: Spacing, rng: np.random.Generator) -> LesionPatch:
    """Return a generated lesion: a lobulated or spiculated ball, solid, part-solid or ground-glass."""
    half = [int(np.ceil(1.3 * diameter_mm / 2 / size)) + 3 for size in spacing]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in half)]
    stretch = rng.uniform(0.8, 1.25, 3)
    stretch /= np.prod(stretch) ** (1 / 3)
    distance = np.sqrt(sum((axis * size / s) ** 2 for axis, size, s in zip(axes, spacing, stretch, strict=True)))
    roughness = rng.uniform(0.05, 0.3) * diameter_mm / 2 * _noise(distance.shape, diameter_mm / 6, spacing, rng)
    depth = diameter_mm / 2 + roughness - distance
    share = np.clip(depth / np.mean(spacing) + 0.5, 0, 1).astype(np.float32)
    return LesionPatch(share=_blurred(share, spacing), hu=_texture(depth, spacing, rng), spacing=spacing)


def real(
    hu: NDArray[np.int16], mask: Bools, source: Spacing, spacing: Spacing, rng: np.random.Generator
) -> LesionPatch:
    """Return a real lesion with its own texture, resampled, rotated about the patient's axis and randomly mirrored.

    hu, mask: (slice, row, column) with spacing `source`, mm. spacing: of the result.
    """
    inside = ndimage.binary_erosion(mask, iterations=1)
    values = hu[inside if inside.any() else mask].astype(np.float32)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    # The lesion's edge is mixed with lung.
    filled = np.maximum(hu.astype(np.float32), np.percentile(values, 5))[tuple(nearest)]
    angle, flip = float(rng.uniform(0, 360)), 1 if rng.random() < 0.5 else -1
    pad = [(int(np.ceil(2 / size)) + 1,) * 2 for size in source]
    share = _regridded(np.pad(mask.astype(np.float32), pad), source, spacing, angle)
    texture = _regridded(np.pad(filled, pad, mode="edge"), source, spacing, angle)
    return LesionPatch(
        share=_blurred(np.clip(share[..., ::flip], 0, 1), spacing),
        hu=np.ascontiguousarray(texture[..., ::flip]),
        spacing=spacing,
    )


def insert(hu: Array, spacing: Spacing, patch: LesionPatch, centre: tuple[int, int, int]) -> Inserted:
    """Insert a lesion into the volume; denser tissue is kept, so that vessels and the wall remain.

    The mask contains voxels that were lung before and are at least half lesion: the part of a lesion inside the wall is
    not visible.
    """
    into, out = _overlap(hu.shape, patch.share.shape, centre)
    before, share = hu[into], patch.share[out]
    blended = before + share * (patch.hu[out] - before)
    lung = ndimage.gaussian_filter(before, [1.0 / size for size in spacing]) < -300
    after, mask = hu.copy(), np.zeros(hu.shape, bool)
    after[into] = np.maximum(before, blended)
    mask[into] = (share >= 0.5) & ndimage.binary_dilation(lung, iterations=1)
    mask = _largest(mask)
    added = float(np.mean((after - hu)[mask])) if mask.any() else 0.0
    return Inserted(hu=after, mask=mask, centre=centre, added_hu=added)


def _regridded(part: Array, source: Spacing, spacing: Spacing, angle: float) -> Array:
    zoom = [a / b for a, b in zip(source, spacing, strict=True)]
    scaled = ndimage.zoom(part, zoom, order=1)
    return np.asarray(ndimage.rotate(scaled, angle, (1, 2), order=1, mode="nearest"), np.float32)


def _overlap(
    volume: tuple[int, ...], patch: tuple[int, ...], centre: tuple[int, int, int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the slices of the volume that a lesion around `centre` covers, and the matching slices of the lesion."""
    first = [c - n // 2 for c, n in zip(centre, patch, strict=True)]
    into = tuple(slice(max(f, 0), min(f + n, size)) for f, n, size in zip(first, patch, volume, strict=True))
    return into, tuple(slice(part.start - f, part.stop - f) for part, f in zip(into, first, strict=True))


def _texture(depth: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """Return Hounsfield units by depth below the surface (mm): uniform, or a solid core in a softer rim."""
    grain = _noise(depth.shape, 1.5, spacing, rng) * rng.uniform(5, 30)
    solid, soft = rng.uniform(-20, 80), rng.uniform(-650, -400)
    kind = rng.random()
    if kind < 0.75:
        return np.asarray(solid + grain, np.float32)
    core = depth > (rng.uniform(0.3, 0.7) * depth.max() if kind < 0.9 else np.inf)
    return np.asarray(np.where(core, solid, soft) + grain, np.float32)


def _noise(shape: tuple[int, ...], scale_mm: float, spacing: Spacing, rng: np.random.Generator) -> Array:
    """Return smooth noise of mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), [max(scale_mm / size, 0.3) for size in spacing])
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6), np.float32)


def _blurred(share: Array, spacing: Spacing) -> Array:
    return np.asarray(ndimage.gaussian_filter(share, [EDGE_MM / size for size in spacing]), np.float32)


def _largest(mask: Bools) -> Bools:
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))
