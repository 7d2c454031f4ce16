"""The lung tumour network as a Segmenter: CT volume in, tumour mask on the same grid out. Knows no DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch.nn import functional

from models.devices import choose_device, choose_dtype
from models.lung_tumour.network import build_network
from models.lung_tumour.transforms import PIXEL_MM, neighbours, normalise, slice_step
from models.lungs.field import lung_field
from models.orientation import orientation_of
from models.segmenter import ModelCard, ModelError, Progress
from models.volume import Mask, Volume

ROI = (384, 384)
"""Most chests fit into one window at PIXEL_MM; larger ones take several."""
OVERLAP = 0.25
BATCH = 4
MARGIN_MM = 24.0
"""How far around the lungs the network looks: tumours of the wall and the mediastinum lie there."""
TOUCH_MM = 5.0
"""A candidate further than this from any aerated lung is not a lung tumour."""

Box = tuple[slice, slice, slice]


class LungTumourSegmenter:
    """Runs the network slice by slice over the region of the lungs."""

    def __init__(self, card: ModelCard, weights: Path, device: str) -> None:
        self._card = card
        self._device = choose_device(device)
        self._dtype = choose_dtype(self._device)
        network = build_network()
        network.load_state_dict(load_file(weights))
        self._network = network.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._card

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Return the mask of all tumours, on the volume's grid. Raises ModelError when the device fails."""
        orientation = orientation_of(volume.affine)
        hu, spacing = orientation.upright(volume.hu), orientation.spacing(volume.spacing)
        field = lung_field(hu, spacing)
        box = _box_around(field, spacing)
        try:
            probability = self.probability(hu[box], spacing, progress)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            raise ModelError(f"model {self._card.name}: the network failed on {self._device.type}") from error
        inside = outlined(probability, self._card.threshold, self._card.peak_threshold)
        voxels = np.zeros(hu.shape, bool)
        voxels[box] = _touching(inside, field[box], spacing)
        return Mask(voxels=orientation.stored(voxels), affine=volume.affine)

    @torch.inference_mode()
    def probability(
        self, hu: NDArray[np.float32], spacing: tuple[float, float, float], progress: Progress
    ) -> NDArray[np.float32]:
        """Return each voxel's probability of being tumour; `hu` upright (`models.orientation`)."""
        scaled = _resampled(torch.from_numpy(normalise(hu)), spacing)
        step, count = slice_step(spacing[0]), len(hu)
        tumour = np.empty(hu.shape, np.float32)
        for first in range(0, count, BATCH):
            indices = range(first, min(first + BATCH, count))
            images = torch.stack([scaled[neighbours(index, count, step)] for index in indices])
            logits = functional.interpolate(self._logits(images), hu.shape[1:], mode="bilinear", align_corners=False)
            tumour[first : first + BATCH] = torch.sigmoid(logits[:, 0]).cpu().numpy()
            progress(min(1.0, (first + BATCH) / count))
        return tumour

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """Run the network by MONAI's sliding window over (n, SLICES, row, column)."""
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits = sliding_window_inference(
                images.to(self._device, memory_format=torch.channels_last),
                roi_size=tuple(
                    min(side, -(-size // 16) * 16) for side, size in zip(ROI, images.shape[2:], strict=True)
                ),
                sw_batch_size=BATCH,
                predictor=self._network,
                overlap=OVERLAP,
                mode="gaussian",
                padding_mode="replicate",
            )
        assert isinstance(logits, torch.Tensor)  # noqa: S101  (one output, so no tuple)
        return logits.float()


def outlined(probability: NDArray[np.floating], threshold: float, peak_threshold: float) -> NDArray[np.bool_]:
    """Return the voxels above `threshold` whose connected component reaches `peak_threshold` somewhere.

    The outline wants a middling threshold; what is a lesion at all, and what a vessel, shows in its surest voxel.
    """
    inside = probability > threshold
    labels, count = ndimage.label(inside, np.ones((3, 3, 3)))
    if count == 0:
        return inside
    peaks = np.zeros(count + 1)
    peaks[1:] = ndimage.maximum(probability, labels, np.arange(1, count + 1))
    return np.asarray((peaks >= peak_threshold)[labels] & inside)


def _resampled(stack: torch.Tensor, spacing: tuple[float, float, float]) -> torch.Tensor:
    """Return the stack with pixels of PIXEL_MM, smoothed where pixels grow."""
    size = [max(16, round(n * step / PIXEL_MM)) for n, step in zip(stack.shape[1:], spacing[1:], strict=True)]
    return functional.interpolate(stack[:, None], size, mode="bilinear", align_corners=False, antialias=True)[:, 0]


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
