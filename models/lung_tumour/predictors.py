"""Probability of tumour for each voxel of an upright stack: 2.5D networks by slices, 3D networks by blocks."""

from __future__ import annotations

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from torch.nn import functional

from models.lung_tumour.cascade import Rule, cascade_logits
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.slice_stack import Area, Array, SliceStack, Spacing, resampled
from models.lung_tumour.transforms import SLICE_STEP_MM, normalise
from models.segmenter import Progress

ROI_3D = (48, 192, 192)
OVERLAP = 0.25

EVERYWHERE: Area = (slice(None), slice(None))
"""The area in which tumour may be marked: the whole slice."""


class SlicePredictor:
    """All 2.5D networks on whole slices; for thick slices, the mean probability at several positions in the slice."""

    def __init__(self, ensemble: Ensemble, multiple: int) -> None:
        self._ensemble = ensemble
        self._multiple = multiple

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, area: Area = EVERYWHERE) -> Array:  # noqa: ARG002
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU."""
        stack = SliceStack(hu, spacing, self._multiple)
        tumour = np.zeros(hu.shape, np.float32)
        for number in range(len(hu)):
            windows = stack.windows(number, stack.whole)
            logits = self._ensemble.mean_logits(stack.images(windows).to(self._ensemble.device))
            tumour[number] = _mean_probability(stack, logits)
            progress((number + 1) / len(hu))
        return tumour


class CascadePredictor:
    """One network on whole slices, all networks only on its candidates; elsewhere the probability is 0."""

    def __init__(self, ensemble: Ensemble, multiple: int, rule: Rule) -> None:
        self._ensemble = ensemble
        self._multiple = multiple
        self._rule = rule

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, area: Area = EVERYWHERE) -> Array:
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU; 0 outside `area`."""
        stack = SliceStack(hu, spacing, self._multiple)
        tumour = np.zeros(hu.shape, np.float32)
        for number, logits in cascade_logits(self._ensemble, stack, area, self._rule, progress):
            tumour[number] = _mean_probability(stack, torch.from_numpy(logits)[:, None])
        progress(1.0)
        return tumour


class BlockPredictor:
    """3D networks on blocks of slices SLICE_STEP_MM apart; their logits are interpolated to the scan's grid."""

    def __init__(self, ensemble: Ensemble, multiple: int) -> None:
        self._ensemble = ensemble
        self._multiple = multiple

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, area: Area = EVERYWHERE) -> Array:  # noqa: ARG002
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU."""
        scaled = resampled(torch.from_numpy(normalise(hu)), spacing)[None, None]
        slices = max(1, round(len(hu) * spacing[0] / SLICE_STEP_MM))
        block = functional.interpolate(scaled, (slices, *scaled.shape[3:]), mode="trilinear", align_corners=False)
        logits = self._by_blocks(block.to(self._ensemble.device)).cpu()
        progress(0.9)
        logits = functional.interpolate(logits, hu.shape, mode="trilinear", align_corners=False)
        progress(1.0)
        return torch.sigmoid(logits[0, 0]).numpy()

    def _by_blocks(self, images: torch.Tensor) -> torch.Tensor:
        sides = [
            min(side, -(-size // self._multiple) * self._multiple)
            for side, size in zip(ROI_3D, images.shape[2:], strict=True)
        ]
        logits = sliding_window_inference(
            images,
            roi_size=sides,
            sw_batch_size=1,
            predictor=self._ensemble.mean_logits,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode="replicate",
        )
        assert isinstance(logits, torch.Tensor)  # noqa: S101  (one output, so no tuple)
        return logits


def _mean_probability(stack: SliceStack, logits: torch.Tensor) -> Array:
    """Return the mean over positions of the probabilities (row, column), from logits (position, 1, row, column)."""
    return np.asarray(torch.sigmoid(stack.on_the_scans_grid(logits)).mean(0)[0].cpu())
