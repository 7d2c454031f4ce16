"""The networks of a weights file, and the segmenter that runs them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.engines.torch_engine import TorchEngine
from models.lung_tumour.block_predictor import BlockPredictor
from models.lung_tumour.efficientnet import Depthwise
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.kinds import IN_TURN, NETWORKS, RELEASED, kinds_of
from models.lung_tumour.network import build_network
from models.lung_tumour.predictors import SlicePredictor
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.lung_tumour.stored_networks import named_tensors
from models.registry import load_model, model_card
from models.segmenter import ON_CPU, InferenceSettings, ModelError, read_card
from tests.fixtures.models import model_card as shared

CARD = replace(shared.CARD, weights_sha256="")
"""Without a hash, converted networks are not kept: each test has networks of its own."""
WHOLE = InferenceSettings(device="cpu", precision="float32", cascade=False)


class Denser(nn.Module):
    """A substitute network: the distance of the middle slice, or of each voxel of a block, from -300 HU."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * (images[:, 2:3] if images.ndim == 4 else images)


class ToTheLeft(nn.Module):
    """A substitute network: the column of a voxel, times `slope`."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.slope * torch.arange(images.shape[-1]).float().expand(len(images), 1, *images.shape[2:])


def ensemble(*networks: nn.Module, flip_tta: bool = False) -> Ensemble:
    return Ensemble([TorchEngine(one, torch.device("cpu"), torch.float32) for one in networks], flip_tta=flip_tta)


def ignore(_share: float) -> None:
    """Ignored progress."""


def weights(folder: Path, kind: str) -> Path:
    torch.manual_seed(1)
    save_file(named_tensors([build_network(kind)]), folder / "x.safetensors")
    return folder / "x.safetensors"


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("2.5d", (2, 5, 32, 48)),
        ("2.5d-residual", (2, 5, 32, 64)),
        ("2.5d-efficientnet", (2, 5, 32, 64)),
        ("3d", (2, 1, 16, 32, 48)),
    ],
)
def test_a_network_returns_one_logit_for_each_voxel(kind: str, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        logits = build_network(kind).eval()(torch.zeros(shape))

    assert logits.shape == (2, 1, *shape[2:])


def test_an_unknown_kind_of_network_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"no network is called 2d; there are: 2\.5d, 2\.5d-residual, 2\.5d-efficient"):
        build_network("2d")


def test_the_released_weights_include_the_default_network() -> None:
    card = model_card("lung_tumour")

    assert RELEASED in card.network.split(IN_TURN)
    assert replace(load_model("lung_tumour", ON_CPU).card, engine="") == card


def test_a_card_names_its_network_and_the_segmenter_runs_it(tmp_path: Path) -> None:
    path = weights(tmp_path, "3d")
    facts = {**{n: getattr(CARD, n) for n in CARD.__dataclass_fields__}, "network": "3d", "weights_file": path.name}
    facts["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in facts.items()]
    (tmp_path / "model.toml").write_text("[model]\n" + "\n".join(lines))

    assert read_card(tmp_path / "model.toml").network == "3d"
    model = load_model(f"lung_tumour:{tmp_path}", ON_CPU)
    assert isinstance(model, LungTumourSegmenter)
    probability = model.probability(np.zeros((7, 40, 50), np.float32), (3.0, 1.2, 0.9), lambda _: None)
    assert probability.shape == (7, 40, 50)
    assert np.isfinite(probability).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_of_another_network_are_rejected(tmp_path: Path, kind: str) -> None:
    other = next(name for name in NETWORKS if name != kind)

    with pytest.raises(ModelError, match=f"not the weights of a {other} network"):
        LungTumourSegmenter(replace(CARD, network=other), weights(tmp_path, kind), ON_CPU)


def test_networks_of_several_kinds_are_averaged_in_turn(tmp_path: Path) -> None:
    kinds = ["2.5d", "2.5d-efficientnet", "2.5d"]
    networks = [build_network(kind).eval() for kind in kinds]
    save_file(named_tensors(networks), tmp_path / "x.safetensors")
    card = replace(CARD, network="2.5d + 2.5d-efficientnet", networks=3)
    hu, spacing = np.random.default_rng(1).normal(-500, 300, (2, 40, 32)).astype(np.float32), (2.5, 1.0, 1.0)

    model = LungTumourSegmenter(card, tmp_path / "x.safetensors", WHOLE)
    predicted = model.probability(hu, spacing, lambda _: None).astype(np.float64)

    with torch.inference_mode():
        alone = [SlicePredictor(ensemble(one, flip_tta=True), 32).probability(hu, spacing, ignore) for one in networks]
    logits = [np.log(one / (1 - one)) for one in np.asarray(alone, np.float64)]
    assert kinds_of(card.network, 3) == kinds
    assert np.log(predicted / (1 - predicted)) == pytest.approx(np.mean(logits, 0), abs=0.01)


@pytest.mark.parametrize(
    ("network", "why"), [("2.5d + 2d", "no network is called 2d"), ("2.5d + 3d", "is not averaged with others")]
)
def test_kinds_that_cannot_be_averaged_are_rejected(network: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        kinds_of(network, 2)
    with pytest.raises(ModelError, match="no network is called"):
        build_network(network)


def test_networks_are_averaged_by_their_logits() -> None:
    logits = ensemble(ToTheLeft(1.0), ToTheLeft(4.0)).mean_logits(torch.zeros(1, 5, 2, 3))

    assert logits.tolist() == [[[[0.0, 2.5, 5.0], [0.0, 2.5, 5.0]]]]


def test_the_logits_of_the_mirrored_chest_are_flipped_back_and_averaged() -> None:
    logits = ensemble(ToTheLeft(1.0), flip_tta=True).mean_logits(torch.zeros(1, 5, 1, 4))

    assert logits.flatten().tolist() == [1.5, 1.5, 1.5, 1.5]  # (0, 1, 2, 3) and (3, 2, 1, 0)


def test_a_file_of_several_networks_gives_the_requested_number(tmp_path: Path) -> None:
    networks = [build_network() for _ in range(3)]
    save_file(named_tensors(networks), tmp_path / "x.safetensors")
    card = replace(CARD, networks=3)
    hu, spacing = np.random.default_rng(1).normal(-500, 300, (2, 32, 32)).astype(np.float32), (2.5, 1.0, 1.0)

    def logits(wanted: int) -> np.ndarray:
        model = LungTumourSegmenter(
            card, tmp_path / "x.safetensors", replace(WHOLE, ensemble_size=wanted, flip_tta=False)
        )
        probability = model.probability(hu, spacing, lambda _: None).astype(np.float64)
        return np.log(probability / (1 - probability))

    with torch.inference_mode():
        alone = [SlicePredictor(ensemble(network), 32).probability(hu, spacing, ignore) for network in networks]
    truth = [np.log(probability / (1 - probability)) for probability in np.asarray(alone, np.float64)]
    assert logits(1) == pytest.approx(truth[0], abs=0.01)
    assert logits(2) == pytest.approx(np.mean(truth[:2], 0), abs=0.02)
    assert logits(0) == pytest.approx(np.mean(truth, 0), abs=0.02)
    with pytest.raises(ModelError, match=r"worker\.ensemble_size is 4, the model has 3"):
        logits(4)


@pytest.mark.parametrize("predictor", [SlicePredictor, BlockPredictor])
@pytest.mark.parametrize("spacing", [(0.7, 0.9, 0.6), (2.5, 1.0, 1.0), (5.0, 1.4, 1.4)])
def test_the_prediction_is_at_the_position_of_the_input(
    predictor: type[SlicePredictor | BlockPredictor], spacing: tuple[float, float, float]
) -> None:
    shape = tuple(round(side / size) for side, size in zip((60, 100, 110), spacing, strict=True))
    grid = np.moveaxis(np.indices(shape), 0, -1) * spacing
    ball = ((grid - (32, 40, 66)) ** 2).sum(-1) <= 18**2
    hu = np.where(ball, 200, -900).astype(np.float32)

    probability = predictor(ensemble(Denser()), 16).probability(hu, spacing, ignore)

    marked = probability > 0.5
    assert 2 * (marked & ball).sum() / (marked.sum() + ball.sum()) > 0.93
    assert marked.sum() == pytest.approx(ball.sum(), rel=0.12)


def test_overlapping_blocks_give_the_same_as_one_block() -> None:
    hu = np.random.default_rng(1).uniform(-1000, 400, (60, 230, 200)).astype(np.float32)

    probability = BlockPredictor(ensemble(Denser()), 16).probability(hu, (2.5, 1.0, 1.0), ignore)

    expected = 1 / (1 + np.exp(-10 * np.clip((hu + 1000) * 2 / 1400 - 1, -1, 1)))
    assert np.abs(probability - expected).max() < 0.02  # bfloat16 has eight bits


def test_the_probability_of_a_thick_slice_is_the_mean_over_its_parts() -> None:
    """Soft tissue at the window's upper end between two slices of air, sampled a quarter slice from the middle."""
    hu = np.full((3, 32, 32), -1000, np.float32)
    hu[1] = 400

    predicted = SlicePredictor(ensemble(Denser()), 32).probability(hu, (5.0, 1.0, 1.0), ignore)

    high, low, lowest = (1 / (1 + np.exp(-logit)) for logit in (5.0, -5.0, -10.0))
    assert predicted[:, 16, 16] == pytest.approx([(low + lowest) / 2, high, (low + lowest) / 2], rel=1e-4)


def test_a_depthwise_convolution_trains_in_float32_on_a_cpu() -> None:
    ours, theirs = Depthwise(8, 5, 2), nn.Conv2d(8, 8, 5, 2, groups=8, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 8, 17, 17).bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        predicted = ours(images)
    predicted.float().square().sum().backward()
    known = theirs(images.float())
    known.square().sum().backward()

    assert predicted.dtype == torch.bfloat16
    assert torch.equal(predicted, known.bfloat16())
    assert ours.weight.grad is not None
    assert ours.weight.grad.numpy() == pytest.approx(theirs.weight.grad.numpy(), rel=0.02, abs=0.1)  # type: ignore[union-attr]
