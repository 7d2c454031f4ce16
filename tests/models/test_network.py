"""The two networks of one file, and the segmenter that runs whichever the card names."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.lung_tumour.network import NETWORKS, build_network
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.lung_tumour.windows import BlockWindows, SliceWindows
from models.registry import load_model, model_card
from models.segmenter import ModelCard, ModelError, read_card

CARD = ModelCard(
    name="x",
    version="1",
    weights_file="x.safetensors",
    weights_sha256="",
    licence="none",
    threshold=0.5,
    smallest_lesion_ml=0.1,
)


class Denser(nn.Module):
    """In place of a network: how far the middle slice, or each voxel of a block, lies above -300 HU."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 10 * (images[:, 2:3] if images.ndim == 4 else images)


def weights(folder: Path, kind: str) -> Path:
    torch.manual_seed(1)
    save_file(build_network(kind).state_dict(), folder / "x.safetensors")
    return folder / "x.safetensors"


@pytest.mark.parametrize(("kind", "shape"), [("2.5d", (2, 5, 32, 48)), ("3d", (2, 1, 16, 32, 48))])
def test_a_network_says_one_logit_for_each_voxel_that_it_outlines(kind: str, shape: tuple[int, ...]) -> None:
    with torch.inference_mode():
        logits = build_network(kind).eval()(torch.zeros(shape))

    assert logits.shape == (2, 1, *shape[2:])


def test_a_network_of_no_kind_names_those_that_there_are() -> None:
    with pytest.raises(ModelError, match=r"no network is called 2d; there are: 2\.5d, 3d"):
        build_network("2d")


def test_the_released_weights_are_for_the_network_that_is_the_default() -> None:
    card = model_card("lung_tumour")

    assert card.network == "2.5d"
    assert load_model("lung_tumour", "cpu").card == card


def test_a_card_names_its_network_and_the_segmenter_runs_it(tmp_path: Path) -> None:
    path = weights(tmp_path, "3d")
    facts = {**{n: getattr(CARD, n) for n in CARD.__dataclass_fields__}, "network": "3d"}
    facts["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [f"{name} = {value!r}".replace("'", '"') for name, value in facts.items()]
    (tmp_path / "model.toml").write_text("[model]\n" + "\n".join(lines))

    assert read_card(tmp_path / "model.toml").network == "3d"
    model = load_model(f"lung_tumour:{tmp_path}", "cpu")
    assert isinstance(model, LungTumourSegmenter)
    probability = model.probability(np.zeros((7, 40, 50), np.float32), (3.0, 1.2, 0.9), lambda _: None)
    assert probability.shape == (7, 40, 50)
    assert np.isfinite(probability).all()


@pytest.mark.parametrize("kind", NETWORKS)
def test_weights_of_the_other_network_are_refused(tmp_path: Path, kind: str) -> None:
    other = next(name for name in NETWORKS if name != kind)

    with pytest.raises(ModelError, match=f"not the weights of a {other} network"):
        LungTumourSegmenter(replace(CARD, network=other), weights(tmp_path, kind), "cpu")


@pytest.mark.parametrize("windows", [SliceWindows, BlockWindows])
@pytest.mark.parametrize("spacing", [(0.7, 0.9, 0.6), (2.5, 1.0, 1.0), (5.0, 1.4, 1.4)])
def test_what_a_network_says_lies_where_it_saw_it(
    windows: type[SliceWindows | BlockWindows], spacing: tuple[float, float, float]
) -> None:
    shape = tuple(round(side / size) for side, size in zip((60, 100, 110), spacing, strict=True))
    grid = np.moveaxis(np.indices(shape), 0, -1) * spacing
    ball = ((grid - (32, 40, 66)) ** 2).sum(-1) <= 18**2
    hu = np.where(ball, 200, -900).astype(np.float32)

    probability = windows(Denser(), torch.device("cpu")).probability(hu, spacing, lambda _: None)

    marked = probability > 0.5
    assert 2 * (marked & ball).sum() / (marked.sum() + ball.sum()) > 0.93
    assert marked.sum() == pytest.approx(ball.sum(), rel=0.12)


def test_blocks_that_overlap_give_what_one_block_gives() -> None:
    hu = np.random.default_rng(1).uniform(-1000, 400, (60, 230, 200)).astype(np.float32)

    probability = BlockWindows(Denser(), torch.device("cpu")).probability(hu, (2.5, 1.0, 1.0), lambda _: None)

    expected = 1 / (1 + np.exp(-10 * np.clip((hu + 1000) * 2 / 1400 - 1, -1, 1)))
    assert np.abs(probability - expected).max() < 0.02  # bfloat16 has eight bits
