"""Probability of tumour for each voxel of an upright stack by 3D networks, block by block."""

from __future__ import annotations

import math
from itertools import count

import torch
from monai.inferers.utils import sliding_window_inference
from torch.nn import functional

from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.slice_stack import Array, Bools, Spacing, resampled
from models.lung_tumour.transforms import SLICE_STEP_MM, normalise
from models.segmenter import Progress

ROI_3D = (48, 192, 192)
OVERLAP = 0.25
_BLOCKS_SHARE = 0.9  # of the progress


class BlockPredictor:
    """3D networks on blocks of slices SLICE_STEP_MM apart; their logits are interpolated to the scan's grid."""

    def __init__(self, ensemble: Ensemble, multiple: int) -> None:
        self._ensemble = ensemble
        self._multiple = multiple

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, field: Bools | None = None) -> Array:  # noqa: ARG002
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU."""
        scaled = resampled(torch.from_numpy(normalise(hu)), spacing)[None, None]
        slices = max(1, round(len(hu) * spacing[0] / SLICE_STEP_MM))
        block = functional.interpolate(scaled, (slices, *scaled.shape[3:]), mode="trilinear", align_corners=False)
        logits = self._by_blocks(block.to(self._ensemble.device), progress).cpu()
        logits = functional.interpolate(logits, hu.shape, mode="trilinear", align_corners=False)
        progress(1.0)
        return torch.sigmoid(logits[0, 0]).numpy()

    def _by_blocks(self, images: torch.Tensor, progress: Progress) -> torch.Tensor:
        sides = [
            min(side, -(-size // self._multiple) * self._multiple)
            for side, size in zip(ROI_3D, images.shape[2:], strict=True)
        ]
        steps = [_windows(size, side) for size, side in zip(images.shape[2:], sides, strict=True)]
        done = count(1)

        def predict(block: torch.Tensor) -> torch.Tensor:
            logits = self._ensemble.mean_logits(block)
            progress(_BLOCKS_SHARE * min(1.0, next(done) / math.prod(steps)))
            return logits

        logits = sliding_window_inference(
            images,
            roi_size=sides,
            sw_batch_size=1,
            predictor=predict,
            overlap=OVERLAP,
            mode="gaussian",
            padding_mode="replicate",
        )
        assert isinstance(logits, torch.Tensor)  # noqa: S101  (one output, so no tuple)
        return logits


def _windows(size: int, side: int) -> int:
    """Return how many windows of this side cover an axis."""
    return 1 + max(0, math.ceil((size - side) / (side * (1 - OVERLAP))))
