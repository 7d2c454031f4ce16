"""The cascade against the whole ensemble, with networks whose output is known."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from models.engines.torch_engine import TorchEngine
from models.lung_tumour.candidates import CandidateNetwork
from models.lung_tumour.cascade import Rule
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.predictors import CascadePredictor, SlicePredictor

RULE = Rule(outline_logit=1.386, score_logit=3.892)  # thresholds of 0.8 and 0.98
SPACING = (1.5, 0.8, 0.8)
SHAPE = (40, 250, 250)


class Tissue(nn.Module):
    """Marks voxels above -300 HU in the middle plane, and counts its input pixels."""

    def __init__(self, gain: float = 16.0) -> None:
        super().__init__()
        self.gain = gain
        self.pixels: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.pixels.append(images.shape[0] * images.shape[2] * images.shape[3])
        return self.gain * images[:, 2:3]


class Doubts(nn.Module):
    """Marks large cross-sections of tissue, and denies small ones."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tissue = images[:, 2:3]
        area = (tissue > -0.1).sum((2, 3), keepdim=True)
        return torch.where(area > 150, 16.0, -16.0) * tissue


def ensemble(*networks: nn.Module) -> Ensemble:
    return Ensemble([TorchEngine(one, torch.device("cpu"), torch.float32) for one in networks], flip_tta=True)


def cascade(*networks: nn.Module, pixels: int = 1) -> CascadePredictor:
    """A cascade in which the first network also finds the candidates."""
    all_networks = ensemble(*networks)
    finder = TorchEngine(networks[0], torch.device("cpu"), torch.float32)
    return CascadePredictor(CandidateNetwork(engine=finder, pixels=pixels), all_networks, 32, RULE)


def chest(balls_mm: Sequence[tuple[tuple[float, float, float], float]]) -> np.ndarray:
    """Air of -900 HU with balls of 60 HU at these positions and radii, in mm along (slice, row, column)."""
    grid = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    hu = np.full(SHAPE, -900, np.float32)
    for centre, radius in balls_mm:
        hu[((grid - centre) ** 2).sum(-1) <= radius**2] = 60
    return hu


BALLS = (((30.0, 60.0, 60.0), 8.0), ((20.0, 140.0, 150.0), 4.0))


@pytest.mark.parametrize("pixels", [1, 2], ids=["pixels of 1 mm", "candidates in pixels of 2 mm"])
def test_if_all_networks_agree_the_cascade_equals_the_whole_ensemble(pixels: int) -> None:
    hu, networks = chest(BALLS), [Tissue(), Tissue(14.0), Tissue(18.0)]

    whole = SlicePredictor(ensemble(*networks), 32).probability(hu, SPACING, lambda _: None)
    by_whole = sum(sum(one.pixels) for one in networks)
    for one in networks:
        one.pixels.clear()
    seen = cascade(*networks, pixels=pixels).probability(hu, SPACING, lambda _: None)

    assert np.array_equal(seen > 0.8, whole > 0.8)
    assert seen[whole > 0.8] == pytest.approx(whole[whole > 0.8], abs=1e-4)
    assert (seen > 0.8).any((1, 2)).sum() == pytest.approx((38 - 16) / 1.5, abs=1)  # from 16 to 38 mm
    assert sum(sum(one.pixels) for one in networks) < 0.75 * by_whole


def test_a_candidate_rejected_by_the_other_networks_is_dropped_early() -> None:
    hu, first, deny, third = chest(BALLS), Tissue(), Tissue(-16.0), Tissue()

    seen = cascade(first, deny, third).probability(hu, SPACING, lambda _: None)

    assert not seen.any()
    assert third.pixels == []


def test_nothing_is_marked_far_from_the_lungs() -> None:
    hu, networks = chest(BALLS), [Tissue(), Tissue()]
    field = np.zeros(SHAPE, bool)
    field[:, 60:90, 60:90] = True  # 48 to 72 mm: around the first ball, 60 mm from the second

    seen = cascade(*networks).probability(hu, SPACING, lambda _: None, field)

    columns = np.flatnonzero((seen > 0.8).any((0, 1))) * SPACING[2]
    assert columns.min() == pytest.approx(52, abs=2)
    assert columns.max() == pytest.approx(68, abs=2)


@pytest.mark.parametrize(("edge_mm", "is_marked"), [(4.0, True), (20.0, False)])
def test_a_lesion_beside_the_lungs_is_marked(edge_mm: float, is_marked: bool) -> None:
    """The segmenter keeps what is within 5 mm of the lungs: a candidate as near is never left out."""
    field = np.zeros(SHAPE, bool)
    field[:, :, round((68 + edge_mm) / SPACING[2]) : 100] = True  # the first ball ends at 68 mm

    seen = cascade(Tissue(), Tissue()).probability(chest(BALLS[:1]), SPACING, lambda _: None, field)

    assert (seen > 0.8).any() == is_marked


def test_slices_that_decide_nothing_are_seen_by_the_remaining_networks_only_if_it_is_a_lesion() -> None:
    """The second network denies all but the middle of the ball: the other slices wait, and get the same mean."""
    hu, third = chest(BALLS[:1]), Tissue(14.0)

    seen = cascade(Tissue(), Doubts(), third).probability(hu, SPACING, lambda _: None)
    whole = SlicePredictor(ensemble(Tissue(), Doubts(), Tissue(14.0)), 32).probability(hu, SPACING, lambda _: None)

    assert (whole > 0.8).any()
    assert np.array_equal(seen > 0.8, whole > 0.8)


def test_tiny_components_are_not_candidates() -> None:
    """A ball of radius 1.2 mm has 0.007 ml, a fourteenth of the smallest lesion of 0.1 ml."""
    networks = [Tissue(), Tissue()]

    seen = cascade(*networks).probability(chest([((30.0, 60.0, 60.0), 1.2)]), SPACING, lambda _: None)

    assert not seen.any()
    assert networks[1].pixels == []


def test_progress_rises_to_one() -> None:
    shares: list[float] = []

    cascade(Tissue(), Tissue()).probability(chest(BALLS), SPACING, shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_small_image_is_padded_to_the_crops_that_the_candidate_network_is_trained_on() -> None:
    network, images = Tissue(), torch.rand(2, 5, 45, 60)
    finder = TorchEngine(network, torch.device("cpu"), torch.float32)

    logits = CandidateNetwork(engine=finder, pixels=2, least_side=160).logits(images)

    assert network.pixels == [2 * 160 * 160]
    assert logits == pytest.approx((16 * images[:, 2].amax(0)).numpy(), abs=1e-4)


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_stack_of_few_slices_is_segmented(slices: int) -> None:
    hu = np.repeat(chest(BALLS)[20:21], slices, 0)

    seen = cascade(Tissue(), Tissue()).probability(hu, SPACING, lambda _: None)

    assert (seen > 0.8).any((1, 2)).all()
