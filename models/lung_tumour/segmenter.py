"""The lung tumour network as a Segmenter: CT volume in, tumour mask on the same grid out. Knows no DICOM."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn

from models.devices import choose_device
from models.lung_tumour.averaging import Averaged
from models.lung_tumour.network import SIDES, build_networks, kinds_of
from models.lung_tumour.windows import BlockWindows, SliceWindows
from models.lungs.field import lung_field
from models.orientation import orientation_of
from models.segmenter import Averaging, ModelCard, ModelError, Progress, require_networks
from models.volume import Mask, Volume

MARGIN_MM = 24.0
"""How far around the lungs' box anything is marked: tumours of the wall and the mediastinum lie there."""
TOUCH_MM = 5.0
"""A candidate further than this from any aerated lung is not a lung tumour."""

SCORED_ML, SCORED_POWER = (0.3, 2.0), 1.5
"""Between these volumes a larger candidate must be surer of itself, by this power of the volume."""
MASS_ML = 8.0
"""From here on it need be less sure again, by the same power, down to where it began."""

Array = NDArray[np.float32]
Box = tuple[slice, slice, slice]
Look = Callable[[Array, tuple[float, float, float], Progress], Array]


class LungTumourSegmenter:
    """Runs the networks that the card names over the slices with lung, as one."""

    def __init__(self, card: ModelCard, weights: Path, device: str, averaging: Averaging) -> None:
        self._card = card
        self._device = choose_device(device)
        network = _network(card, weights, averaging)
        windows = BlockWindows if card.network == "3d" else SliceWindows
        sides = max(SIDES[kind] for kind in kinds_of(card.network, card.networks))
        self._windows = windows(network, self._device, sides)

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid. Raises ModelError when the device fails."""
        orientation = orientation_of(volume.affine)
        hu, spacing = orientation.upright(volume.hu), orientation.spacing(volume.spacing)
        field = lung_field(hu, spacing)
        try:
            box, probability = around_lungs(self.probability, hu, spacing, field, progress)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            raise ModelError(f"model {self._card.name}: the network failed on {self._device.type}") from error
        inside = outlined(probability, self._card.threshold, self._card.peak_threshold, volume.voxel_ml)
        voxels = np.zeros(hu.shape, bool)
        voxels[box] = _touching(inside, field[box], spacing)
        return Mask(voxels=orientation.stored(voxels), affine=volume.affine)

    @torch.inference_mode()
    def probability(
        self, hu: NDArray[np.float32], spacing: tuple[float, float, float], progress: Progress
    ) -> NDArray[np.float32]:
        """Return each voxel's probability of being tumour; `hu` upright (`models.orientation`)."""
        return self._windows.probability(hu, spacing, progress)


def _network(card: ModelCard, weights: Path, averaging: Averaging) -> Averaged:
    """Return the networks of a file that are wanted, as one. Raises ModelError where it holds others, or too few."""
    require_networks(card, averaging.networks)
    networks = stored_networks(card, weights)
    return Averaged(networks[: averaging.networks or card.networks], mirrored=averaging.mirrored)


def stored_networks(card: ModelCard, weights: Path) -> list[nn.Module]:
    """Return the networks of a file. Raises ModelError where it holds others than the card says."""
    networks = build_networks(card.network, card.networks)
    stored, own = load_file(weights), Averaged(networks, mirrored=False).tensors()
    if {name: one.shape for name, one in stored.items()} != {name: one.shape for name, one in own.items()}:
        what = f"a {card.network} network" if card.networks == 1 else f"{card.networks} {card.network} networks"
        raise ModelError(f"model {card.name} {card.version}: not the weights of {what}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(stored[name])
    return networks


def outlined(
    probability: NDArray[np.floating], threshold: float, peak_threshold: float, voxel_ml: float
) -> NDArray[np.bool_]:
    """Return the voxels above `threshold` whose connected component has a score of at least `peak_threshold`.

    The outline wants a middling threshold; what is a lesion at all, and what a vessel, shows in its surest voxel.
    """
    inside = probability > threshold
    labels, count = ndimage.label(inside, np.ones((3, 3, 3)))
    if count == 0:
        return inside
    kept = np.concatenate([[False], scores(probability, labels, count, voxel_ml) >= peak_threshold])
    return np.asarray(kept[labels] & inside)


def scores(
    probability: NDArray[np.floating], labels: NDArray[np.integer], count: int, voxel_ml: float
) -> NDArray[np.float64]:
    """Return how sure each component, numbered from 1 to `count`, is to be a lesion: the `score` of its best voxel."""
    peaks = np.asarray(ndimage.maximum(probability, labels, np.arange(1, count + 1)), np.float64).reshape(count)
    return score(peaks, np.bincount(labels.ravel(), minlength=count + 1)[1:] * voxel_ml)


def score(peak: NDArray[np.floating], volume_ml: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the highest probability of a candidate, the odds divided by a power of its volume.

    The surest of many voxels is surer by chance, and a nodule of a few voxels never gets as sure as the inside of a
    mass: one threshold for both would let large false marks pass or lose small nodules. Range and power are those with
    the best mean Dice over MSD's folds and LIDC's validation patients together. Masses are never false there from 16 ml
    on (13 true), and lost by some networks as not sure enough.
    """
    least, most = SCORED_ML
    larger = np.clip(volume_ml, least, most) / least / np.clip(volume_ml / MASS_ML, 1, most / least)
    times = larger**SCORED_POWER
    return np.asarray(peak / (peak + (1 - peak) * times), np.float64)


def around_lungs(
    look: Look, hu: Array, spacing: tuple[float, float, float], field: NDArray[np.bool_], progress: Progress
) -> tuple[Box, Array]:
    """Return the box of the lungs with MARGIN_MM around, and what the network says in it.

    It sees whole slices: where they are cut within the body wall, it is less sure of tumours there.
    """
    box = _box_around(field, spacing)
    slices, rows, columns = box
    return box, look(hu[slices], spacing, progress)[:, rows, columns]


def _box_around(field: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Box:
    """Return the box of the lungs with MARGIN_MM around; everything when there is no lung."""
    if not field.any():
        return (slice(None), slice(None), slice(None))
    bounds = []
    for axis, size in enumerate(spacing):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(field.any(others))
        margin = round(MARGIN_MM / size)
        bounds.append(slice(max(0, int(occupied[0]) - margin), int(occupied[-1]) + margin + 1))
    return (bounds[0], bounds[1], bounds[2])


def _touching(
    candidates: NDArray[np.bool_], field: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Keep the connected components that come within TOUCH_MM of the lungs; all when there is no lung."""
    if not field.any() or not candidates.any():
        return candidates
    labels, _ = ndimage.label(candidates, np.ones((3, 3, 3)))
    boxes = ndimage.find_objects(labels)
    kept = candidates.copy()
    reach = [int(np.ceil(TOUCH_MM / size)) for size in spacing]
    for number, where in enumerate(boxes, start=1):
        around = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(where, reach, strict=True))
        if not _comes_near(labels[around] == number, field[around], spacing):
            kept[where] &= labels[where] != number
    return kept


def _comes_near(candidate: NDArray[np.bool_], field: NDArray[np.bool_], spacing: tuple[float, float, float]) -> bool:
    if not field.any():
        return False
    distance = np.asarray(ndimage.distance_transform_edt(~field, sampling=spacing))
    return bool((distance[candidate] <= TOUCH_MM).any())
