"""The loss of the candidate network: how far its logits are from the ensemble's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MARKED_SHARE = 0.3
"""Share of an example's weight that what the ensemble marks has, so that a small nodule counts as much as a mass ..."""
LEAST_GAIN, MOST_GAIN = 10.0, 400.0
"""... as long as a marked pixel counts this many times more than another."""
LOW, HIGH, NEAR = -5.0, 9.0, -4.0
"""Logits are compared between LOW and HIGH, where the network's or the ensemble's is above NEAR."""
LOGITS_SHARE = 0.3


def candidate_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Return cross-entropy with the ensemble's probability, plus the distance of the logits where they matter.

    All (n, 1, row, column). Both are means over examples. Cross-entropy separates candidates from the rest; the
    distance keeps their scores, by which the cascade drops candidates that cannot become lesions.
    """
    marked = known * torch.sigmoid(target + 2)
    gain = (MARKED_SHARE * _sum(known) / _sum(marked).clamp(min=1e-3)).clamp(LEAST_GAIN, MOST_GAIN)
    weight = known + gain[:, None, None, None] * marked
    entropy = functional.binary_cross_entropy_with_logits(logits, torch.sigmoid(target), reduction="none")
    distance = functional.smooth_l1_loss(logits.clamp(LOW, HIGH), target.clamp(LOW, HIGH), reduction="none")
    near = weight * ((target > NEAR) | (logits > NEAR))
    return _mean(entropy, weight) + LOGITS_SHARE * _mean(distance, near)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over examples of the weighted mean of each; 0 for an example without weight."""
    return (_sum(values * weight) / _sum(weight).clamp(min=1e-3)).mean()


def _sum(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)
