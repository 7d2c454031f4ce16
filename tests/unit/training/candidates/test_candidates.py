"""What the candidate network learns: targets, crops and the loss, each against numbers known on paper."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.engines.torch_engine import TorchEngine
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.kinds import CANDIDATE_SIDE
from models.lung_tumour.transforms import SLICES
from training.candidates.batches import EXAMPLES, CandidateBatches
from training.candidates.loss import candidate_loss
from training.candidates.targets import LEVELS, LOGIT_STEPS, Target, targets
from training.data.volume import Stack


class MiddlePlane(nn.Module):
    """Returns four times the middle plane, and counts its calls."""

    calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return 4 * images[:, 2:3]


def stack() -> Stack:
    """Eight slices of 1 mm, 64 x 64: air, with one pixel of 400 HU, the window's upper end, in slice 2."""
    hu = np.full((8, 64, 64), -1000, np.int16)
    hu[2, 10, 21] = 400
    mask = np.zeros(hu.shape, bool)
    return Stack(source="msd", patient="a", name="a", hu=hu, mask=mask, spacing_mm=(1.0, 1.0, 1.0), whole=True)


def test_a_target_has_the_mean_image_and_the_largest_logit_of_four_pixels(tmp_path: Path) -> None:
    ensemble = Ensemble([TorchEngine(MiddlePlane(), torch.device("cpu"), torch.float32)], flip_tta=False)

    (target,) = targets([stack()], ensemble, 2.0, tmp_path)

    assert target.images.shape == (4, SLICES, 32, 32)  # every second slice, pixels of 2 mm
    assert target.logits[1, 5, 10] == 4 * LOGIT_STEPS
    assert target.logits[1, 5, 11] == -4 * LOGIT_STEPS
    assert target.images[1, 2, 5, 10] == round(0.25 * 2 * LEVELS)


def test_targets_are_computed_once(tmp_path: Path) -> None:
    network = MiddlePlane()
    ensemble = Ensemble([TorchEngine(network, torch.device("cpu"), torch.float32)], flip_tta=False)

    first, again = (list(targets([stack()], ensemble, 2.0, tmp_path)) for _ in range(2))

    assert network.calls == 4
    assert np.array_equal(first[0].images, again[0].images)
    assert np.array_equal(first[0].logits, again[0].logits)


def ramp(group: str) -> Target:
    """Two slices in which each plane rises from left to right, and the logits with it."""
    columns = np.linspace(0, 255, 200).astype(np.uint8)
    images = np.broadcast_to(columns, (2, SLICES, 180, 200)).copy()
    logits = np.broadcast_to((columns / LEVELS - 1) * 4 * LOGIT_STEPS, (2, 180, 200)).astype(np.int8)
    return Target(group=group, images=images, logits=logits)


def test_a_batch_is_determined_by_its_number_and_moves_images_and_logits_alike() -> None:
    batches = CandidateBatches([ramp("a"), ramp("b")], seed=(1, 0))

    images, logits, known = batches[3]
    again, other = batches[3], batches[4]

    assert images.shape == (EXAMPLES, SLICES, CANDIDATE_SIDE, CANDIDATE_SIDE)
    assert logits.shape == known.shape == (EXAMPLES, 1, CANDIDATE_SIDE, CANDIDATE_SIDE)
    assert torch.equal(images, again[0])
    assert not torch.equal(images, other[0])
    for image, target, inside in zip(images[:, 2], logits[:, 0], known[:, 0], strict=True):
        pair = np.corrcoef(image[inside > 0].numpy(), target[inside > 0].numpy())
        assert pair[0, 1] > 0.9
    rises = [float(target[:, -40:].mean() - target[:, :40].mean()) for target in logits[:, 0]]
    assert min(rises) < 0 < max(rises)  # some are mirrored


def test_the_loss_of_an_undecided_pixel_is_the_logarithm_of_two() -> None:
    """Network and ensemble both at 0: no distance, and a cross-entropy of ln 2; unknown pixels do not count."""
    logits = torch.tensor([[[[0.0, 30.0]]]])
    target, known = torch.tensor([[[[0.0, -10.0]]]]), torch.tensor([[[[1.0, 0.0]]]])

    assert float(candidate_loss(logits, target, known)) == pytest.approx(math.log(2), rel=1e-5)


def test_a_missed_tumour_costs_more_than_a_false_candidate() -> None:
    low, high, known = torch.full((1, 1, 32, 32), -9.0), torch.full((1, 1, 32, 32), -9.0), torch.ones(1, 1, 32, 32)
    high[..., 8, 8] = 6.0

    assert float(candidate_loss(low, high, known)) > 1.05 * float(candidate_loss(high, low, known))
    assert float(candidate_loss(high, high, known)) < 0.1
