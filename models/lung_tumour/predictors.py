"""Probability of tumour for each voxel of an upright stack by 2.5D networks, slice by slice."""

from __future__ import annotations

import numpy as np
import torch

from models.lung_tumour.candidates import CandidateNetwork
from models.lung_tumour.cascade import Rule, cascade_logits
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.slice_stack import Array, Bools, SliceStack, Spacing
from models.segmenter import Progress


class SlicePredictor:
    """All 2.5D networks on whole slices; for thick slices, the mean probability at several positions in the slice."""

    def __init__(self, ensemble: Ensemble, multiple: int) -> None:
        self._ensemble = ensemble
        self._multiple = multiple

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, field: Bools | None = None) -> Array:  # noqa: ARG002
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
    """A candidate network on whole slices, all networks only on its candidates; elsewhere the probability is 0."""

    def __init__(self, network: CandidateNetwork, ensemble: Ensemble, multiple: int, rule: Rule) -> None:
        self._network = network
        self._ensemble = ensemble
        self._multiple = multiple
        self._rule = rule

    def probability(self, hu: Array, spacing: Spacing, progress: Progress, field: Bools | None = None) -> Array:
        """Return the probability (slice, row, column) of each voxel of `hu`, in HU; 0 far from `field`, if given."""
        stack = SliceStack(hu, spacing, self._multiple)
        tumour = np.zeros(hu.shape, np.float32)
        for number, logits in cascade_logits(self._network, self._ensemble, stack, field, self._rule, progress):
            tumour[number] = _mean_probability(stack, torch.from_numpy(logits)[:, None])
        progress(1.0)
        return tumour


def _mean_probability(stack: SliceStack, logits: torch.Tensor) -> Array:
    """Return the mean over positions of the probabilities (row, column), from logits (position, 1, row, column)."""
    return np.asarray(torch.sigmoid(stack.on_the_scans_grid(logits)).mean(0)[0].cpu())
