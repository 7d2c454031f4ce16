"""Runs either network over an upright stack of slices: probability of tumour for each voxel. Knows no card.

Both see pixels of PIXEL_MM, the 3D one slices of SLICE_STEP_MM besides. What is interpolated back are logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from models.devices import choose_dtype
from models.lung_tumour.transforms import PIXEL_MM, SLICE_STEP_MM, looks, normalise, planes, slice_step
from models.segmenter import Progress

ROI = (512, 512)
"""Chests fit into one window at PIXEL_MM; what is larger takes several."""
ROI_3D = (48, 192, 192)
OVERLAP = 0.25
BATCH = 4
MULTIPLE = 32
"""Of which the sides of any example are multiples: of a window, as its network says (network.py)."""
LEAST = 16

Array = NDArray[np.float32]
Spacing = tuple[float, float, float]


class SliceWindows:
    """The 2.5D network, slice by slice; of thick slices the mean of what it says at several places within."""

    def __init__(self, network: nn.Module, device: torch.device, multiple: int = LEAST) -> None:
        self._multiple = multiple
        self._device = device
        self._network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def probability(self, hu: Array, spacing: Spacing, progress: Progress) -> Array:
        """Return each voxel's probability of being tumour."""
        scaled = _resampled(torch.from_numpy(normalise(hu)), spacing)
        step, count, places = slice_step(spacing[0]), len(hu), looks(spacing[0])
        tumour = np.zeros(hu.shape, np.float32)
        for first in range(0, count, BATCH):
            slices = range(first, min(first + BATCH, count))
            for place in places:
                inputs = [planes(index + place, count, step) for index in slices]
                images = torch.stack([mixed(scaled[one.slices], one.shares) for one in inputs])
                logits = _logits(
                    self._network, images.to(self._device, memory_format=torch.channels_last), ROI, self._multiple
                )
                logits = functional.interpolate(logits, hu.shape[1:], mode="bilinear", align_corners=False)
                tumour[first : first + BATCH] += torch.sigmoid(logits[:, 0]).cpu().numpy() / len(places)
            progress(min(1.0, (first + BATCH) / count))
        return tumour


class BlockWindows:
    """The 3D network, block by block."""

    def __init__(self, network: nn.Module, device: torch.device, multiple: int = LEAST) -> None:
        self._multiple = multiple
        self._device = device
        self._network = network.to(device).eval()

    def probability(self, hu: Array, spacing: Spacing, progress: Progress) -> Array:
        """Return each voxel's probability of being tumour."""
        scaled = _resampled(torch.from_numpy(normalise(hu)), spacing)[None, None]
        slices = max(1, round(len(hu) * spacing[0] / SLICE_STEP_MM))
        block = functional.interpolate(scaled, (slices, *scaled.shape[3:]), mode="trilinear", align_corners=False)
        logits = _logits(self._network, block.to(self._device), ROI_3D, self._multiple).cpu()
        progress(0.9)
        logits = functional.interpolate(logits, hu.shape, mode="trilinear", align_corners=False)
        progress(1.0)
        return torch.sigmoid(logits[0, 0]).numpy()


def _logits(network: nn.Module, images: torch.Tensor, roi: Sequence[int], multiple: int) -> torch.Tensor:
    """Run a network by MONAI's sliding window over (n, channel, ...)."""
    dtype = choose_dtype(images.device)
    sides = [min(side, -(-size // multiple) * multiple) for side, size in zip(roi, images.shape[2:], strict=True)]
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        logits = sliding_window_inference(
            images,
            roi_size=tuple(sides),
            sw_batch_size=BATCH if len(sides) == 2 else 1,
            predictor=network,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode="replicate",
        )
    assert isinstance(logits, torch.Tensor)  # noqa: S101  (one output, so no tuple)
    return logits.float()


def mixed(slices: torch.Tensor, shares: NDArray[np.float32]) -> torch.Tensor:
    """Return (plane, row, column) of (slice, row, column) and how much each slice counts in each plane."""
    return torch.einsum("ps,s...->p...", torch.from_numpy(shares), slices)


def _resampled(stack: torch.Tensor, spacing: Spacing) -> torch.Tensor:
    """Return the stack with pixels of PIXEL_MM, smoothed where pixels grow."""
    size = [max(LEAST, round(n * step / PIXEL_MM)) for n, step in zip(stack.shape[1:], spacing[1:], strict=True)]
    return functional.interpolate(stack[:, None], size, mode="bilinear", align_corners=False, antialias=True)[:, 0]
